"""Sums of values are told only where no few people have another value than most."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tests.unit.warehouse.test_disclosure import K, history, publish
from warehouse import measures as m
from warehouse.matches import ABSENT


@pytest.mark.parametrize(("people", "told"), [(0, True), (3, False), (9, False), (60, True)])
@pytest.mark.parametrize(
    ("column", "values", "measures"),
    [
        ("match_score", (0.4, 0.9), (m.SCORE, m.UNSCORED)),
        ("decision_ms", (7, 40_000), (m.DECISION_MS, m.UNTIMED)),
        ("views", (1, 2), (m.VIEWS, m.UNVIEWS)),
        ("view_ms", (5, 9_000), (m.VIEW_MS, m.UNVIEWS)),
    ],
)
def test_a_sum_less_what_most_have_is_about_nobody_or_many(
    people: int, told: bool, column: str, values: tuple[float, float], measures: tuple[str, str]
) -> None:
    rows = history(3, people=200).assign(model_version="")
    sent = np.where(rows["subject"] < people, values[1], values[0])
    rows = rows.assign(**{column: np.where(rows[column] > 0, sent, rows[column])})

    published = set(publish(rows, K)["measure"])

    assert [one in published for one in measures] == [told, not told]


@pytest.mark.parametrize(
    ("people", "told"), [(9, (False, False)), (12, (True, False)), (90, (True, True))]
)
def test_satisfactions_that_few_do_not_share_are_not_summed(
    people: int, told: tuple[bool, bool]
) -> None:
    rows = history(3, people=200).assign(model_version="")
    satisfied = [who / 100 if who < people else 1.0 for who in rows["subject"]]
    texts = [msgspec.json.encode({"lift": one}).decode() for one in satisfied]
    rows = rows.assign(constraints=np.where(rows["proposed_at"] != ABSENT, texts, "{}"))

    published = publish(rows, K)

    measures = set(published["measure"][published["facet"] == "lift"])
    # Of twelve who differ fewer than ten decide one way.
    assert (m.SATISFACTION_SUM in measures, m.ACCEPTED_SUM in measures) == told


@pytest.mark.parametrize(("times", "told"), [(10, True), (10_000, False)])
@pytest.mark.parametrize(
    ("column", "measures"),
    [
        ("decision_ms", (m.DECISION_MS, m.UNTIMED)),
        ("views", (m.VIEWS, m.UNVIEWS)),
        ("view_ms", (m.VIEW_MS, m.UNVIEWS)),
    ],
)
def test_a_sum_that_is_nearly_what_one_person_has_is_not_told(
    times: int, told: bool, column: str, measures: tuple[str, str]
) -> None:
    rows = history(3, people=200).assign(model_version="")
    sent = 10 + rows["subject"] % 40
    sent = sent.where(rows["subject"] != 7, sent * times)
    rows = rows.assign(**{column: np.where(rows[column] > 0, sent, rows[column])})

    published = set(publish(rows, K)["measure"])

    assert [one in published for one in measures] == [told, not told]
