"""Flow runs that were asked for, over HTTP or by another flow: one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import select, update

from schemas.clock import micros
from schemas.tables import runs
from warehouse.engine import reading, writing

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Engine

REQUESTED, RUNNING, COMPLETED, FAILED = "requested", "running", "completed", "failed"
QUEUED = "queued"
"""Asked for, and answered by whichever run of the flow comes next."""
OPEN = (REQUESTED, RUNNING)


@dataclass(frozen=True)
class Run:
    """A run and how far it is; times in microseconds since 1970."""

    run: str
    flow: str
    state: str
    requested_at: int
    finished_at: int | None
    detail: str | None


def request(engine: Engine, flow: str, now: datetime, run: str | None = None) -> str:
    """Note that a flow shall run, and return the id to follow it by.

    Args:
        engine: The database.
        flow: Name of the flow.
        now: The time, aware.
        run: The id where it has one already; what was noted under it starts anew.
    """
    with writing(engine) as connection:
        return note(connection, flow, now, run)


def note(
    connection: Connection,
    flow: str,
    now: datetime,
    run: str | None = None,
    detail: str | None = None,
) -> str:
    """Do what ``request`` does, in a transaction that others write in as well.

    Args:
        connection: The transaction.
        flow: Name of the flow.
        now: The time, aware.
        run: The id where it has one already; what was noted under it starts anew.
        detail: Where it runs; nothing about a person.
    """
    run = run or str(uuid4())
    values = {"flow": flow, "state": REQUESTED, "requested_at": micros(now), "detail": detail}
    again = connection.execute(
        update(runs).where(runs.c.run == run).values(**values, finished_at=None)
    )
    if again.rowcount == 0:
        connection.execute(runs.insert().values(run=run, **values))
    return run


def start(engine: Engine, run: str) -> None:
    """Note that a run has begun."""
    with writing(engine) as connection:
        connection.execute(
            update(runs).where(runs.c.run == run, runs.c.state == REQUESTED).values(state=RUNNING)
        )


def finish(engine: Engine, run: str, state: str, now: datetime, detail: str | None = None) -> None:
    """Note how a run ended; one that has ended already keeps its end.

    But for one that failed, of which another process says that it completed: several may be at work
    under one number, one after the other.

    Args:
        engine: The database.
        run: Its id.
        state: ``completed`` or ``failed``.
        now: The time, aware.
        detail: Counts or the name of an error; nothing about a person.
    """
    with writing(engine) as connection:
        finish_in(connection, run, state, now, detail)


def finish_in(
    connection: Connection, run: str, state: str, now: datetime, detail: str | None = None
) -> None:
    """Do what ``finish`` does, in a transaction that others write in as well."""
    before = (*OPEN, FAILED) if state == COMPLETED else OPEN
    connection.execute(
        update(runs)
        .where(runs.c.run == run, runs.c.state.in_(before))
        .values(state=state, finished_at=micros(now), detail=detail)
    )


def read(engine: Engine, run: str) -> Run | None:
    """Read a run, or None when there is none of this id."""
    with reading(engine) as connection:
        row = connection.execute(select(runs).where(runs.c.run == run)).first()
    return Run(*row) if row else None


def is_queued(engine: Engine, flow: str, detail: str) -> bool:
    """Tell whether the next run of a flow is asked for already, for the same reason."""
    with reading(engine) as connection:
        return _is_queued(connection, flow, detail)


def _is_queued(connection: Connection, flow: str, detail: str) -> bool:
    waiting = (runs.c.flow == flow, runs.c.state == QUEUED, runs.c.detail == detail)
    return connection.execute(select(runs.c.run).where(*waiting).limit(1)).first() is not None


def queue(engine: Engine, flow: str, now: datetime, detail: str) -> bool:
    """Ask for the next run of a flow, unless the same is asked for already.

    Args:
        engine: The database.
        flow: Name of the flow.
        now: The time, aware.
        detail: Why; nothing about a person.

    Returns:
        Whether it was not asked for before.
    """
    with writing(engine) as connection:
        return queue_in(connection, flow, now, detail)


def queue_in(connection: Connection, flow: str, now: datetime, detail: str) -> bool:
    """Do what ``queue`` does, in a transaction that others write in as well."""
    if _is_queued(connection, flow, detail):
        return False
    values = {"flow": flow, "state": QUEUED, "requested_at": micros(now), "detail": detail}
    connection.execute(runs.insert().values(run=str(uuid4()), **values))
    return True


def answer(engine: Engine, flow: str, *, asked_until: datetime, now: datetime) -> int:
    """Note that a run answered everything that was queued before it began.

    Args:
        engine: The database.
        flow: Name of the flow.
        asked_until: When the run began to read; what was queued later waits for the next one.
        now: The time, aware.

    Returns:
        How many were waiting.
    """
    with writing(engine) as connection:
        return answer_in(connection, flow, asked_until=asked_until, now=now)


def answer_in(connection: Connection, flow: str, *, asked_until: datetime, now: datetime) -> int:
    """Do what ``answer`` does, in a transaction that others write in as well."""
    return connection.execute(
        update(runs)
        .where(
            runs.c.flow == flow,
            runs.c.state == QUEUED,
            runs.c.requested_at <= micros(asked_until),
        )
        .values(state=COMPLETED, finished_at=micros(now))
    ).rowcount
