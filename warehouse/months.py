"""The months of events and matches on PostgreSQL: made ahead, and dropped when they are past.

Making and dropping one needs the table for itself, for the time of a change in the catalogue. A
long reader would make everybody behind wait with it; so the wait is short, and is tried again.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import OperationalError, ProgrammingError

from schemas.clock import month_of
from schemas.errors import SmartMatchError
from warehouse.engine import SCHEMA_LOCK, is_postgres, reading, writing
from warehouse.partitioning import MONTHLY, Monthly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Connection, Engine, Table

    T = TypeVar("T")

MONTHS_AHEAD = 3
MOST_MOVED = 10_000
"""Rows that came before their month was made and move into it; more stay where they are."""

WAITS_MS = (100, 200, 400, *[800] * 7)
"""How long to wait for a table in each try: less than the second after which PostgreSQL looks for
deadlocks, so that it is the drop that gives way. Only flows write to these tables, no request."""

_PAUSE_SECONDS = 0.25
_HELD_STATES = ("55P03", "40P01")  # lock not available, deadlock
_TAKEN_STATES = ("42P07", "42P17", "42710")  # a table, a partition, a type that is there
_BOUNDS = re.compile(r"FOR VALUES FROM \('?(-?\d+)'?\) TO \('?(-?\d+)'?\)")


_logger = logging.getLogger("smartmatch.months")


class MonthTaken(SmartMatchError):
    """Something that was made by hand, or detached, has the name or the days of a month."""


class TableHeld(SmartMatchError):
    """Somebody reads or writes a table that is needed alone for a moment."""


@dataclass(frozen=True)
class Partition:
    """A partition of a table in months.

    Attributes:
        name: As it is written in SQL.
        first: The first value that lies in it.
        until: The first value that lies behind it.
    """

    name: str
    first: int
    until: int


def make_months(
    engine: Engine, oldest_day: int, today: int, *, meanwhile: Callable[[], object] = lambda: None
) -> list[str]:
    """Make the months that are missing, from that of a day to some months ahead of today.

    Rows that came before their month move into it. A month that more rows wait for than a short
    lock allows is left out: they stay where they are, and go in chunks when their time comes. So is
    one whose name or days something else has, with a warning: it must not end a purge.

    Args:
        engine: The database; nothing is done on SQLite.
        oldest_day: The oldest day that is kept, days since 1970.
        today: Today, days since 1970.
        meanwhile: What to do each time that somebody holds a table, such as to renew a lease.

    Returns:
        Names of the partitions that were made. One that is missing because somebody held its
        table is made by the next run.
    """
    if not is_postgres(engine):
        return []
    wanted = range(month_of(oldest_day), month_of(today) + MONTHS_AHEAD + 1)
    return [name for one in MONTHLY for name in _make_missing(engine, one, wanted, meanwhile)]


def partitions_before(connection: Connection, one: Monthly, cutoff: int) -> list[Partition]:
    """List the partitions whose every row lies before a value, oldest first."""
    past = (part for part in _partitions(connection, one) if part.until <= cutoff)
    return sorted(past, key=lambda part: part.first)


def patiently(
    attempt: Callable[[int], T], meanwhile: Callable[[], object] = lambda: None
) -> T | None:
    """Try again while somebody holds the table, waiting longer each time.

    Args:
        attempt: One try; it is given how long to wait for a lock, milliseconds.
        meanwhile: What to do after a try that was in vain, such as to renew a lease.

    Returns:
        What the attempt returned; None when the table was held all along.
    """
    for wait_ms in WAITS_MS:
        try:
            return attempt(wait_ms)
        except TableHeld:
            meanwhile()
            time.sleep(_PAUSE_SECONDS)
    return None


def run_alone(connection: Connection, statement: str, wait_ms: int) -> None:
    """Run a statement that needs a table for itself, waiting for it so long and no longer.

    Raises:
        TableHeld: Somebody else holds it; the transaction is lost.
    """
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {wait_ms}")
    try:
        connection.exec_driver_sql(statement)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) in _HELD_STATES:
            raise TableHeld("the table is held by somebody else") from None
        raise
    connection.exec_driver_sql("SET LOCAL lock_timeout TO DEFAULT")


def check_free(connection: Connection, table: Table, wait_ms: int) -> None:
    """Find out cheaply whether a table could be had alone now; it is given back at once.

    Raises:
        TableHeld: Somebody else holds it; the transaction is lost.
    """
    with connection.begin_nested() as savepoint:
        run_alone(connection, f"LOCK TABLE {table.name} IN ACCESS EXCLUSIVE MODE", wait_ms)
        savepoint.rollback()


def _partitions(connection: Connection, one: Monthly) -> list[Partition]:
    rows = connection.execute(
        text(
            "SELECT inhrelid::regclass::text, pg_get_expr(relpartbound, pg_class.oid)"
            " FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
            " WHERE inhparent = CAST(:parent AS regclass)"
        ),
        {"parent": one.table.name},
    )
    bounds = ((name, _BOUNDS.fullmatch(told)) for name, told in rows)
    return [Partition(name, int(b[1]), int(b[2])) for name, b in bounds if b is not None]


def _make_missing(
    engine: Engine, one: Monthly, wanted: Iterable[int], meanwhile: Callable[[], object]
) -> list[str]:
    """Make the months of one table that are missing, unless somebody holds it all along."""
    with reading(engine) as connection:
        missing = [month for month in wanted if not _overlaps(connection, one, month)]
    made = []
    for month in missing:
        try:
            done = patiently(partial(_make, engine, one, month), meanwhile)
        except MonthTaken:
            _logger.warning("%s was not made: something else has its name or days", one.name(month))
            continue
        if done is None:
            break
        if done:
            made.append(one.name(month))
    return made


def _overlaps(connection: Connection, one: Monthly, month: int) -> bool:
    first, until = one.bounds(month)
    return any(part.first < until and first < part.until for part in _partitions(connection, one))


def _make(engine: Engine, one: Monthly, month: int, wait_ms: int) -> bool:
    """Make one month, and move what came before it into it; tell whether it was made."""
    table, (first, until) = one.table.name, one.bounds(month)
    inside = f"FROM {one.rest} WHERE {one.by} >= {first} AND {one.by} < {until}"
    with writing(engine) as connection:
        run_alone(connection, f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})", wait_ms)
        # All of it: a statement that has looked up the partitions must not miss a new one.
        run_alone(connection, f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE", wait_ms)
        if _overlaps(connection, one, month):
            return False
        waiting = f"SELECT COUNT(*) FROM (SELECT 1 {inside} LIMIT {MOST_MOVED + 1}) AS early"
        moved = connection.exec_driver_sql(waiting).scalar_one()
        if moved > MOST_MOVED:
            return False
        if moved:
            connection.exec_driver_sql(
                f"CREATE TEMP TABLE early ON COMMIT DROP AS SELECT * {inside}"
            )
            connection.exec_driver_sql(f"DELETE {inside}")
        _create(connection, one, month)
        if moved:
            connection.exec_driver_sql(f"INSERT INTO {table} SELECT * FROM early")
        return True


def _create(connection: Connection, one: Monthly, month: int) -> None:
    first, until = one.bounds(month)
    try:
        connection.exec_driver_sql(
            f"CREATE TABLE {one.name(month)} PARTITION OF {one.table.name}"
            f" FOR VALUES FROM ({first}) TO ({until})"
        )
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) in _TAKEN_STATES:
            raise MonthTaken(f"{one.name(month)}: something else has its name or days") from None
        raise
