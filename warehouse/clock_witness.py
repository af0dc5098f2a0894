"""Refuse to purge by a clock that has jumped ahead.

A purge deletes by age, and age is told by the machine's clock: a clock that is years ahead would
make all of it expired. So the time of a purge is held against the last one's, which it may follow
by a few days only. The first purge is held against what the database has seen happen: from the
oldest sign of time on, each that follows the one before it by a few days. One that lies further
ahead was left by a clock that had jumped, and vouches for nothing. A clock that is behind deletes
less, and what is left goes later.

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

_SIGNS = (
    leases.c.expires_at,
    runs.c.requested_at,
    staged.c.received_at,
    events.c.received_at,
    consents.c.recorded_at,
)
"""What this machine's clock has told."""


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
    """Return the newest time that no jump leads to; None in an empty database."""
    signs: list[int] = []
    for column in _SIGNS:
        told = column > 0  # a lease that was given back has no time
        newest_by_day = select(func.max(column)).where(told).group_by(column // MICROS_PER_DAY)
        signs += connection.execute(newest_by_day).scalars()
    seen = None
    for at in sorted(signs):
        if seen is None or at - seen <= MOST_DAYS * MICROS_PER_DAY:
            seen = at
    return seen
