"""Which versions an erasure names and marks, and the retrain that it asks for."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from schemas.events import EventKind
from schemas.retention import Rule
from schemas.tables import matches, runs
from tests.population import RUN, answer, arrive, days_before, erase, event, learn, process
from tests.purging import purge, rule
from warehouse import lineage, marks
from warehouse.engine import reading, writing
from warehouse.retention import begin_evidence, count_expired
from warehouse.runs import queue
from warehouse.training import answer_requests

if TYPE_CHECKING:
    from sqlalchemy import Engine

OLD_MATCHES = Rule("matches", days_before(395), matches, "day", in_days=True)


def asked_for(engine: Engine) -> list[tuple[Any, ...]]:
    with reading(engine) as connection:
        found = connection.execute(select(runs.c.flow, runs.c.state, runs.c.detail))
        return sorted(tuple(row) for row in found)


def test_the_models_are_those_that_were_read_while_the_person_allowed_it(engine: Engine) -> None:
    person = answer(engine, "a", "analytics", "improvement", at=days_before(20))
    arrive(engine, [event(EventKind.PROPOSED, person, 1, occurred_at=days_before(15))])
    process(engine)
    learn(engine, "before-the-proposal", days_before(18))
    learn(engine, "first", days_before(10))
    answer(engine, "a", "analytics", at=days_before(8))
    learn(engine, "after-the-withdrawal", days_before(5))
    answer(engine, "a", "analytics", "improvement", at=days_before(4))
    learn(engine, "second", days_before(1))

    done = erase(engine, person)

    assert done.models == ["first", "second"]
    assert asked_for(engine) == [
        ("retrain_model", "queued", "after a withdrawal"),
        ("retrain_model", "queued", "after an erasure"),
    ]


def test_a_model_that_learned_from_a_purged_row_is_named(engine: Engine) -> None:
    person = answer(engine, "a", "analytics", "improvement", at=days_before(500))
    learn(engine, "before-the-answer", days_before(501))
    learn(engine, "old", days_before(200))
    begin_evidence(engine, "run", [OLD_MATCHES], RUN)

    assert erase(engine, person).models == ["old"]


def test_a_model_that_learned_from_a_purged_row_is_named_though_the_clock_was_ahead_for_the_answer(
    engine: Engine,
) -> None:
    person = answer(engine, "a", "analytics", "improvement", at=days_before(100))
    answer(engine, "b", "analytics", at=days_before(500))
    learn(engine, "old", days_before(200))
    begin_evidence(engine, "run", [OLD_MATCHES], RUN)

    assert erase(engine, person).models == ["old"]


def test_a_purge_of_before_the_first_answer_names_no_model(engine: Engine) -> None:
    person = answer(engine, "a", "analytics", "improvement", at=days_before(300))
    learn(engine, "old", days_before(200))
    begin_evidence(engine, "run", [OLD_MATCHES], RUN)

    assert erase(engine, person).models == []


def test_without_a_model_that_learned_from_them_no_retrain_is_queued(engine: Engine) -> None:
    person = answer(engine, "a", "analytics", "improvement")
    arrive(engine, [event(EventKind.PROPOSED, person, 1, occurred_at=days_before(3))])
    process(engine)
    answer(engine, "a", "analytics", at=days_before(0.5))
    learn(engine, "1", days_before(0))

    assert erase(engine, person).models == []
    assert asked_for(engine) == []


def test_where_versions_have_no_books_a_retrain_is_queued_for_whoever_leaves(
    engine: Engine,
) -> None:
    person = answer(engine, "a", "analytics")
    with writing(engine) as connection:
        marks.set_unbooked(connection, unbooked=True)

    done = erase(engine, person)

    assert (done.models, done.report["unbooked_versions"]) == ([], lineage.UNBOOKED)
    assert asked_for(engine) == [("retrain_model", "queued", "after an erasure")]


def test_a_retrain_that_is_owed_to_somebody_who_left_is_owed_however_old(engine: Engine) -> None:
    queue(engine, lineage.RETRAIN, RUN - timedelta(days=60), lineage.ERASED)

    assert (count_expired(engine, rule("runs")), purge(engine, "runs")) == (0, 0)
    assert lineage.owed_since(engine) is not None

    answer_requests(engine, asked_until=RUN, now=RUN)
    assert (purge(engine, "runs"), asked_for(engine)) == (1, [])
