"""A backup that is put back brings nobody back: not who was erased, not what was withdrawn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy import event as sqlalchemy_event

from privacy.pseudonyms import subject_pseudonym
from schemas.clock import LATE_DAYS, day_number, moment
from schemas.consents import Options
from schemas.errors import InvalidInput, LeaseLost, NotReady
from schemas.events import EventKind
from schemas.tables import consents as ledger
from schemas.tables import (
    erasures,
    events,
    leases,
    matches,
    metadata,
    private_releases,
    runs,
    subjects,
    versions,
)
from tests.population import KEY, NOTICE, NOW, RUN, arrive, event, process
from warehouse import burial, consents, marks, proof, replaying, tombstones
from warehouse.backups import accept_restored, back_up, put_back
from warehouse.consents import LedgerBroken
from warehouse.engine import is_postgres, reading, writing
from warehouse.erasure import delete_subject, finish_erasure, mark_forgotten, read_erasure
from warehouse.erasure_requests import begin_for, pending_erasures
from warehouse.keyfile import make_ring, read_ring
from warehouse.leases import LeaseHeld, lease
from warehouse.ledgers import verify_ledgers
from warehouse.recount import reconcile
from warehouse.releases import Budget, Question, release
from warehouse.replaying import ERASE
from warehouse.seals import Seals
from warehouse.witness import BOOKS, FILE_NAME, RESTORED, WITHDRAWAL, Witness, WitnessBroken

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection, Engine

HOUR = 3_600_000_000


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_ring(tmp_path / "keys", 1)
    return tmp_path / "keys"


def answer(engine: Engine, keys: Path, name: str, *purposes: str, at: int = NOW - HOUR) -> int:
    person = consents.Person("key", (subject_pseudonym(KEY, name),))
    options = Options(*(name in purposes for name in ("analytics", "preferences", "improvement")))
    entry = consents.Entry(uuid4(), options, NOTICE, "test", None, at)
    with writing(engine) as connection:
        return tombstones.record(connection, keys, person, entry).subject


def ask(engine: Engine, keys: Path, name: str) -> str:
    with writing(engine) as connection:
        return begin_for(connection, keys, [subject_pseudonym(KEY, name)], RUN)


def erase(engine: Engine, keys: Path, name: str) -> str:
    request = ask(engine, keys, name)
    marks = burial.bury(engine, keys, request, RUN)
    with lease(engine, ERASE, 60.0) as held:
        delete_subject(engine, request, held, marks=marks)
    mark_forgotten(engine, request)
    finish_erasure(engine, request, RUN)
    return request


def snapshot(engine: Engine) -> Callable[[], None]:
    """Take a copy of every row, as a base backup would; return what puts it back."""
    with reading(engine) as connection:
        rows = {
            table: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in metadata.sorted_tables
        }

    def put() -> None:
        with writing(engine) as connection:
            if is_postgres(engine):
                for table in ("consents", "private_releases"):
                    connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
            else:
                for table in ("consents", "private_releases"):
                    for name in ("update", "delete", "replace"):
                        connection.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_{name}"))
            for emptied in reversed(metadata.sorted_tables):
                connection.execute(delete(emptied))
            for filled, kept in rows.items():
                if kept:
                    connection.execute(filled.insert(), kept)

    return put


@pytest.fixture
def people(engine: Engine, keys: Path) -> dict[str, int]:
    """Three people with a match each."""
    known = {name: answer(engine, keys, name, "analytics", "improvement") for name in "abc"}
    arrive(
        engine,
        [
            event(kind, subject, number)
            for number, subject in enumerate(known.values(), 1)
            for kind in (EventKind.PROPOSED, EventKind.ACCEPTED)
        ],
    )
    process(engine)
    return known


def rows_of(engine: Engine, subject: int) -> int:
    with reading(engine) as connection:
        return sum(
            len(connection.execute(select(table).where(table.c.subject == subject)).all())
            for table in (subjects, events, matches)
        )


def test_a_withdrawal_that_waits_for_the_first_consent_of_its_person_is_witnessed(
    engine: Engine, keys: Path
) -> None:
    person = consents.Person("key", (subject_pseudonym(KEY, "new"),))
    given = consents.Entry(uuid4(), Options(True, False, False), NOTICE, "test", None, NOW)
    with ThreadPoolExecutor(1) as elsewhere:
        with writing(engine) as connection:
            subject = tombstones.record(connection, keys, person, given).subject
            withdrawn = elsewhere.submit(answer, engine, keys, "new")
            assert not wait([withdrawn], 0.5).done
        assert withdrawn.result() == subject

    witness = Witness(keys)
    (told,) = [entry.body for entry in witness.verify() if entry.kind == WITHDRAWAL]
    assert told["subject"] == witness.of_subject(subject)
    with reading(engine) as connection:
        assert marks.followed(connection) == 1


def test_whoever_was_erased_is_not_back_and_everybody_else_is(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    put = snapshot(engine)
    erase(engine, keys, "a")
    put()
    assert rows_of(engine, people["a"]) == 4

    carried = tombstones.catch_up(engine, keys)

    assert carried == 1
    assert [rows_of(engine, subject) for subject in people.values()] == [0, 4, 4]
    assert reconcile(engine, 0).matches == 2
    assert tombstones.catch_up(engine, keys) == 0
    with reading(engine) as connection:
        ((state, report),) = connection.execute(select(erasures.c.state, erasures.c.report)).all()
    assert state == "done"
    assert "after a restore" in report


def test_an_erasure_that_is_repeated_while_the_database_is_in_use_stays_pending(
    engine: Engine, keys: Path, people: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    put = snapshot(engine)
    erase(engine, keys, "a")
    put()
    monkeypatch.setattr(replaying, "compact", lambda _: False)

    tombstones.catch_up(engine, keys)

    (request,) = pending_erasures(engine)
    assert read_erasure(engine, request).state == "deleted"


def test_an_erased_person_is_known_in_a_backup_under_an_older_key(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    put = snapshot(engine)
    with writing(engine) as connection:  # they moved to a newer key before they left
        moved = subject_pseudonym(b"n" * 32, "a")
        connection.execute(
            update(subjects).where(subjects.c.subject == people["a"]).values(pseudonym=moved)
        )
        request = begin_for(connection, keys, [moved], RUN)
    marks = burial.bury(engine, keys, request, RUN)
    with lease(engine, ERASE, 60.0) as held:
        delete_subject(engine, request, held, marks=marks)
    put()

    tombstones.catch_up(engine, keys)

    assert rows_of(engine, people["a"]) == 0


def test_a_withdrawal_since_the_backup_is_repeated_as_an_entry_of_its_own(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    put = snapshot(engine)
    answer(engine, keys, "b", "analytics")
    put()

    assert tombstones.catch_up(engine, keys) == 1

    with reading(engine) as connection:
        row = connection.execute(select(subjects).where(subjects.c.subject == people["b"])).one()
        last = connection.execute(select(ledger).order_by(ledger.c.seq.desc()).limit(1)).one()
    assert (row.analytics, row.improvement) == (True, False)
    assert (last.channel, last.improvement, last.seq) == ("restore", False, 4)
    assert last.seal == Seals(read_ring(keys)).of_entry(last.entry_hash)
    assert consents.verify(engine) == 4


def test_a_withdrawal_that_is_being_given_is_not_repeated(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    person = consents.Person("key", (subject_pseudonym(KEY, "b"),))
    entry = consents.Entry(uuid4(), Options(False, False, False), NOTICE, "test", None, NOW)
    with ThreadPoolExecutor(1) as flow:
        with writing(engine) as connection:
            tombstones.record(connection, keys, person, entry)
            following = flow.submit(tombstones.catch_up, engine, keys)
            wait([following], 0.5)
        assert following.result() == 0

    with reading(engine) as connection:
        channels = connection.execute(select(ledger.c.channel)).scalars().all()
    assert "restore" not in channels


def test_a_tombstone_whose_deletion_was_killed_is_carried_out_by_whoever_comes_next(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    request = ask(engine, keys, "a")
    burial.bury(engine, keys, request, RUN)

    assert tombstones.catch_up(engine, keys) == 1

    assert rows_of(engine, people["a"]) == 0
    # Its own flow goes on from there, and proves it.
    assert read_erasure(engine, request).state == "deleted"


def test_a_witness_whose_tail_was_cut_is_refused(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    erase(engine, keys, "a")
    erase(engine, keys, "b")
    lines = (keys / FILE_NAME).read_bytes().splitlines(keepends=True)
    (keys / FILE_NAME).write_bytes(b"".join(lines[:-1]))

    with pytest.raises(WitnessBroken, match="1 marks"):
        tombstones.catch_up(engine, keys)
    with pytest.raises(WitnessBroken, match="shorter"):
        verify_ledgers(engine, keys)


def test_a_cut_ledger_shows_against_the_noted_head_until_a_restore_is_owned_up_to(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    put = snapshot(engine)
    answer(engine, keys, "d", "analytics")
    tombstones.note_head(engine, keys, moment(NOW))
    assert verify_ledgers(engine, keys).heads == 1
    put()
    assert consents.verify(engine) == 3

    with pytest.raises(LedgerBroken, match="4 was noted"):
        verify_ledgers(engine, keys)
    accept_restored(engine, keys)

    assert verify_ledgers(engine, keys).entries == 3
    put()
    with writing(engine) as connection:
        connection.execute(delete(ledger).where(ledger.c.seq == 3))
        connection.execute(delete(subjects).where(subjects.c.subject == people["c"]))
        connection.execute(update(versions).where(versions.c.name == "ledger").values(value=2))
    with pytest.raises(LedgerBroken, match="3 was noted"):
        verify_ledgers(engine, keys)


def test_a_backup_is_of_one_moment_says_what_it_is_and_is_not_opened_without_keys(
    engine: Engine, keys: Path, people: dict[str, int], tmp_path: Path
) -> None:
    copy = tmp_path / "copies" / "backup.db"
    if is_postgres(engine):
        with pytest.raises(InvalidInput, match="pg_dump"):
            back_up(engine, copy)
        return
    back_up(engine, copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InvalidInput, match="exist"):
        back_up(engine, copy)
    request = erase(engine, keys, "a")
    answer(engine, keys, "b", "analytics")

    put_back(engine, copy, keys)
    assert rows_of(engine, people["a"]) == 4
    with pytest.raises(NotReady, match="backup"):
        tombstones.catch_up(engine, tmp_path / "no keys here")
    assert accept_restored(engine, keys) == 2
    with reading(engine) as connection:
        # What may have been published is not sealed again, and no model serves without books.
        assert marks.sealed_until(connection) == day_number(datetime.now(UTC)) - LATE_DAYS
        assert connection.execute(select(runs.c.flow).where(runs.c.state == "queued")).all() == [
            ("retrain_model",)
        ]

    assert [rows_of(engine, subject) for subject in people.values()] == [0, 4, 4]
    assert tombstones.catch_up(engine, tmp_path / "no keys here") == 0
    last = Witness(keys).last()
    assert last is not None
    assert (last.kind, last.body["carried_out"], last.body["seq"]) == (RESTORED, 2, 3)
    assert request not in {row[0] for row in _requests(engine)}
    content = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("smartmatch.db*"))
    assert subject_pseudonym(KEY, "a") not in content
    assert people["a"].to_bytes(8, "big") not in content


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


def test_versions_whose_books_were_lost_go_by_a_retrain(engine: Engine, keys: Path) -> None:
    Witness(keys).append(BOOKS, {"version": "7"}, NOW)

    tombstones.catch_up(engine, keys)

    with reading(engine) as connection:
        assert marks.may_be_unbooked(connection)
        assert connection.execute(select(runs.c.flow, runs.c.detail)).all() == [
            ("retrain_model", "books were lost")
        ]


def _requests(engine: Engine) -> list[tuple[str]]:
    with reading(engine) as connection:
        return [tuple(row) for row in connection.execute(select(erasures.c.request))]


def test_what_is_no_backup_is_not_put_back(
    engine: Engine, keys: Path, people: dict[str, int], tmp_path: Path
) -> None:
    file = tmp_path / "none.db"
    file.write_bytes(b"")

    with pytest.raises(InvalidInput):
        put_back(engine, file, keys)
    assert rows_of(engine, people["a"]) == 4


def test_a_report_that_was_changed_is_not_the_signed_one(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    request = ask(engine, keys, "a")
    marks = burial.bury(engine, keys, request, RUN)
    with lease(engine, ERASE, 60.0) as held:
        delete_subject(engine, request, held, marks=marks)
    proof.sign(engine, keys, request, [], RUN)
    finish_erasure(engine, request, RUN)
    assert verify_ledgers(engine, keys).reports == 1

    with writing(engine) as connection:
        report = connection.execute(select(erasures.c.report)).scalar_one()
        changed = report.replace('"matches":1', '"matches":0')
        assert changed != report
        connection.execute(update(erasures).values(report=changed))

    with pytest.raises(WitnessBroken, match="signed"):
        verify_ledgers(engine, keys)


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
