"""Carry out in a database what the witness knows and it does not.

Erasures and withdrawals, what noisy releases have cost, that books of versions are missing, and
API keys that were made or revoked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import not_, select

from schemas.clock import LATE_DAYS, day_number, micros
from schemas.consents import Options
from schemas.tables import consents as ledger
from schemas.tables import erasures, subjects, training_sets, versions
from warehouse import api_keys, consents, erasure, lineage, marks, releases, runs
from warehouse.engine import reading, writing
from warehouse.erasure_requests import open_request
from warehouse.leases import LeaseHeld, lease
from warehouse.notices import Notice
from warehouse.residue import compact
from warehouse.witness import BOOKS, TOMBSTONE, WITHDRAWAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Engine

    from warehouse.leases import Lease
    from warehouse.seals import Seals
    from warehouse.witness import Testimony, Witness

ERASE = "erase_subject"
"""The lease of whoever erases."""

LEASE_SECONDS, WAIT_SECONDS = 300.0, 60.0
_PURPOSES = ("analytics", "preferences", "improvement")


def replay(engine: Engine, witness: Witness) -> int:
    """Carry out every mark that the database does not follow yet.

    Safe to run again after a failure at any step: it is followed when all is carried out. An
    erasure that is under way is left to its own flow: between its tombstone and its deletion every
    byte is searched, and about its person nothing is read any more.

    Returns:
        How many people were erased or their withdrawals repeated.

    Raises:
        WitnessBroken: An entry of the witness is not what was written.
        LeaseHeld: Another erasure was still at work after a minute, and that is not all that
            is missing.
    """
    wait_seconds = 0.0 if _asked_here(engine, witness) else WAIT_SECONDS
    try:
        with lease(engine, ERASE, LEASE_SECONDS, wait_seconds=wait_seconds) as held:
            return _follow(engine, witness, held)
    except LeaseHeld:
        if not _asked_here(engine, witness):
            raise
        return 0


def _asked_here(engine: Engine, witness: Witness) -> bool:
    """Tell whether all that is missing is the deletion of people who are being erased here."""
    with reading(engine) as connection:
        missing = _missing(connection, witness)
        requested = select(erasures.c.request).where(erasures.c.state == erasure.REQUESTED)
        asked = set(connection.execute(requested).scalars())
        return not marks.is_backup(connection) and all(
            entry.kind == TOMBSTONE and entry.body["request"] in asked for entry in missing
        )


def _missing(connection: Connection, witness: Witness) -> list[Testimony]:
    followed = marks.followed(connection)
    return [entry for entry in witness.verify() if entry.marks > followed]


def _follow(engine: Engine, witness: Witness, held: Lease) -> int:
    with reading(engine) as connection:
        followed, missing = marks.followed(connection), _missing(connection, witness)
        backup = marks.is_backup(connection)
    carried = _carry_out(engine, witness, missing, held)
    with writing(engine) as connection:
        held.check(connection)
        releases.agree(connection, witness)
        _miss_books(connection, missing)
        api_keys.follow(connection, missing)
        marks.follow(connection, max([followed, *(entry.marks for entry in missing)]))
        if backup:
            _go_on_from_now(connection)
    return carried


def _go_on_from_now(connection: Connection) -> None:
    """Let nothing that the lost database published be told anew, nor a model serve without books.

    Days that it may have sealed are not sealed again; a retrain takes out of use what was learned
    since the backup.
    """
    now = datetime.now(UTC)
    marks.seal_until(connection, day_number(now) - LATE_DAYS)
    marks.set_unbooked(connection, unbooked=True)
    runs.queue_in(connection, lineage.RETRAIN, now, "a backup was put back")
    marks.set_backup(connection, backup=False)


def _miss_books(connection: Connection, missing: Iterable[Testimony]) -> None:
    """Note that the registry has versions of which the books were lost; a retrain ends them."""
    kept = {entry.body["version"] for entry in missing if entry.kind == BOOKS}
    booked = set(connection.execute(select(training_sets.c.version)).scalars())
    if kept - booked:
        marks.set_unbooked(connection, unbooked=True)
        runs.queue_in(connection, lineage.RETRAIN, datetime.now(UTC), "books were lost")


def _carry_out(engine: Engine, witness: Witness, missing: Iterable[Testimony], held: Lease) -> int:
    wanted: dict[str, list[Testimony]] = {}
    for entry in missing:
        if entry.kind in (TOMBSTONE, WITHDRAWAL):
            wanted.setdefault(entry.body["subject"], []).append(entry)
    if not wanted:
        return 0
    with reading(engine) as connection:
        numbers = connection.execute(select(subjects.c.subject)).scalars().all()
    carried, again, now = 0, list[str](), datetime.now(UTC)
    for subject in numbers:
        for entry in wanted.get(witness.of_subject(subject), ()):
            if entry.kind == WITHDRAWAL:
                carried += _withdraw(engine, held, witness.seals, subject, entry, now)
                continue
            with writing(engine) as connection:
                held.extend(connection)
                request = open_request(connection, subject, now)
            erasure.delete_subject(engine, request, held)
            if request != entry.body["request"]:  # else its own flow goes on, and proves it
                again.append(request)
            carried += 1
            break
    # Where it is in use, or the disk is full, they stay pending, and are finished like others.
    if again and compact(engine):
        _finish(engine, again, now)
    return carried


def _finish(engine: Engine, requests: Iterable[str], now: datetime) -> None:
    for request in requests:
        erasure.mark_forgotten(engine, request)
        erasure.add_to_report(engine, request, {"replayed": "after a restore"})
        erasure.finish_erasure(engine, request, now)


def _withdraw(  # noqa: PLR0917
    engine: Engine, held: Lease, seals: Seals, subject: int, told: Testimony, now: datetime
) -> int:
    """Repeat a withdrawal that this database does not know: an entry of its own in the ledger."""
    allowed = Options(**told.body["options"])
    with writing(engine) as connection:
        held.extend(connection)
        # One that is being given at the door is witnessed before its commit, and waited for here.
        changes = select(versions).where(versions.c.name == consents.CHANGES)
        connection.execute(changes.with_for_update())
        row = connection.execute(select(subjects).where(subjects.c.subject == subject)).one()
        theirs = ledger.c.ledger_id == row.ledger_id
        taken_back = [not_(ledger.c[name]) for name in _PURPOSES if not getattr(allowed, name)]
        known = select(ledger.c.seq).where(theirs, ledger.c.recorded_at == told.at, *taken_back)
        options = Options(*(getattr(row, name) and getattr(allowed, name) for name in _PURPOSES))
        if row.erasing or options == Options(*(getattr(row, name) for name in _PURPOSES)):
            return 0
        if connection.execute(known).first() is not None:
            return 0  # what they answered since counts
        last = connection.execute(
            select(ledger.c.notice_version, ledger.c.notice_sha256)
            .where(theirs)
            .order_by(ledger.c.seq.desc())
            .limit(1)
        ).one()
        consents.record(
            connection,
            consents.Person(row.key_id, (row.pseudonym,)),
            consents.Entry(uuid4(), options, Notice(*last), "restore", None, micros(now)),
            seals=seals,
        )
        return 1
