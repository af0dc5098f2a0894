"""A backup that is put back brings nobody back: not who was erased, not what was withdrawn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, select, update

from privacy.pseudonyms import subject_pseudonym
from schemas.clock import LATE_DAYS, day_number, moment
from schemas.consents import Options
from schemas.errors import InvalidInput, LeaseLost, NotReady
from schemas.tables import consents as ledger
from schemas.tables import (
    erasures,
    runs,
    subjects,
    versions,
)
from tests.engines import on_sqlite
from tests.population import KEY, NOTICE, NOW, RUN
from tests.restoring import answer, ask, erase, rows_of, snapshot, three_people
from warehouse import burial, consents, marks, proof, replaying, tombstones
from warehouse.backups import accept_restored, back_up, put_back
from warehouse.consents import LedgerBroken
from warehouse.engine import is_postgres, reading, writing
from warehouse.erasure import delete_subject, finish_erasure, read_erasure
from warehouse.erasure_requests import begin_for, pending_erasures
from warehouse.keyfile import make_ring, read_ring
from warehouse.leases import lease
from warehouse.ledgers import verify_ledgers
from warehouse.newest_head import NewestHead
from warehouse.recount import reconcile
from warehouse.replaying import ERASE
from warehouse.seals import Seals
from warehouse.witness import FILE_NAME, RESTORED, WITHDRAWAL, Witness, WitnessBroken

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_ring(tmp_path / "keys", 1)
    return tmp_path / "keys"


@pytest.fixture
def people(engine: Engine, keys: Path) -> dict[str, int]:
    return three_people(engine, keys)


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


def test_a_run_of_before_a_backup_was_put_back_writes_nothing_afterwards(
    engine: Engine, keys: Path
) -> None:
    """Its fence is the one that the next run of the restored database would have had."""
    with lease(engine, "purge_expired", 60.0):
        put_it_back = snapshot(engine)
    with lease(engine, "purge_expired", 60.0) as of_before:
        put_it_back()
        accept_restored(engine, keys)
        with lease(engine, "purge_expired", 60.0) as between:
            with pytest.raises(LeaseLost):
                of_before.renew(engine)
            put_it_back()
            accept_restored(engine, keys)
            with lease(engine, "purge_expired", 60.0) as at_last:
                at_last.renew(engine)
                for other in (of_before, between):
                    with pytest.raises(LeaseLost):
                        other.renew(engine)


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


@on_sqlite
@pytest.mark.parametrize(
    ("where", "step"),
    [
        (marks, "set_backup"),
        (tombstones, "catch_up"),
        (replaying, "_withdraw"),
        (replaying, "_finish"),
        (replaying, "_go_on_from_now"),
        (tombstones, "testify_restored"),
        (NewestHead, "own_up"),
    ],
)
def test_a_restore_that_is_stopped_at_a_step_is_finished_by_the_next(
    engine: Engine,
    keys: Path,
    people: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    *,
    where: Any,
    step: str,
) -> None:
    file = keys.parent / "backup.db"
    tombstones.note_head(engine, keys, RUN)
    back_up(engine, file)
    erase(engine, keys, "a")
    answer(engine, keys, "b")
    tombstones.note_head(engine, keys, RUN)
    with monkeypatch.context() as patch:
        patch.setattr(where, step, _stop)
        with pytest.raises(SystemExit):
            restore(engine, file, keys)

    restore(engine, file, keys)

    assert [rows_of(engine, subject) for subject in people.values()] == [0, 4, 4]
    with reading(engine) as connection:
        allowed = select(subjects.c.analytics).where(subjects.c.subject == people["b"])
        assert not connection.execute(allowed).scalar_one()
        assert not marks.is_backup(connection)
    assert pending_erasures(engine) == []
    assert verify_ledgers(engine, keys).entries == 4
    assert reconcile(engine, 0).matches == 2


def restore(engine: Engine, file: Path, keys: Path) -> None:
    put_back(engine, file, keys)
    accept_restored(engine, keys)


def _stop(*_given: Any, **_more: Any) -> None:
    raise SystemExit
