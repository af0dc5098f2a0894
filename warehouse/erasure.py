"""Erase one person: stop, delete, subtract, name the models, prove.

The state of a request says which step comes next, and every step may run again: requested,
deleted, forgotten, done. The report holds counts and versions; once a request is done nothing
in it leads back to the person.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import delete, func, select, update

from schemas.clock import micros
from schemas.errors import SmartMatchError
from schemas.tables import (
    consents,
    erasures,
    events,
    matches,
    purges,
    receipts,
    rejected,
    runs,
    staged,
    subjects,
    training_sets,
    versions,
)
from warehouse import accounts
from warehouse.engine import add_to, reading, writing
from warehouse.subtraction import subtract_subject

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Engine, Table

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
        models: Versions that had learned from the subject, oldest first.
    """

    request: str
    state: str
    subject: int | None
    deleted: dict[str, int]
    models: list[str]


class _Report(msgspec.Struct):
    deleted: dict[str, int] = msgspec.field(default_factory=dict)
    models: list[str] = msgspec.field(default_factory=list)


def read_erasure(engine: Engine, request: str) -> Erasure:
    """Read a request as it stands.

    Raises:
        NoSuchErasure: There is none of this number.
    """
    with reading(engine) as connection:
        return _read(connection, request)


def pending_erasures(engine: Engine) -> list[str]:
    """List the requests that are not done, oldest first."""
    with reading(engine) as connection:
        return list(
            connection.execute(
                select(erasures.c.request)
                .where(erasures.c.state != DONE)
                .order_by(erasures.c.requested_at, erasures.c.request)
            ).scalars()
        )


def delete_subject(engine: Engine, request: str, lease: Lease) -> Erasure:
    """Delete everything about the subject and take it out of the sums, in one transaction.

    The link between pseudonym and number goes last, so that the ledger's entries, which stay,
    lead nowhere.
    """
    with writing(engine) as connection:
        lease.check(connection)
        erasure = _read(connection, request)
        if erasure.state != REQUESTED or erasure.subject is None:
            return erasure
        subject = erasure.subject
        models = models_of(connection, subject)
        # A run that moves these events holds them first and the sums then: so does this.
        connection.execute(
            select(staged.c.seq).where(staged.c.subject == subject).with_for_update()
        )
        subtract_subject(connection, subject)
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
        connection.execute(
            add_to(connection, versions, ["name"]), [{"name": "consents", "value": 1}]
        )
        report = msgspec.json.encode(_Report(deleted, models)).decode()
        _set(connection, request, state=DELETED, subject=None, report=report)
        return _read(connection, request)


def mark_forgotten(engine: Engine, request: str) -> None:
    """Note that no deleted byte of the subject is left in the database's files."""
    with writing(engine) as connection:
        if _read(connection, request).state == DELETED:
            _set(connection, request, state=FORGOTTEN)


def finish_erasure(engine: Engine, request: str, now: datetime) -> Erasure:
    """Queue the retrain where a model had learned from the subject, and close the request."""
    with writing(engine) as connection:
        erasure = _read(connection, request)
        if erasure.state != DONE:
            if erasure.models:
                connection.execute(
                    runs.insert().values(
                        run=str(uuid.uuid4()),
                        flow="retrain_model",
                        state="queued",
                        requested_at=micros(now),
                        detail="after an erasure",
                    )
                )
            _set(connection, request, state=DONE, finished_at=micros(now))
        return _read(connection, request)


def models_of(connection: Connection, subject: int) -> list[str]:
    """List the versions that learned from a subject.

    A version learned from everyone who had a proposal before its training set was read and
    whose newest ledger entry at that moment allowed improvement.
    """
    first = _first_proposal(connection, subject)
    if first is None:
        return []
    newest = (
        select(func.max(consents.c.seq))
        .join(subjects, subjects.c.ledger_id == consents.c.ledger_id)
        .where(subjects.c.subject == subject, consents.c.recorded_at <= training_sets.c.as_of)
        .correlate(training_sets)
        .scalar_subquery()
    )
    allowed = select(consents.c.improvement).where(consents.c.seq == newest).scalar_subquery()
    return list(
        connection.execute(
            select(training_sets.c.version)
            .where(training_sets.c.as_of >= first, allowed)
            .order_by(training_sets.c.as_of)
        ).scalars()
    )


def _first_proposal(connection: Connection, subject: int) -> int | None:
    """Return the earliest time at which a subject may have had a proposal; None for never.

    Where a purge may have deleted rows of theirs, that is their first answer: a model that
    learned from a purged row is still named.
    """
    first = connection.execute(
        select(func.min(matches.c.first_at)).where(
            matches.c.subject == subject, matches.c.proposed_at.is_not(None)
        )
    ).scalar()
    answered = connection.execute(
        select(func.min(consents.c.recorded_at))
        .join(subjects, subjects.c.ledger_id == consents.c.ledger_id)
        .where(subjects.c.subject == subject)
    ).scalar()
    purged = connection.execute(
        select(func.max(purges.c.cutoff)).where(purges.c.data_class == matches.name)
    ).scalar()
    if answered is not None and purged is not None and answered < purged:
        return int(answered)
    return first


def _delete_receipts(connection: Connection, subject: int) -> int:
    total = 0
    for table in (staged, rejected, events):
        ids = select(table.c.event_id).where(table.c.subject == subject)
        total += connection.execute(delete(receipts).where(receipts.c.event_id.in_(ids))).rowcount
    return total


def _delete_rows(connection: Connection, table: Table, subject: int) -> int:
    return connection.execute(delete(table).where(table.c.subject == subject)).rowcount


def _read(connection: Connection, request: str) -> Erasure:
    row = connection.execute(select(erasures).where(erasures.c.request == request)).one_or_none()
    if row is None:
        raise NoSuchErasure("no erasure was asked for under this number")
    report = msgspec.json.decode(row.report, type=_Report) if row.report else _Report()
    return Erasure(request, row.state, row.subject, report.deleted, report.models)


def _set(connection: Connection, request: str, **values: object) -> None:
    connection.execute(update(erasures).where(erasures.c.request == request).values(**values))
