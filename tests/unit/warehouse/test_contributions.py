"""What match rows add to the metrics, counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from warehouse import measures as m
from warehouse.contributions import change, contributions
from warehouse.matches import ABSENT, DEFAULTS, UNKNOWN, Columns, take


def _rows(*rows: dict[str, Any]) -> Columns:
    keys: Columns = {
        name: np.array([row.get(name, 1) for row in rows], dtype=np.int64)
        for name in ("match_key", "subject", "day")
    }
    return keys | {
        name: np.array([row.get(name, default) for row in rows], dtype=kind)
        for name, (kind, default) in DEFAULTS.items()
    }


def _sums(rows: Columns, facet: str = m.WHOLE) -> dict[str, int]:
    table = contributions(rows)
    here = table[table["facet"] == facet]
    return dict(zip(here["measure"], here["value"], strict=True))


PROPOSED = {"proposed_at": 5, "match_score": 0.5}
ACCEPTED = PROPOSED | {"decided_at": 9, "accepted": 1, "decision_ms": 1_500}
REJECTED = PROPOSED | {"decided_at": 9, "accepted": 0, "decision_ms": 500}


def test_undecided_proposal_is_not_a_rejection() -> None:
    assert _sums(_rows(PROPOSED)) == {m.PROPOSED: 1, m.SCORE: 5_000, m.SCORE_SQUARES: 25_000_000}


def test_whole_row_counts_every_facet_once() -> None:
    row = ACCEPTED | {
        "views": 3,
        "view_ms": 700,
        "viewed_whole": 1,
        "rating": 4,
        "rated_at": 9,
        "completed_at": 9,
        "completed": 0,
    }
    assert _sums(_rows(row)) == {
        m.PROPOSED: 1,
        m.SCORE: 5_000,
        m.SCORE_SQUARES: 25_000_000,
        m.VIEWED: 1,
        m.VIEWED_WHOLE: 1,
        m.VIEWS: 3,
        m.VIEW_MS: 700,
        m.DECIDED: 1,
        m.ACCEPTED: 1,
        m.DECISION_MS: 1_500,
        m.RATED: 1,
        m.RATED_PROPOSED: 1,
        "rating_4": 1,
        m.ABANDONED: 1,
    }


def test_what_came_without_a_proposal_is_an_orphan_and_in_no_rate() -> None:
    row = {
        "decided_at": 9,
        "accepted": 0,
        "decision_ms": 9,
        "rating": 2,
        "views": 1,
        "completed": 1,
    }
    assert _sums(_rows(row)) == {
        m.ORPHAN_DECIDED: 1,
        m.ORPHAN_VIEWED: 1,
        m.ORPHAN_RATED: 1,
        m.ORPHAN_COMPLETED: 1,
        m.RATED: 1,
        "rating_2": 1,
    }


def test_mutual_needs_all_parties_of_the_match() -> None:
    def sums(*rows: dict[str, Any]) -> tuple[int, int]:
        numbered = [row | {"subject": number} for number, row in enumerate(rows)]
        found = _sums(_rows(*numbered))
        return found.get(m.PAIRED, 0), found.get(m.MUTUAL, 0)

    assert sums(ACCEPTED) == (0, 0)
    assert sums(ACCEPTED, PROPOSED) == (0, 0)
    assert sums(ACCEPTED, REJECTED) == (2, 0)
    assert sums(ACCEPTED, ACCEPTED) == (2, 2)
    assert sums(ACCEPTED, ACCEPTED, REJECTED) == (3, 0)
    assert sums(ACCEPTED, ACCEPTED | {"match_key": 2}) == (0, 0)


def test_constraint_counts_satisfaction_products_and_bands() -> None:
    rows = _rows(
        ACCEPTED | {"constraints": '{"near":0.8,"hours":1.0}'},
        REJECTED | {"constraints": '{"near":0.1999}', "match_key": 2},
        PROPOSED | {"constraints": '{"near":0.5}', "match_key": 3},
    )
    assert _sums(rows, "near") == {
        m.SATISFACTION_PROPOSED: 3,
        m.SATISFACTION_SUM: 8_000 + 1_999 + 5_000,
        m.DECIDED_SUM: 8_000 + 1_999,
        m.DECIDED_SQUARES: 8_000**2 + 1_999**2,
        m.ACCEPTED_SUM: 8_000,
        "c_band_1_decided": 1,
        "c_band_5_decided": 1,
        "c_band_5_accepted": 1,
    }
    assert _sums(rows, "hours")["c_band_5_accepted"] == 1


def test_days_and_versions_are_kept_apart() -> None:
    rows = _rows(
        PROPOSED | {"day": 4, "model_version": "b"},
        PROPOSED | {"day": 3, "model_version": "b", "match_key": 2},
        PROPOSED | {"day": 4, "model_version": "a", "match_key": 3},
        PROPOSED | {"day": 4, "model_version": "a", "match_key": 4},
    )
    table = contributions(rows)
    proposed = table[table["measure"] == m.PROPOSED]
    assert proposed[["day", "model_version", "value"]].to_numpy().tolist() == [
        [3, "b", 1],
        [4, "a", 2],
        [4, "b", 1],
    ]


def test_change_is_the_difference_of_two_counts() -> None:
    before = _rows(PROPOSED, PROPOSED | {"match_key": 2, "day": 2})
    after = _rows(ACCEPTED, PROPOSED | {"match_key": 2, "day": 3})
    found = {
        (measure, day): value
        for measure, _, day, _, value in change(before, after).itertuples(index=False)
    }
    assert found == {
        (m.DECIDED, 1): 1,
        (m.ACCEPTED, 1): 1,
        (m.DECISION_MS, 1): 1_500,
        (m.PROPOSED, 2): -1,
        (m.SCORE, 2): -5_000,
        (m.SCORE_SQUARES, 2): -25_000_000,
        (m.PROPOSED, 3): 1,
        (m.SCORE, 3): 5_000,
        (m.SCORE_SQUARES, 3): 25_000_000,
    }
    assert change(after, after).empty


def test_nothing_adds_nothing() -> None:
    empty = take(_rows(PROPOSED), np.empty(0, np.int64))
    assert contributions(empty).empty
    assert list(contributions(empty).columns) == [
        "measure",
        "facet",
        "day",
        "model_version",
        "value",
    ]


def test_defaults_say_what_is_absent() -> None:
    assert DEFAULTS["proposed_at"][1] == ABSENT
    assert DEFAULTS["accepted"][1] == UNKNOWN
