"""Refuse to purge by a clock that has jumped ahead.

A purge deletes by age, and age is told by the machine's clock: a clock that is years ahead would
make all of it expired. So the time of a purge is held against the last one's, which it may follow
by a few days only. What a purge wrote is as wrong as its clock was, so days that are believed
beyond a night's are believed once, and again only after nights that came on time: no purge after
purge leads the clock away in such steps. The first purge is held against what the database has
seen happen: from the oldest sign of time on, each that follows the one before it by a few days. One
that lies further ahead was left by a clock that had jumped, and vouches for nothing. A clock that
is behind deletes less, and what is left goes later.

ClockJumped
└── raised when the time is further ahead than a purge may believe
"""

from __future__ import annotations

from itertools import pairwise
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

_NIGHT = MICROS_PER_DAY * 5 // 4
"""From one nightly purge to the next, up to six hours late."""
_SPARE = MOST_DAYS * MICROS_PER_DAY - _NIGHT
"""So far ahead of a night's may purges be in all."""
_GIVEN_BACK = MICROS_PER_DAY // 2
"""Of it each night on time gives back so much, so that every weekend may be missed."""
_NIGHTS = 10
"""Nights that are looked at; in fewer all is given back."""

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
        ClockJumped: It is more than ``MOST_DAYS`` ahead, or fewer where purges before it were
            ahead of a night's.
    """
    with reading(engine) as connection:
        ends = _last_purges(connection)
        seen = ends[-1] if ends else _last_seen(connection)
    if seen is not None and now - seen > _NIGHT + _spare(ends):
        raise ClockJumped(
            f"it is {iso_day(now // MICROS_PER_DAY)} by the clock, and the last sign of time is of"
            f" {iso_day(seen // MICROS_PER_DAY)}; if the clock is right, run"
            " `smartmatch purge --clock-is-right`"
        )


def _last_purges(connection: Connection) -> list[int]:
    """Return when the last purges ended, the last of each day."""
    ended = purges.c.finished_at
    newest = select(func.max(ended)).group_by(ended // MICROS_PER_DAY)
    found = connection.execute(newest.order_by(func.max(ended).desc()).limit(_NIGHTS)).scalars()
    return sorted(found)


def _spare(ends: list[int]) -> int:
    """Return how far beyond a night's the next purge may be ahead of the last one."""
    spare = _SPARE
    for before, after in pairwise(ends):
        ahead = after - before - _NIGHT
        spare = max(0, spare - ahead) if ahead > 0 else min(_SPARE, spare + _GIVEN_BACK)
    return spare


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
