"""Drift as it is kept and read, and the retrain that it asks for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from matching.watching import WATCHED_DAYS
from schemas.clock import iso_day
from schemas.errors import LeaseLost
from schemas.events import EventKind
from schemas.tables import runs
from tests.histories import TODAY
from tests.population import RUN, arrive, days_before, erase, event, process
from tests.population import answer as answered
from warehouse import marks
from warehouse.drift_days import SETTLED_DAYS, Measured, drift, forget, keep
from warehouse.engine import reading, writing
from warehouse.leases import Lease, lease
from warehouse.runs import answer, queue

if TYPE_CHECKING:
    from sqlalchemy import Engine


def score(back: int, value: float, bound: float = 0.25) -> Measured:
    return Measured(TODAY - back, "score", "stability", 40, value, bound)


def put(engine: Engine, *found: Measured, since: int) -> None:
    with lease(engine, "watch_drift", 60) as held:
        keep(engine, held, found, "3", since_day=TODAY - since, at=RUN)


def told(engine: Engine, *, days: int = 30) -> dict[str, float]:
    found = drift(engine, days, RUN, published=False)["features"]
    return {one["day"]: one["value"] for one in found.get("score", {}).get("stability", [])}


def test_a_later_comparison_replaces_the_days_it_looked_at_and_no_other(engine: Engine) -> None:
    put(engine, score(4, 0.1), score(3, 0.2), score(2, 0.3), since=4)

    put(engine, score(2, 0.6), since=3)

    assert told(engine) == {iso_day(TODAY - 4): 0.1, iso_day(TODAY - 2): 0.6}


def test_what_is_beyond_is_counted_and_marked(engine: Engine) -> None:
    put(engine, score(2, 0.25), score(1, 0.2500001), since=3)

    found = drift(engine, 30, RUN, published=False)

    assert found["beyond"] == 1
    assert found["days_compared"] == 2
    assert [one["beyond"] for one in found["features"]["score"]["stability"]] == [False, True]
    assert found["window"] == {
        "since": iso_day(TODAY - 29),
        "until": iso_day(TODAY + 1),
        "published": False,
        "days": 30,
    }


def test_only_whether_a_day_moved_is_published_once_no_comparison_touches_it_any_more(
    engine: Engine,
) -> None:
    settled = SETTLED_DAYS + 1
    few, moved = score(settled + 1, 0.123456), score(settled, 0.3)
    put(engine, few, moved, score(settled - 1, 0.2), since=settled + 1)

    found = drift(engine, 30, RUN, published=True)

    day = {"value": None, "bound": None, "model_version": "3"}
    assert found["features"]["score"]["stability"] == [
        {"day": iso_day(TODAY - settled - 1), "beyond": False, **day},
        {"day": iso_day(TODAY - settled), "beyond": True, **day},
    ]
    assert (found["days_compared"], found["beyond"]) == (2, 1)


def test_how_many_decided_and_how_changes_nothing_that_is_published(engine: Engine) -> None:
    published = []
    # Of 39 the outcome and its bound, and of the same 39 and one who rejects.
    for rows, value, bound in ((39, 0.171824, 1.009471), (40, 0.149531, 0.987234)):
        outcome = Measured(TODAY - SETTLED_DAYS - 1, "outcome", "stability", rows, value, bound)
        put(engine, outcome, since=SETTLED_DAYS + 1)
        published.append(drift(engine, 30, RUN, published=True))

    assert published[0] == published[1]


def test_what_is_published_is_what_is_watched_no_more() -> None:
    assert SETTLED_DAYS == WATCHED_DAYS


def test_a_run_that_lost_its_lease_keeps_nothing(engine: Engine) -> None:
    with lease(engine, "watch_drift", 60) as held:
        stale = Lease(held.name, held.fence - 1, 60)
        with pytest.raises(LeaseLost):
            keep(engine, stale, [score(1, 0.2)], "3", since_day=0, at=RUN)

    assert told(engine) == {}


def test_a_reason_waits_once_and_another_beside_it(engine: Engine) -> None:
    asked = [queue(engine, "retrain_model", RUN, why) for why in ("a", "a", "b")]

    assert asked == [True, False, True]


def test_a_run_answers_what_was_asked_before_it_began(engine: Engine) -> None:
    queue(engine, "retrain_model", RUN, "before")
    queue(engine, "retrain_model", RUN + timedelta(seconds=2), "meanwhile")
    queue(engine, "other_flow", RUN, "not this one")
    with writing(engine) as connection:
        connection.execute(
            runs.insert().values(
                run="x", flow="retrain_model", state="running", requested_at=0, detail="http"
            )
        )

    answered = answer(engine, "retrain_model", asked_until=RUN, now=RUN + timedelta(seconds=5))

    assert answered == 1
    with reading(engine) as connection:
        states = {
            r.detail: r.state for r in connection.execute(select(runs.c.detail, runs.c.state))
        }
    assert states == {
        "before": "completed",
        "meanwhile": "queued",
        "not this one": "queued",
        "http": "running",
    }
    assert queue(engine, "retrain_model", RUN, "before")


def test_while_versions_have_no_books_whoever_leaves_takes_every_comparison_along(
    engine: Engine,
) -> None:
    person = answered(engine, "a", "analytics")
    put(engine, score(4, 0.1), score(3, 0.2), since=4)
    with writing(engine) as connection:
        forget(connection, person, [])
    assert len(told(engine)) == 2

    with writing(engine) as connection:
        marks.set_unbooked(connection, unbooked=True)
        forget(connection, person, [])

    assert told(engine) == {}


def test_whoever_takes_improvement_back_takes_the_comparisons_of_their_days_along(
    engine: Engine,
) -> None:
    person = answered(engine, "a", "analytics", "improvement")
    arrive(engine, [event(EventKind.PROPOSED, person, 1, occurred_at=days_before(3))])
    process(engine)
    put(engine, score(3, 0.2), since=4)
    answered(engine, "a", "improvement")
    assert len(told(engine)) == 1

    answered(engine, "a", "analytics")

    assert told(engine) == {}


@pytest.mark.parametrize("erased", [True, False])
def test_what_was_compared_with_somebody_who_has_left_since_is_not_kept(
    engine: Engine, *, erased: bool
) -> None:
    people = [answered(engine, name, "analytics", "improvement") for name in "ab"]
    put(engine, score(3, 0.1), since=4)
    if erased:
        erase(engine, people[0])
    else:
        answered(engine, "a", "analytics")

    with lease(engine, "watch_drift", 60) as held:
        kept = [
            keep(
                engine,
                held,
                [score(3, value)],
                "3",
                since_day=TODAY - 4,
                at=RUN,
                people=whom,
            )
            for value, whom in ((0.2, people), (0.3, people[1:]))
        ]

    assert kept == [False, True]
    assert told(engine) == {iso_day(TODAY - 3): 0.3}
