"""The language that a browser asks for, and how numbers, dates and phrases are written in it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from dashboard.language import LANGUAGES, Language, choose
from dashboard.words import phrases
from schemas.retention import rules
from schemas.settings import CHECKOUT, Settings

ENGLISH, FRENCH = (Language(code) for code in LANGUAGES)
SOURCES = "".join(
    path.read_text(encoding="utf-8")
    for pattern in ("*.py", "templates/*.html")
    for path in (CHECKOUT / "dashboard").glob(pattern)
)


@pytest.mark.parametrize(
    ("accepted", "asked", "chosen"),
    [
        ("", None, "en"),
        ("fr", None, "fr"),
        ("fr-CA,fr;q=0.8,en;q=0.6", None, "fr"),
        ("en-GB, fr;q=0.9", None, "en"),
        ("en;q=0.3, fr;q=0.9", None, "fr"),
        ("de, fr;q=0.1", None, "fr"),
        ("de", None, "en"),
        ("fr;q=0", None, "en"),
        ("FR", None, "fr"),
        ("fr" * 50_000, None, "en"),
        (";;;,,q=,fr;q=banana", None, "en"),
        ("en", "fr", "fr"),
        ("fr", "xx", "fr"),
    ],
)
def test_language_is_what_the_address_or_else_the_browser_prefers(
    accepted: str, asked: str | None, chosen: str
) -> None:
    assert choose(accepted, asked) == chosen


def test_numbers_are_written_as_each_language_does() -> None:
    assert ENGLISH.number(1234567.891, 2) == "1,234,567.89"
    assert FRENCH.number(1234567.891, 2) == "1\u202f234\u202f567,89"
    assert ENGLISH.percent(0.1234) == "12.3%"
    assert FRENCH.percent(0.1234) == "12,3\u202f%"
    assert ENGLISH.signed(-0.5) == "\u22120.50"
    assert FRENCH.signed(0.5) == "+0,50"


def test_dates_and_spans_are_written_as_each_language_does() -> None:
    assert ENGLISH.day("2026-08-01") == "1 Aug 2026"
    assert FRENCH.day("2026-08-01") == "1er août 2026"
    assert FRENCH.moment("2026-11-25T16:05:59+00:00") == "25 nov. 2026, 16:05 UTC"
    assert [ENGLISH.duration(seconds) for seconds in (5, 90, 7_200, 259_200)] == [
        "less than a minute",
        "1 min",
        "2 h",
        "3 days",
    ]
    assert FRENCH.days(1) == "1 jour"


def test_one_is_singular_and_in_french_nothing_is_too() -> None:
    def said(phrase: str, number: int) -> list[str]:
        places: dict[str, Any] = dict.fromkeys(("span", "people", "day"), "x")
        places |= dict.fromkeys(("count", "shown"), str(number)) | {"all": 9}
        return [one.say(phrase, number=number, **places) for one in (ENGLISH, FRENCH)]

    assert said("of_decisions", 0) == ["x · 0 decisions", "x · 0 décision"]
    assert said("of_decisions", 1) == ["x · 1 decision", "x · 1 décision"]
    assert said("of_ratings", 2) == ["x · 2 ratings", "x · 2 notes"]
    assert said("consents_caption", 1)[0].startswith("x person has answered")
    assert said("more_in_table", 1)[0].startswith("The most telling of 9 is drawn;")
    assert said("more_in_table", 3)[1].startswith("Les 3 plus parlants sur 9 sont dessinés")


def test_no_line_of_french_begins_with_a_mark() -> None:
    french = [phrase["fr"] for phrase in phrases().values()]

    assert any("\u00a0;" in phrase for phrase in french)
    assert [phrase for phrase in french if re.search(r" [:;?!»]|« ", phrase)] == []


@pytest.mark.parametrize("name", phrases())
def test_phrase_is_there_in_both_languages_with_the_same_places_and_is_used(name: str) -> None:
    said = phrases()[name]

    assert set(said) == set(LANGUAGES)
    for said_by in said.values():
        assert said_by.count("[") == said_by.count("|") == said_by.count("]")
    english, french = (set(re.findall(r"\{(\w+)\}", said[code])) for code in LANGUAGES)
    assert english == french
    stem = re.sub(r"^(flow|feature|step|purpose|suite|class)_.*", r"\1_", name)
    stem = re.sub(r"^(refused|rejected)_(rules|caption)$", r"_\2", stem)
    assert stem in SOURCES or name in FATES


def test_every_class_of_data_with_a_retention_has_a_name() -> None:
    classes = {rule.data_class for rule in rules(Settings(), datetime(2026, 11, 25, tzinfo=UTC))}

    assert {f"class_{name}" for name in classes} == {
        name for name in phrases() if name.startswith("class_")
    }


FATES = frozenset(
    ["received", "stored", "duplicate", "refused", "processed", "rejected", "dropped", "expired"]
)
"""Phrases that are named by the figures."""
