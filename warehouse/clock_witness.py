"""Refuse to purge by a clock that has jumped ahead.

A purge deletes by age, and age is told by the machine's clock: a clock that is years ahead would
make all of it expired. So the time of a purge is held against the last one's, which it may follow
by a few days only. The first purge is held against what the database has seen happen. A clock
that is behind deletes less, and what is left goes later.

ClockJumped
└── raised when the time is further ahead than a purge may believe
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from schemas.clock import MICROS_PER_DAY, iso_day
from schemas.errors import SmartMatchError
from schemas.tables import consents, events, leases, purges, runs, staged
from warehouse.engine import reading
from warehouse.purposes import Ground, on_ground

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

MOST_DAYS = 3
"""A nightly purge that missed a weekend is believed; a longer silence needs a person's word."""

_NEWEST_ROWS = 100


class ClockJumped(SmartMatchError):
    """The clock is further ahead of the last purge than is believed; nothing was deleted."""


def check_clock(engine: Engine, now: int) -> None:
    """Check that a time follows what the database has seen.

    Args:
        engine: The database.
        now: Microseconds since 1970.

    Raises:
        ClockJumped: It is more than ``MOST_DAYS`` ahead.
    """
    with reading(engine) as connection:
        seen = _last_purge(connection)
        if seen is None:
            seen = _last_seen(connection)
    if seen is not None and now - seen > MOST_DAYS * MICROS_PER_DAY:
        raise ClockJumped(
            f"it is {iso_day(now // MICROS_PER_DAY)} by the clock, and the last sign of time is of"
            f" {iso_day(seen // MICROS_PER_DAY)}; if the clock is right, run"
            " `smartmatch purge --clock-is-right`"
        )


def _last_purge(connection: Connection) -> int | None:
    return connection.execute(select(func.max(purges.c.finished_at))).scalar()


@on_ground(Ground.COUNTING)
def _last_seen(connection: Connection) -> int | None:
    """Return the newest time that this machine has noted; None in an empty database."""
    found = [
        connection.execute(select(func.max(column))).scalar()
        for column in (leases.c.expires_at, runs.c.requested_at)
    ]
    for table, column in (
        (staged, staged.c.received_at),
        (events, events.c.received_at),
        (consents, consents.c.recorded_at),
    ):
        newest = select(column).order_by(table.c.seq.desc()).limit(_NEWEST_ROWS).subquery()
        found.append(connection.execute(select(func.max(newest.c[column.name]))).scalar())
    return max((at for at in found if at is not None), default=None)
