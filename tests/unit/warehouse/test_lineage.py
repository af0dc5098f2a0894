"""Lineage: who taught which version, and whether they had allowed it, by the ledger alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text, update

from schemas.clock import MICROS_PER_DAY, day_number, moment
from schemas.errors import AnotherRegistry, ConsentRequired, LeaseLost, NotRegistered
from schemas.events import EventKind
from schemas.tables import consents as ledger
from schemas.tables import runs, subjects
from tests.population import RUN, answer, arrive, book, days_before, erase, event, learn, process
from warehouse import marks, shadow_prices
from warehouse.engine import is_postgres, reading, writing
from warehouse.erasure_requests import begin
from warehouse.keyfile import make_ring
from warehouse.leases import lease
from warehouse.lineage import (
    marked,
    standing,
    unbooked,
    versions_of,
)
from warehouse.training import (
    condemn,
    expect_version,
    note_disposal,
    publish_weights,
    read_training,
    record_training,
)
from warehouse.weights import aliases, published
from warehouse.witness import BOOKS, Witness

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine


def taught(engine: Engine, subject: int) -> list[str]:
    with reading(engine) as connection:
        return versions_of(connection, subject)


def marked_in(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return marked(connection)


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


@pytest.mark.parametrize("late", ["an erasure", "an event"])
def test_whom_the_ledger_names_beside_those_learned_from_does_not_look_like_one_without_consent(
    engine: Engine, people: dict[str, int], late: str
) -> None:
    if late == "an erasure":
        begin(engine, people["a"], RUN)
        learn(engine, "2")
    else:
        late_one = answer(engine, "d", "analytics", "improvement")
        arrive(engine, [event(EventKind.PROPOSED, late_one, 9, occurred_at=days_before(2))])
        read = read_training(engine, since_day=0, as_of=RUN)
        process(engine)
        book(engine, "2", replace(read, event_seq=read.event_seq + 1))
    before = standing(engine, "2")
    erase(engine, people["a"])
    after = standing(engine, "2")

    assert before.held == before.subjects == (2 if late == "an erasure" else 3)
    assert (before.all_consented, before.marked_at) == (True, None)
    assert (after.held, after.erased, after.all_consented) == (before.held - 1, 1, True)


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
    assert marked_in(engine) == set()

    answer(engine, "a", "analytics")
    answer(engine, "b", "analytics")
    learn(engine, "3")

    assert marked_in(engine) == {"2"}
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
    for version in ("1", "2", "4"):
        publish_weights(engine, version, "{}", at=RUN)

    def condemned(before: int) -> set[str]:
        with lease(engine, "retrain_model", 60.0) as held:
            return set(condemn(engine, held, ["2", "3", "4"], before=before)[0])

    assert condemned(long_ago) == set()
    assert published_by(engine) == ["4", "2", "1"]
    assert condemned(later) == {"2", "3"}
    assert published_by(engine) == ["4", "1"]
    answer(engine, "a", "analytics")
    assert condemned(long_ago) == {"2", "3"}
    with lease(engine, "retrain_model", 60.0) as held:
        note_disposal(engine, held, ["2"], moment(later), all_booked=True)
    assert condemned(long_ago) == {"3"}
    assert standing(engine, "2").deleted_at == later


def published_by(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return published(connection)


def test_a_version_without_books_is_condemned_unless_it_is_in_use(
    engine: Engine, people: dict[str, int]
) -> None:
    learn(engine, "2")
    publish_weights(engine, "2", "{}", at=RUN)

    with lease(engine, "retrain_model", 60.0) as held:
        assert condemn(engine, held, ["2", "3"], before=0) == (["3"], True)
        publish_weights(engine, "3", "{}", at=RUN, lease=held)
        assert condemn(engine, held, ["2", "3"], before=0) == ([], False)


def test_names_follow_what_was_published(engine: Engine, people: dict[str, int]) -> None:
    assert aliases(engine) == {}
    for version in "123":
        if version != "1":
            learn(engine, version)
        publish_weights(engine, version, "{}", at=RUN)
    assert aliases(engine) == {"champion": "3", "previous": "2"}
    publish_weights(engine, "2", "{}", at=RUN)
    assert aliases(engine) == {"champion": "2", "previous": "3"}
    read = read_training(engine, since_day=0, as_of=RUN + timedelta(days=1))
    book(engine, "4", read, outcome="refused")
    assert aliases(engine) == {"champion": "2", "previous": "3", "challenger": "4"}

    answer(engine, "a", "analytics")

    assert aliases(engine) == {"champion": "2", "previous": "1"}


def test_a_refused_version_that_came_into_use_all_the_same_is_no_challenger(
    engine: Engine, people: dict[str, int]
) -> None:
    publish_weights(engine, "1", "{}", at=RUN)
    book(engine, "2", read_training(engine, since_day=0, as_of=RUN), outcome="refused")
    assert aliases(engine) == {"champion": "1", "challenger": "2"}

    publish_weights(engine, "2", "{}", at=RUN)

    assert aliases(engine) == {"champion": "2", "previous": "1"}


def test_nothing_is_said_of_a_version_that_learned_from_nobody(engine: Engine) -> None:
    with pytest.raises(NotRegistered):
        standing(engine, "1")


def test_books_are_not_kept_by_a_retrain_whose_lease_was_taken_over(
    engine: Engine, people: dict[str, int]
) -> None:
    read = read_training(engine, since_day=0, as_of=RUN)
    told = {"outcome": "promoted", "reason": "It is better.", "now": RUN}
    with lease(engine, "retrain_model", 60.0) as held:
        pass
    with lease(engine, "retrain_model", 60.0):
        for write in (
            lambda: expect_version(engine, held),
            lambda: record_training(engine, held, "2", read, **told),
            lambda: publish_weights(engine, "2", "{}", at=RUN, lease=held),
            lambda: condemn(engine, held, ["2"], before=0),
            lambda: note_disposal(engine, held, ["2"], RUN, all_booked=True),
            lambda: shadow_prices.keep(engine, [], "2", RUN, lease=held),
        ):
            with pytest.raises(LeaseLost):
                write()

    with reading(engine) as connection:
        assert unbooked(connection, ["2"]) == {"2"}
        assert published(connection) == []


def test_a_registry_that_begins_anew_beside_old_books_is_said(
    engine: Engine, people: dict[str, int]
) -> None:
    learn(engine, "2")

    with pytest.raises(AnotherRegistry, match="version 2 is in the books already"):
        learn(engine, "2", at=days_before(-1))


def test_books_that_were_kept_by_a_commit_nobody_heard_of_are_kept_once(
    engine: Engine, people: dict[str, int], tmp_path: Path
) -> None:
    """The step is tried again, as after any commit without an answer."""
    make_ring(tmp_path, 1)
    witness = Witness(tmp_path)
    read = read_training(engine, since_day=0, as_of=RUN)
    answer(engine, "a", "analytics")

    found = [book(engine, "2", read, witness=witness) for _ in range(2)]

    kept = standing(engine, "2")
    assert (found, kept.withdrawn, kept.subjects) == ([1, 1], 1, 2)
    assert [entry.kind for entry in witness.verify()] == [BOOKS]


def test_the_first_day_that_a_version_read_is_its_own_from_its_first_moment(
    engine: Engine,
) -> None:
    first = day_number(RUN) - 3
    known = {
        at: answer(engine, str(at), "analytics", "improvement", at=days_before(9))
        for at in (first * MICROS_PER_DAY - 1, first * MICROS_PER_DAY)
    }
    for number, (at, subject) in enumerate(known.items()):
        arrive(engine, [event(EventKind.PROPOSED, subject, number, occurred_at=at)])
    process(engine)
    read = read_training(engine, since_day=first, as_of=RUN)

    book(engine, "2", read)

    assert read.frame["subject"].tolist() == list(known.values())[1:]
    assert [taught(engine, subject) for subject in known.values()] == [[], ["2"]]


def test_a_version_that_is_about_to_be_registered_is_known_to_have_no_books(
    engine: Engine,
) -> None:
    with lease(engine, "retrain_model", 60.0) as held:
        expect_version(engine, held)

    with reading(engine) as connection:
        assert marks.may_be_unbooked(connection)


@pytest.mark.parametrize("all_booked", [True, False])
def test_books_may_be_missing_until_every_version_that_is_left_has_some(
    engine: Engine, *, all_booked: bool
) -> None:
    with lease(engine, "retrain_model", 60.0) as held:
        expect_version(engine, held)
        note_disposal(engine, held, [], RUN, all_booked=all_booked)

    with reading(engine) as connection:
        assert marks.may_be_unbooked(connection) is not all_booked
