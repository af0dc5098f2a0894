"""Ask for a person's erasure and follow it, without what the erasure itself needs."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select, true, update

from schemas.clock import micros
from schemas.tables import erasures, subjects, versions
from warehouse import withdrawals
from warehouse.case_file import (
    CaseFile,
    close_case,
    merged,
    open_cases,
    read_case,
    write_case,
)
from warehouse.consents import CHANGES, NoSuchPerson
from warehouse.engine import add_to, reading, writing
from warehouse.keyfile import read_ring
from warehouse.persons import OverMatch, rows_of_one
from warehouse.seals import Seals

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from warehouse.leases import Lease

REQUESTED, DONE = "requested", "done"


@dataclass(frozen=True)
class Request:
    """A request and how far it is; the report holds counts and versions, nothing of a person."""

    request: str
    state: str
    requested_at: int
    finished_at: int | None
    report: dict[str, Any]


def begin_for(
    connection: Connection, directory: Path, pseudonyms: Collection[bytes], now: datetime
) -> str:
    """Do what ``begin`` does for whoever is known by any of these pseudonyms.

    Where an erasure of theirs was stopped once their row was deleted, it is that one.

    Args:
        connection: The transaction.
        directory: Where the keys lie; the case file goes there.
        pseudonyms: Of one person, under every key there is.
        now: The time, aware.

    Raises:
        NoSuchPerson: Nobody of these pseudonyms ever answered the notice.
        OverMatch: More than one subject answers to them; nothing is erased.
    """
    known = connection.execute(
        select(subjects.c.subject, subjects.c.ledger_id).where(
            subjects.c.pseudonym.in_(list(pseudonyms))
        )
    ).all()
    if not known:
        return _stopped(connection, directory, pseudonyms)
    if len(known) > 1:
        raise OverMatch(f"{len(known)} subjects answer to this id; nothing was erased")
    ((subject, ledger_id),) = known
    request = open_request(connection, subject, now)
    kept = read_case(directory, request)
    case = kept or CaseFile(subject, [], ledger_id)
    known_as = merged(pseudonyms, kept)
    # Asked for again: what the steps of the erasure have written into it stays.
    if known_as != case.pseudonyms:
        write_case(directory, request, msgspec.structs.replace(case, pseudonyms=known_as))
    return request


def begin_each(
    connection: Connection, directory: Path, pseudonyms: Collection[bytes], now: datetime
) -> list[str]:
    """Do what ``begin_for`` does for a person, also for one who is two subjects: a request each.

    Args:
        connection: The transaction.
        directory: Where the keys lie; the case files go there.
        pseudonyms: Made from one identifier, by every key there is or by some of them.
        now: The time, aware.

    Raises:
        NoSuchPerson: Nobody of these pseudonyms ever answered the notice.
        OverMatch: Not all who answer to them are as they were written; nothing is erased.
    """
    rows = rows_of_one(connection, pseudonyms, Seals(read_ring(directory)))
    if len(rows) < 2:  # noqa: PLR2004
        return [begin_for(connection, directory, pseudonyms, now)]
    free = set(pseudonyms).difference(row.pseudonym for row in rows)
    return [begin_for(connection, directory, [row.pseudonym, *free], now) for row in rows]


def _stopped(connection: Connection, directory: Path, pseudonyms: Collection[bytes]) -> str:
    """Find the oldest request whose case file is open and about these pseudonyms."""
    request: str
    for request in connection.execute(
        select(erasures.c.request)
        .where(erasures.c.request.in_(open_cases(directory)))
        .order_by(erasures.c.requested_at, erasures.c.request)
    ).scalars():
        case = read_case(directory, request)
        if case is not None and not set(pseudonyms).isdisjoint(case.pseudonyms):
            return request
    raise NoSuchPerson("nobody of this id ever answered the notice")


def close_left_cases(engine: Engine, directory: Path, lease: Lease | None = None) -> int:
    """Close the case files of requests that are done, or that were never committed.

    A killed process leaves such a file: it is written before its request is committed, and closed
    after the request is done.

    Returns:
        How many were closed.

    Raises:
        NotReady: The database cannot be read, or is locked.
        OSError: One could not be closed; all others were.
    """
    opened = open_cases(directory)
    if not opened:
        return 0
    with writing(engine) as connection:
        if lease is not None:
            lease.check(connection)
        # Whoever wrote one of these files has committed by now, or never will.
        _in_turn(connection, 0)
        query = select(erasures.c.request).where(
            erasures.c.request.in_(opened), erasures.c.state != DONE
        )
        needed = set(connection.execute(query).scalars())
    left, kept = [request for request in opened if request not in needed], list[OSError]()
    for request in left:
        try:
            close_case(directory, request)
        except OSError as error:
            kept.append(error)
    if kept:
        raise kept[0]
    return len(left)


def _in_turn(connection: Connection, changes: int) -> None:
    """Wait until no other transaction that begins a request is open, and let none begin."""
    row = {"name": CHANGES, "value": changes}
    connection.execute(add_to(connection, versions, ["name"]), [row])


def begin(engine: Engine, subject: int, now: datetime) -> str:
    """Stop collecting about a subject and open a request; asked twice, it is the same one."""
    with writing(engine) as connection:
        return open_request(connection, subject, now)


def open_request(connection: Connection, subject: int, now: datetime) -> str:
    """Do what ``begin`` does, in a transaction that others write in as well."""
    # First of all, as answers do: a second call waits here and finds the first.
    _in_turn(connection, 1)
    withdrawals.count_up(connection)
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
