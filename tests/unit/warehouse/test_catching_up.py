"""A database that was put back follows what was witnessed since, once, whoever else is at work."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import select, update

from privacy.pseudonyms import subject_pseudonym
from schemas.clock import LATE_DAYS, day_number, moment
from schemas.consents import Options
from schemas.errors import LeaseLost, NotReady
from schemas.tables import (
    erasures,
    leases,
    private_releases,
    runs,
    subjects,
)
from tests.engines import on_postgresql
from tests.population import KEY, NOTICE, NOW, RUN, book
from tests.restoring import HOUR, answer, ask, erase, rows_of, snapshot, three_people
from warehouse import api_keys, burial, consents, lineage, marks, replaying, tombstones
from warehouse.backups import accept_restored
from warehouse.engine import connect, reading, writing
from warehouse.erasure_requests import pending_erasures
from warehouse.keyfile import make_ring
from warehouse.leases import LeaseHeld, lease
from warehouse.ledgers import verify_ledgers
from warehouse.releases import Budget, Question, release
from warehouse.replaying import ERASE
from warehouse.training import read_training
from warehouse.witness import BOOKS, WITHDRAWAL, Witness

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydantic import SecretStr
    from sqlalchemy import Connection, Engine


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_ring(tmp_path / "keys", 1)
    return tmp_path / "keys"


@pytest.fixture
def people(engine: Engine, keys: Path) -> dict[str, int]:
    return three_people(engine, keys)


def test_a_database_that_was_put_back_by_other_means_goes_on_from_now_and_has_spent_what_was(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    put = snapshot(engine)
    day = day_number(moment(NOW))
    question = Question(day - 40, day - LATE_DAYS, 100_000, 5)
    given = {"now": NOW, "add_noise": lambda figures, *_: dict(figures)}
    release(engine, keys, question, Budget(100_000, 365), **given)
    put()

    accept_restored(engine, keys)

    with reading(engine) as connection:
        costs = connection.execute(select(private_releases.c.epsilon_micro)).scalars().all()
        assert costs == [100_000]
        assert marks.sealed_until(connection) == day_number(datetime.now(UTC)) - LATE_DAYS
        assert not marks.is_backup(connection)
        # Trained on a machine without keys, a version is in no witness.
        assert marks.may_be_unbooked(connection)


def test_a_catching_up_that_is_killed_anywhere_is_done_anew_with_all_that_belongs_to_it(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    put = snapshot(engine)
    erase(engine, keys, "a")
    left = kills = 0

    def count_down(_connection: Connection) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt

    sqlalchemy_event.listen(engine, "commit", count_down)
    done = False
    while not done:
        left = 0
        put()
        with writing(engine) as connection:
            marks.set_backup(connection, backup=True)
        kills = left = kills + 1
        with suppress(KeyboardInterrupt):
            tombstones.catch_up(engine, keys)
        left = 0
        with reading(engine) as connection:
            done = not marks.is_backup(connection)
            assert (marks.sealed_until(connection) > 0) is done
            assert marks.may_be_unbooked(connection) is done
            assert (marks.followed(connection) == 1) is done
        tombstones.catch_up(engine, keys)
        assert rows_of(engine, people["a"]) == 0
        with reading(engine) as connection:
            assert connection.execute(select(runs.c.flow)).all() == [("retrain_model",)]
    assert kills > 1


@pytest.mark.parametrize("erased", [False, True])
def test_a_catching_up_that_is_stopped_past_its_lease_changes_nothing_when_it_wakes(
    engine: Engine,
    keys: Path,
    people: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    erased: bool,
) -> None:
    put = snapshot(engine)
    if erased:
        erase(engine, keys, "a")
    else:
        answer(engine, keys, "a", "improvement")
    put()
    of_subject = Witness.of_subject

    def too_late(witness: Witness, subject: int) -> str:
        # Another one carries all out meanwhile.
        monkeypatch.setattr(Witness, "of_subject", of_subject)
        with writing(engine) as connection:
            connection.execute(update(leases).values(expires_at=0))
        tombstones.catch_up(engine, keys)
        if not erased:
            answer(engine, keys, "a", "analytics", at=NOW)
        return witness.of_subject(subject)

    monkeypatch.setattr(Witness, "of_subject", too_late)
    with pytest.raises(LeaseLost):
        tombstones.catch_up(engine, keys)

    assert pending_erasures(engine) == []
    with reading(engine) as connection:
        allowed = connection.execute(select(subjects.c.analytics)).scalars().all()
    assert allowed == [True] * (2 if erased else 3)


def test_a_catching_up_that_is_overtaken_before_its_end_says_of_nothing_that_it_is_followed(
    engine: Engine, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Witness(keys).append(BOOKS, {"version": "7"}, NOW)
    carry_out = replaying._carry_out

    def overtaken(*given: Any) -> int:
        with writing(engine) as connection:
            connection.execute(update(leases).values(fence=leases.c.fence + 1))
        return carry_out(*given)

    monkeypatch.setattr(replaying, "_carry_out", overtaken)
    with pytest.raises(LeaseLost):
        tombstones.catch_up(engine, keys)

    with reading(engine) as connection:
        assert marks.followed(connection) == 0
        assert not marks.may_be_unbooked(connection)


def test_a_database_never_follows_fewer_marks_than_before(engine: Engine) -> None:
    with writing(engine) as connection:
        for mark in (5, 3):
            marks.follow(connection, mark)
        assert marks.followed(connection) == 5


def withdraw_in_vain(engine: Engine, keys: Path) -> None:
    with writing(engine) as connection:
        person = consents.Person("key", (subject_pseudonym(KEY, "a"),))
        entry = consents.Entry(uuid4(), Options(False, False, False), NOTICE, "api", None, NOW)
        tombstones.record(connection, keys, person, entry)
        raise NotReady("the database did not answer")


def make_api_key(engine: Engine, keys: Path) -> None:
    api_keys.create(engine, keys, "matcher", [api_keys.Scope.INGEST], RUN)


def book_a_version(engine: Engine, keys: Path) -> None:
    read = read_training(engine, since_day=0, as_of=RUN)
    book(engine, "2", read, witness=Witness(keys))


def erase_another(engine: Engine, keys: Path) -> None:
    erase(engine, keys, "c")


@pytest.mark.parametrize("mark", [make_api_key, book_a_version, erase_another])
def test_no_mark_passes_over_a_withdrawal_whose_commit_failed(
    engine: Engine, keys: Path, people: dict[str, int], mark: Callable[[Engine, Path], None]
) -> None:
    with pytest.raises(NotReady):
        withdraw_in_vain(engine, keys)
    mark(engine, keys)

    assert tombstones.catch_up(engine, keys) == 1

    with reading(engine) as connection:
        columns = (subjects.c.subject, subjects.c.analytics)
        allowed = dict(connection.execute(select(*columns)).tuples().all())
    assert not allowed[people["a"]]
    assert allowed[people["b"]]
    verify_ledgers(engine, keys)
    assert tombstones.catch_up(engine, keys) == 0


@pytest.mark.parametrize("again", [False, True], ids=["for good", "and allows it again"])
def test_a_withdrawal_whose_commit_failed_is_carried_out_though_others_withdrew_since(
    engine: Engine, keys: Path, people: dict[str, int], again: bool
) -> None:
    """Else the witness would know of it, and the ledger never."""

    with pytest.raises(NotReady):
        withdraw_in_vain(engine, keys)
    answer(engine, keys, "b", at=NOW + HOUR)
    if again:
        answer(engine, keys, "b", "analytics", at=NOW + 2 * HOUR)

    assert tombstones.catch_up(engine, keys) == 1

    with reading(engine) as connection:
        columns = (subjects.c.subject, subjects.c.analytics)
        allowed = dict(connection.execute(select(*columns)).tuples().all())
        assert marks.followed(connection) == 2
    assert allowed == {
        people["a"]: False,
        people["b"]: again,
        people["c"]: True,
    }
    verify_ledgers(engine, keys)
    assert tombstones.catch_up(engine, keys) == 0


@on_postgresql  # SQLite has one writer at a time
@pytest.mark.parametrize("holds", ["the books", "who consents"])
def test_a_withdrawal_that_waits_in_vain_for_a_flow_is_not_witnessed(
    engine: Engine, keys: Path, people: dict[str, int], database_url: SecretStr, holds: str
) -> None:
    server = connect(database_url, busy_timeout_ms=100)
    with writing(engine) as flow:
        if holds == "the books":
            lineage.lock_books(flow)
        else:
            flow.execute(select(subjects).with_for_update(read=True))
        with pytest.raises(NotReady):
            answer(server, keys, "a")
    server.dispose()

    assert Witness(keys).verify() == []


def test_versions_whose_books_were_lost_go_by_a_retrain(engine: Engine, keys: Path) -> None:
    Witness(keys).append(BOOKS, {"version": "7"}, NOW)

    tombstones.catch_up(engine, keys)

    with reading(engine) as connection:
        assert marks.may_be_unbooked(connection)
        assert connection.execute(select(runs.c.flow, runs.c.detail)).all() == [
            ("retrain_model", "books were lost")
        ]


def test_a_flow_beside_an_erasure_leaves_it_to_that_and_nothing_else(
    engine: Engine, keys: Path, people: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the tombstone and the deletion every byte is searched, which may take minutes."""
    monkeypatch.setattr(replaying, "WAIT_SECONDS", 0.3)
    burial.bury(engine, keys, ask(engine, keys, "a"), RUN)

    with lease(engine, ERASE, 60.0):
        assert tombstones.catch_up(engine, keys) == 0
        assert rows_of(engine, people["a"]) == 4
        with writing(engine) as connection:
            marks.set_backup(connection, backup=True)
        with pytest.raises(LeaseHeld):
            tombstones.catch_up(engine, keys)
        with writing(engine) as connection:
            marks.set_backup(connection, backup=False)
            connection.execute(update(erasures).values(state="deleted"))
        with pytest.raises(LeaseHeld):
            tombstones.catch_up(engine, keys)


def test_withdrawal_of_who_is_being_erased_is_not_repeated_and_stops_nothing(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    ask(engine, keys, "a")
    witness = Witness(keys)
    nothing = {"analytics": False, "preferences": False, "improvement": False}
    body = {"subject": witness.of_subject(people["a"]), "options": nothing}
    marked = witness.append(WITHDRAWAL, body, 1).marks

    assert tombstones.catch_up(engine, keys) == 0
    with reading(engine) as connection:
        assert marks.followed(connection) == marked
