"""Ask for a person's erasure and follow it, without what the erasure itself needs."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select, true, update

from schemas.clock import micros
from schemas.tables import erasures, subjects, versions
from warehouse.consents import CHANGES
from warehouse.engine import add_to, reading, writing

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Engine

REQUESTED, DONE = "requested", "done"


@dataclass(frozen=True)
class Request:
    """A request and how far it is; the report holds counts and versions, nothing of a person."""

    request: str
    state: str
    requested_at: int
    finished_at: int | None
    report: dict[str, Any]


def begin(engine: Engine, subject: int, now: datetime) -> str:
    """Stop collecting about a subject and open a request; asked twice, it is the same one."""
    with writing(engine) as connection:
        return open_request(connection, subject, now)


def open_request(connection: Connection, subject: int, now: datetime) -> str:
    """Do what ``begin`` does, in a transaction that others write in as well."""
    # Whoever holds the subject's row decides; a second call waits here and finds the first.
    connection.execute(update(subjects).where(subjects.c.subject == subject).values(erasing=true()))
    opened = connection.execute(
        select(erasures.c.request).where(erasures.c.subject == subject, erasures.c.state != DONE)
    ).scalar()
    if opened is not None:
        return str(opened)
    request = str(uuid.uuid4())
    connection.execute(
        erasures.insert().values(
            request=request, subject=subject, state=REQUESTED, requested_at=micros(now)
        )
    )
    connection.execute(add_to(connection, versions, ["name"]), [{"name": CHANGES, "value": 1}])
    return request


def read(engine: Engine, request: str) -> Request | None:
    """Read a request as it stands, or None when there is none of this number."""
    columns = (
        erasures.c.request,
        erasures.c.state,
        erasures.c.requested_at,
        erasures.c.finished_at,
        erasures.c.report,
    )
    with reading(engine) as connection:
        row = connection.execute(select(*columns).where(erasures.c.request == request)).first()
    if row is None:
        return None
    report = msgspec.json.decode(row.report) if row.report else {}
    return Request(row.request, row.state, row.requested_at, row.finished_at, report)
