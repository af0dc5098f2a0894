"""The suites as data: what they hold against frames made by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from expectations import anonymised_events, training_set
from expectations.staged_events import _RANGES, SUITE
from expectations.validation import RULE, broken_rules
from schemas.errors import BatchUnusable


def _training(**changes: object) -> pd.DataFrame:
    columns = {
        "match_key": [1, 1, 2],
        "subject": [1, 2, 1],
        "occurred_at": pd.to_datetime(["2026-01-01"] * 3, utc=True),
        "match_score": [0.0, 0.5, 1.0],
        "accepted": [1.0, 0.0, None],
        "constraint:near": [0.5, None, 1.0],
        "rating": [5.0, None, None],
        "propensity": [0.1, 1.0, None],
    }
    return pd.DataFrame(columns | changes, index=["a", "b", "c"])


def _broken(frame: pd.DataFrame) -> dict[str, list[str]]:
    found = broken_rules(frame, training_set.suite(frame.columns))
    return {rule: labels.tolist() for rule, labels in found.items()}


def test_good_training_set_breaks_nothing() -> None:
    assert _broken(_training()) == {}


@pytest.mark.parametrize(
    ("changes", "rule", "labels"),
    [
        (
            {"match_score": [0, 1.5, 1]},
            "match_score: must be at least 0 and at most 1",
            ["b"],
        ),
        ({"match_score": [0, None, 1]}, "match_score: must be known", ["b"]),
        ({"accepted": [1, 2, 0]}, "accepted: must be 0, 1 or unknown", ["b"]),
        ({"rating": [6, None, 1]}, "rating: must be at least 1 and at most 5", ["a"]),
        ({"propensity": [0, 1, 1]}, "propensity: must be above 0 and at most 1", ["a"]),
        (
            {"subject": [1, 1, 1]},
            "proposal: must be there once a match and subject",
            ["a", "b"],
        ),
        (
            {"constraint:near": [0.5, -0.1, 2]},
            "constraint_satisfaction[]: must be at least 0 and at most 1",
            ["b", "c"],
        ),
    ],
)
def test_training_set_names_rule_and_rows(
    changes: dict[str, object], rule: str, labels: list[str]
) -> None:
    assert _broken(_training(**changes)) == {rule: labels}


def test_training_set_without_a_column_is_unusable_as_a_whole() -> None:
    frame = _training().drop(columns="accepted")
    with pytest.raises(BatchUnusable, match="accepted: must be there"):
        broken_rules(frame, training_set.suite(frame.columns))


def _anonymised(*texts: str) -> pd.DataFrame:
    rows = len(texts)
    return pd.DataFrame(
        {
            "kind": [0] * rows,
            "subject": [1] * rows,
            "match_key": [1] * rows,
            "occurred_at": [1] * rows,
            "texts": list(texts),
        },
        index=range(10, 10 + rows),
    )


@pytest.mark.parametrize(
    "text",
    [
        '[{"text":"write to a.b@example.org"}]',
        '[{"text":"see https://example.org/x"}]',
        '[{"text":"WWW.example.org"}]',
        '[{"text":"06 12 34 56 78"}]',
        '[{"text":"+33612345678"}]',
    ],
)
def test_text_that_still_holds_something_is_found(text: str) -> None:
    frame = _anonymised('[{"text":"<PERSON> was kind, 5 stars","length":24}]', text)
    found = broken_rules(frame, anonymised_events.SUITE)
    assert {rule: labels.tolist() for rule, labels in found.items()} == {
        "texts: must hold no address, link or telephone number": [11]
    }


def test_further_column_makes_anonymised_events_unusable() -> None:
    frame = _anonymised("[]").assign(user_id="x")
    with pytest.raises(BatchUnusable, match="no further column"):
        broken_rules(frame, anonymised_events.SUITE)


def test_every_expectation_names_its_rule_and_no_value() -> None:
    for suite in (SUITE, anonymised_events.SUITE, training_set.suite(["constraint:secret"])):
        for expectation in suite.expectations:
            field, _, rule = (expectation.meta or {})[RULE].partition(": ")
            assert rule.startswith("must ")
            assert "secret" not in field


def test_ranges_are_those_of_the_requests() -> None:
    assert _RANGES["match_score"]["max_value"] == 1
    assert _RANGES["propensity"] == {
        "min_value": 0,
        "max_value": 1,
        "strict_min": True,
        "strict_max": False,
    }
    assert _RANGES["specific_aspects_lowest"]["min_value"] == 1
    assert _RANGES["match_parameters_highest"]["max_value"] == 1e12


def test_empty_batch_breaks_nothing() -> None:
    assert broken_rules(_training().iloc[:0], training_set.suite([])) == {}
