"""Proposals are read for a purpose, and only those of people who allow it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas.events import EventKind
from schemas.purposes import Purpose
from tests.population import answer, arrive, days_before, event, process
from warehouse.proposals import NoSuchProposal, read_match

if TYPE_CHECKING:
    from sqlalchemy import Engine


def propose(engine: Engine, match_key: int, *subjects: int, days: float = 2) -> None:
    at = days_before(days)
    arrive(engine, [event(EventKind.PROPOSED, one, match_key, occurred_at=at) for one in subjects])
    process(engine)


@pytest.fixture
def pair(engine: Engine) -> tuple[int, int]:
    """Two people who allow measuring; the second one improvement as well."""
    people = (answer(engine, "a", "analytics"), answer(engine, "b", "analytics", "improvement"))
    propose(engine, 1, *people)
    return people


def test_a_match_has_a_row_of_each_party_that_allows_the_purpose(
    engine: Engine, pair: tuple[int, int]
) -> None:
    measured = read_match(engine, 1, purpose=Purpose.ANALYTICS)
    learned = read_match(engine, 1, purpose=Purpose.IMPROVEMENT)

    assert set(measured["subject"]) == set(pair)
    assert learned["subject"].tolist() == [pair[1]]


def test_who_withdraws_is_not_read_any_more(engine: Engine, pair: tuple[int, int]) -> None:
    answer(engine, "a")

    assert read_match(engine, 1, purpose=Purpose.ANALYTICS)["subject"].tolist() == [pair[1]]

    answer(engine, "b")
    with pytest.raises(NoSuchProposal):
        read_match(engine, 1, purpose=Purpose.ANALYTICS)


def test_the_whole_day_is_that_of_the_match_and_no_other(
    engine: Engine, pair: tuple[int, int]
) -> None:
    propose(engine, 2, *pair)
    propose(engine, 3, *pair, days=3)

    alone = read_match(engine, 1, purpose=Purpose.ANALYTICS)
    day = read_match(engine, 1, purpose=Purpose.ANALYTICS, whole_day=True)

    assert set(alone["match_key"]) == {1}
    assert set(day["match_key"]) == {1, 2}


def test_a_match_that_was_decided_but_never_proposed_has_no_proposal(
    engine: Engine, pair: tuple[int, int]
) -> None:
    arrive(engine, [event(EventKind.ACCEPTED, pair[0], 9)])
    process(engine)

    with pytest.raises(NoSuchProposal):
        read_match(engine, 9, purpose=Purpose.ANALYTICS)
