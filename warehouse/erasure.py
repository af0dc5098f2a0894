"""Erase one person: stop, remember, delete, subtract, name the models, forget, prove.

The state of a request says which step comes next, and every step may run again: requested,
deleted, forgotten, done. What has to be looked for afterwards waits in the case file beside the
keys. The report holds counts, measures and versions; once a request is done nothing in it leads
back to the person.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import delete, exists, func, select, update

from schemas.clock import micros, moment
from schemas.errors import SmartMatchError
from schemas.tables import (
    erasures,
    events,
    matches,
    receipts,
    rejected,
    staged,
    subjects,
    versions,
)
from warehouse import accounts, drift_days, lineage, runs
from warehouse.by_subject import of_subject
from warehouse.engine import add_to, reading, writing
from warehouse.marks import follow
from warehouse.persons import OverMatch
from warehouse.purposes import Ground, on_ground
from warehouse.residue import spread_log
from warehouse.subtraction import subtract_subject
from warehouse.withdrawals import wait_for_storing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Engine, Table

    from warehouse.case_file import CaseFile
    from warehouse.leases import Lease

REQUESTED, DELETED, FORGOTTEN, DONE = "requested", "deleted", "forgotten", "done"


class NoSuchErasure(SmartMatchError):
    """No erasure was asked for under this number."""


@dataclass(frozen=True)
class Erasure:
    """One request, as it stands.

    Attributes:
        request: Its number.
        state: The last step that is done.
        subject: The subject's number; None once nothing is left to delete.
        deleted: Rows deleted, by table.
        models: Versions that had learned from the subject, oldest first; where the report has
            ``unbooked_versions``, there may be others that had.
        report: All of the report, ready for JSON.
    """

    request: str
    state: str
    subject: int | None
    deleted: dict[str, int]
    models: list[str]
    report: dict[str, Any] = field(default_factory=dict)


def read_erasure(engine: Engine, request: str) -> Erasure:
    """Read a request as it stands.

    Raises:
        NoSuchErasure: There is none of this number.
    """
    with reading(engine) as connection:
        return read_in(connection, request)


@on_ground(Ground.ERASURE)
def delete_subject(engine: Engine, request: str, lease: Lease, *, marks: int = 0) -> Erasure:
    """Delete everything about the subject and take it out of the sums, in one transaction.

    The link between pseudonym and number goes last, so that the ledger's entries, which stay,
    lead nowhere. Before anything else it waits for the transactions that may still store an event
    of theirs (``withdrawals.py``), so that none appears afterwards.

    Args:
        engine: The database.
        request: Number of the request.
        lease: Of this erasure.
        marks: The witness' number of the subject's tombstone, which this database then follows.

    Raises:
        OverMatch: More than one row would go where there is one a person; nothing is deleted.
    """
    wait_for_storing(engine)
    spread_log(engine)
    with writing(engine) as connection:
        lease.check(connection)
        erasure = read_in(connection, request)
        if erasure.state != REQUESTED or erasure.subject is None:
            return erasure
        subject = erasure.subject
        # A run that moves these events holds them first and the sums then: so does this.
        connection.execute(
            select(staged.c.seq).where(staged.c.subject == subject).with_for_update()
        )
        before = rows_of(connection, subject)
        models = lineage.mark_erased(connection, subject, moment(time.time_ns() // 1_000))
        drift_days.forget(connection, subject, models)
        metrics = subtract_subject(connection, subject)
        deleted = {
            "receipts": _delete_receipts(connection, subject),
            **{
                table.name: _delete_rows(connection, table, subject)
                for table in (staged, rejected, events, matches)
            },
        }
        accounts.add(
            connection,
            {(accounts.ERASED, name): deleted[name] for name in ("staged", "rejected", "events")},
        )
        deleted["subjects"] = _delete_rows(connection, subjects, subject)
        if deleted["subjects"] > 1 or deleted["receipts"] > sum(before.values()):
            raise OverMatch("the erasure would touch more than one person; nothing was deleted")
        connection.execute(
            add_to(connection, versions, ["name"]), [{"name": "consents", "value": 1}]
        )
        follow(connection, marks)
        report = {
            "deleted": deleted,
            "models": models,
            "unbooked_versions": lineage.unbooked_note(connection),
            "metrics": metrics,
            "rows": {"before": before, "after": rows_of(connection, subject)},
        }
        _set(connection, request, state=DELETED, subject=None, report=_encode(report))
        return read_in(connection, request)


def mark_forgotten(engine: Engine, request: str) -> None:
    """Note that no byte of the subject's deleted rows is left in the database's files."""
    with writing(engine) as connection:
        if read_in(connection, request).state == DELETED:
            _set(connection, request, state=FORGOTTEN)


def add_to_report(engine: Engine, request: str, parts: Mapping[str, Any]) -> Erasure:
    """Add parts to the report of a request, replacing those of the same name."""
    with writing(engine) as connection:
        report = read_in(connection, request).report | dict(parts)
        _set(connection, request, report=_encode(report))
        return read_in(connection, request)


def finish_erasure(
    engine: Engine, request: str, now: datetime, lease: Lease | None = None
) -> Erasure:
    """Queue the retrain where a model had learned from the subject, and close the request."""
    with writing(engine) as connection:
        if lease is not None:
            lease.check(connection)
        erasure = read_in(connection, request)
        if erasure.state != DONE:
            if erasure.models or erasure.report.get("unbooked_versions"):
                runs.queue_in(connection, lineage.RETRAIN, now, lineage.ERASED)
            _set(connection, request, state=DONE, finished_at=micros(now))
        return read_in(connection, request)


@on_ground(Ground.ERASURE)
def rows_of(connection: Connection, subject: int) -> dict[str, int]:
    """Count the rows of a subject, by table."""
    return {
        table.name: connection.execute(
            select(func.count()).select_from(table).where(of_subject(connection, table, subject))
        ).scalar_one()
        for table in (staged, rejected, events, matches, subjects)
    }


def known_again(engine: Engine, case: CaseFile | None) -> frozenset[bytes]:
    """Return the pseudonyms of a case that somebody has again: its person answered anew since.

    They are theirs by the new answer, and no trace of what is erased.
    """
    if case is None:
        return frozenset()
    others = select(subjects.c.pseudonym).where(
        subjects.c.pseudonym.in_(case.pseudonyms), subjects.c.subject != case.subject
    )
    with reading(engine) as connection:
        return frozenset(connection.execute(others).scalars())


@on_ground(Ground.ERASURE)
def keys_of(connection: Connection, subject: int) -> list[bytes]:
    """List what tells the rows of a subject from others', as SQLite stores it, in order."""
    keys = {
        event_id
        for table in (staged, rejected, events)
        for event_id in connection.execute(
            select(table.c.event_id).where(of_subject(connection, table, subject))
        ).scalars()
    }
    others = matches.alias()
    shared = exists().where(
        others.c.match_key == matches.c.match_key, others.c.subject != matches.c.subject
    )
    theirs = of_subject(connection, matches, subject)
    alone = select(matches.c.match_key).where(theirs, ~shared)
    numbers = connection.execute(alone).scalars()
    return sorted(keys | {number.to_bytes(8, "big", signed=True) for number in numbers})


@on_ground(Ground.ERASURE)
def _delete_receipts(connection: Connection, subject: int) -> int:
    total = 0
    for table in (staged, rejected, events):
        ids = select(table.c.event_id).where(of_subject(connection, table, subject))
        total += connection.execute(delete(receipts).where(receipts.c.event_id.in_(ids))).rowcount
    return total


def _delete_rows(connection: Connection, table: Table, subject: int) -> int:
    return connection.execute(delete(table).where(of_subject(connection, table, subject))).rowcount


def read_in(connection: Connection, request: str) -> Erasure:
    """Do what ``read_erasure`` does, in a transaction that is open."""
    row = connection.execute(select(erasures).where(erasures.c.request == request)).one_or_none()
    if row is None:
        raise NoSuchErasure("no erasure was asked for under this number")
    report = msgspec.json.decode(row.report, type=dict[str, Any]) if row.report else {}
    deleted, models = report.get("deleted", {}), report.get("models", [])
    return Erasure(request, row.state, row.subject, deleted, models, report)


def _encode(report: Mapping[str, Any]) -> str:
    return msgspec.json.encode(report).decode()


def _set(connection: Connection, request: str, **values: object) -> None:
    connection.execute(update(erasures).where(erasures.c.request == request).values(**values))
