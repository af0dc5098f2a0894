"""Lineage: who taught which version, and whether they had allowed it, by the ledger alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text, update

from schemas.clock import moment
from schemas.errors import ConsentRequired, NotRegistered
from schemas.events import EventKind
from schemas.tables import consents as ledger
from schemas.tables import runs, subjects
from tests.population import RUN, answer, arrive, days_before, event, process
from warehouse.engine import is_postgres, reading, writing
from warehouse.erasure import delete_subject, mark_forgotten
from warehouse.erasure_requests import begin
from warehouse.leases import lease
from warehouse.lineage import marked, standing, superseded, versions_of
from warehouse.training import note_disposal, read_training, record_training

if TYPE_CHECKING:
    from sqlalchemy import Engine


@pytest.fixture
def people(engine: Engine) -> dict[str, int]:
    """Three with a proposal each, of whom ``c`` does not allow improvement."""
    known = {
        name: answer(engine, name, "analytics", *(["improvement"] if name != "c" else []))
        for name in "abc"
    }
    arrive(
        engine,
        [
            event(EventKind.PROPOSED, subject, number, occurred_at=days_before(3))
            for number, subject in enumerate(known.values(), 1)
        ],
    )
    process(engine)
    return known


def learn(engine: Engine, version: str) -> None:
    training = read_training(engine, since_day=0, as_of=RUN)
    record_training(engine, version, training, outcome="promoted", reason="It is better.")


def taught(engine: Engine, subject: int) -> list[str]:
    with reading(engine) as connection:
        return versions_of(connection, subject)


def erase(engine: Engine, subject: int) -> None:
    request = begin(engine, subject, RUN)
    with lease(engine, "erase_subject", 60.0) as held:
        delete_subject(engine, request, held)
    mark_forgotten(engine, request)


def test_a_version_names_whom_it_learned_from_and_nobody_else(
    engine: Engine, people: dict[str, int]
) -> None:
    learn(engine, "2")
    arrive(engine, [event(EventKind.PROPOSED, people["c"], 9, occurred_at=days_before(2))])
    answer(engine, "c", "analytics", "improvement")
    process(engine)
    learn(engine, "3")

    assert [taught(engine, subject) for subject in people.values()] == [
        ["2", "3"],
        ["2", "3"],
        ["3"],
    ]


def test_everybody_had_consented_and_still_does_so_by_the_ledger_after_one_is_erased(
    engine: Engine, people: dict[str, int]
) -> None:
    learn(engine, "2")
    before = standing(engine, "2")
    erase(engine, people["a"])
    after = standing(engine, "2")

    assert (before.subjects, before.held, before.erased, before.all_consented) == (2, 2, 0, True)
    assert (after.subjects, after.held, after.erased, after.all_consented) == (2, 1, 1, True)
    assert before.marked_at is None
    assert after.marked_at is not None


def test_a_consent_that_was_written_into_the_ledger_afterwards_is_found(
    engine: Engine, people: dict[str, int]
) -> None:
    learn(engine, "2")
    with writing(engine) as connection:
        if is_postgres(engine):
            connection.execute(text("ALTER TABLE consents DISABLE TRIGGER ALL"))
        else:
            connection.execute(text("DROP TRIGGER consents_no_update"))
        connection.execute(update(ledger).where(ledger.c.seq == 3).values(improvement=True))

    assert standing(engine, "2").all_consented is False


def test_a_row_whose_state_is_not_backed_by_the_ledger_is_not_learned_from(
    engine: Engine, people: dict[str, int]
) -> None:
    with writing(engine) as connection:
        connection.execute(
            update(subjects).where(subjects.c.subject == people["c"]).values(improvement=True)
        )

    with pytest.raises(ConsentRequired):
        learn(engine, "2")


def test_a_withdrawal_marks_what_learned_from_the_person_and_asks_for_one_retrain(
    engine: Engine, people: dict[str, int]
) -> None:
    learn(engine, "2")
    answer(engine, "c", "analytics")
    assert marked(engine) == set()

    answer(engine, "a", "analytics")
    answer(engine, "b", "analytics")
    learn(engine, "3")

    assert marked(engine) == {"2"}
    assert standing(engine, "2").withdrawn == 2
    with reading(engine) as connection:
        asked = connection.execute(select(runs.c.flow, runs.c.state, runs.c.detail)).all()
    assert [tuple(row) for row in asked] == [("retrain_model", "queued", "after a withdrawal")]


def test_what_has_no_ground_is_listed_until_it_is_deleted(
    engine: Engine, people: dict[str, int]
) -> None:
    for version in "234":
        learn(engine, version)
    long_ago, later = 0, days_before(-1)

    assert superseded(engine, champion="4", before=long_ago) == []
    assert set(superseded(engine, champion="4", before=later)) == {"2", "3"}
    answer(engine, "a", "analytics")
    assert set(superseded(engine, champion="4", before=long_ago)) == {"2", "3"}
    note_disposal(engine, ["2"], moment(later))
    assert superseded(engine, champion="4", before=long_ago) == ["3"]
    assert standing(engine, "2").deleted_at == later


def test_nothing_is_said_of_a_version_that_learned_from_nobody(engine: Engine) -> None:
    with pytest.raises(NotRegistered):
        standing(engine, "1")
