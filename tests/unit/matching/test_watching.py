"""What the champion learned from and what it is held against, never fewer people than k."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pandas as pd

from matching.model import first_champion
from matching.watching import WATCHED_DAYS, split

TODAY = date(2026, 3, 20)


def day(back: int, *, people: int = 6, deciding: int = 6) -> pd.DataFrame:
    """A day's proposals, two a person, so many days before today."""
    at = pd.Timestamp(TODAY, tz="UTC") - pd.Timedelta(days=back) + pd.Timedelta(hours=23.5)
    subject = list(range(people)) * 2
    return pd.DataFrame(
        {
            "subject": subject,
            "occurred_at": at,
            "match_score": 0.5,
            "accepted": [1.0 if who < deciding else None for who in subject],
            "back": back,
        }
    )


def test_training_ends_with_the_last_day_learned_from_and_now_begins_after_it() -> None:
    rows = pd.concat([day(back) for back in (0, 1, 3, 4, 30)], ignore_index=True)
    early_on_the_day = pd.Timestamp(TODAY, tz="UTC") - pd.Timedelta(days=4)
    champion = replace(first_champion(), trained_until=early_on_the_day.isoformat())

    found = split(rows, champion, today=TODAY, smallest=3)

    assert set(found.reference["back"]) == {30, 4}
    assert set(found.current["back"]) == {3, 1}
    assert found.since == TODAY - timedelta(days=3)


def test_a_champion_that_learned_nothing_has_no_reference_and_the_window_bounds_now() -> None:
    rows = pd.concat([day(back) for back in (1, WATCHED_DAYS, WATCHED_DAYS + 1)])

    found = split(rows.reset_index(drop=True), first_champion(), today=TODAY, smallest=3)

    assert found.reference.empty
    assert set(found.current["back"]) == {1, WATCHED_DAYS}


def test_no_day_stands_for_fewer_people_than_may_be_published() -> None:
    rows = pd.concat([day(1, people=5), day(2, people=6)], ignore_index=True)

    found = split(rows, first_champion(), today=TODAY, smallest=6)

    assert set(found.current["back"]) == {2}


def test_no_decisions_of_fewer_people_are_told() -> None:
    rows = pd.concat([day(1, deciding=5), day(2)], ignore_index=True)

    found = split(rows, first_champion(), today=TODAY, smallest=6)

    decided = found.current.groupby("back")["accepted"].count()
    assert decided.to_dict() == {1: 0, 2: 12}


def test_nothing_there_is_nothing_to_watch() -> None:
    found = split(day(1).iloc[:0], first_champion(), today=TODAY, smallest=3)

    assert found.reference.empty
    assert found.current.empty
