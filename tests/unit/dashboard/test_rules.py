"""Rules in French: each that a dashboard may show has its words, and its field as it is."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest

from dashboard.rules import french
from expectations import anonymised_events, staged_events, training_set
from expectations.validation import rules_of
from ingest.decoding import explain
from schemas.events import MatchFeedbackEvent
from tasks.texts import UNREADABLE
from warehouse.staging import RULE_CONSENT

ROOT = Path(__file__).parents[3]
TRAINING = [*training_set.REQUIRED, "rating", "propensity", "constraint:skills"]
OF_SUITES = [
    *rules_of(staged_events.SUITE),
    *rules_of(staged_events.SCREEN),
    *rules_of(anonymised_events.SUITE),
    *rules_of(training_set.suite(TRAINING)),
    UNREADABLE,
    RULE_CONSENT,
]


def words_of_the_door() -> set[str]:
    """Collect what is counted as refused, a number where one is filled in.

    What is put together of parts, as ``must be {at least} {7}``, is tried with bodies below.
    """
    found = set()
    for name in ("hot", "decoding", "arrivals"):
        path = ROOT / "ingest" / f"{name}.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.add("".join(_part(one) for one in node.values))
    starts = ("must be ", "must have ", "must not ", "must name ", "is not valid", "is required")
    parts = ("must be 7", "must have 7")
    whole = {one for one in found if one.startswith(starts) and not one.endswith(" ")}
    return {one for one in whole if not one.startswith(parts)}


def _part(one: ast.expr) -> str:
    return str(one.value) if isinstance(one, ast.Constant) else "7"


@pytest.mark.parametrize("rule", OF_SUITES)
def test_rule_of_a_suite_has_french_words(rule: str) -> None:
    field, _, words = rule.partition(": ")
    told = french(rule)

    assert told.startswith(f"{field}\u00a0: ")
    assert words not in told


@pytest.mark.parametrize("words", sorted(words_of_the_door()))
def test_rule_of_the_door_has_french_words(words: str) -> None:
    assert words not in french(f"rating: {words}")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"rating": 9}', "rating\u00a0: doit valoir au plus 5"),
        (b'{"rating": "9"}', "rating\u00a0: doit être un nombre entier"),
        (b'{"user_id": ""}', "user_id\u00a0: doit avoir au moins 1 caractère"),
        (b'{"specific_aspects": {"": 1}}', "specific_aspects\u00a0: noms\u00a0: doit avoir"),
        (b'{"occurred_at": "yesterday"}', "occurred_at\u00a0: doit être un instant"),
        (b'{"other": 1}', "body\u00a0: ne doit pas avoir de champs inconnus"),
        (b"{", "body\u00a0: doit être du JSON valable"),
        (b"{}", "user_id\u00a0: est obligatoire"),
    ],
)
def test_what_the_door_says_of_a_body_is_told_in_french(body: bytes, told: str) -> None:
    with pytest.raises(msgspec.MsgspecError) as error:
        msgspec.json.decode(body, type=MatchFeedbackEvent)

    assert french(str(explain(error.value))).startswith(told)


def test_numbers_are_written_as_french_does_and_unknown_rules_stay() -> None:
    assert french("match_score: must be at most 0.5").endswith("au plus 0,5")
    assert french("match_score: must be kind") == "match_score: must be kind"
    assert french("nothing") == "nothing"
