"""Delete what is past its retention: whole months and chunks, beside writers, with evidence."""

from __future__ import annotations

from functools import partial
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, func, select, update

from schemas.clock import MICROS_PER_DAY, micros
from schemas.tables import matches, purges
from warehouse import accounts, months
from warehouse.engine import is_postgres, reading, writing
from warehouse.match_rows import lock_sums
from warehouse.pacing import LONGEST_REST_SECONDS, POSTGRESQL, SQLITE, first_pace
from warehouse.partitioning import monthly
from warehouse.purposes import Ground, on_ground
from warehouse.residue import spread_log
from warehouse.subtraction import part_from, purge_matches

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection, Engine

    from schemas.retention import Aged, Rule
    from warehouse.leases import Lease

CHUNK_ROWS = 1_000
"""Rows of the largest chunk; on SQLite it is as small as its time has to be."""

FOUND_ROWS = 20_000
"""Rows that are looked for at once, before anything is locked: not every age has an index."""

# Classes whose rows are events in the books, and the counter that they end in.
_BOOKED = {
    "staged": (accounts.EXPIRED, "staged"),
    "rejected": (accounts.PURGED, "rejected"),
    "events": (accounts.PURGED, "events"),
}


@on_ground(Ground.RETENTION)
def count_expired(engine: Engine, rule: Rule) -> int:
    """Count the rows that ``delete_expired`` would delete."""
    with reading(engine) as connection:
        return connection.execute(
            select(func.count()).select_from(rule.table).where(rule.expired)
        ).scalar_one()


def delete_expired(engine: Engine, rule: Rule, lease: Lease, run: str) -> int:
    """Delete the rows of one class that are past their retention.

    Months that are past as a whole are dropped, where the table lies in months; the rest goes
    in chunks. A month or a chunk is one transaction with its evidence, so a run that is killed
    has deleted whole ones, says so, and the next one goes on; the lease is checked inside each, and
    its time starts again.

    Args:
        engine: The database.
        rule: The class.
        lease: Who may write.
        run: Identifier of the run, whose evidence was begun.

    Returns:
        Number of rows deleted.

    Raises:
        LeaseLost: Another purge has taken over.
    """
    spread_log(engine)
    total = _drop_months(engine, rule, lease, run) if is_postgres(engine) else 0
    pace = first_pace(CHUNK_ROWS, POSTGRESQL if is_postgres(engine) else SQLITE)
    others = _Others(1 if is_postgres(engine) else 0)
    before = -1
    # Rows that stay although they were found, whatever keeps them, are left to the next purge.
    while total > before and (keys := _find_expired(engine, rule)):
        before = total
        while keys:
            chunk, keys = keys[: pace.rows], keys[pace.rows :]
            deleted, seconds = _delete_chunk(engine, rule, lease, run, chunk, others)
            total += deleted
            pace = pace.after(seconds, beside=others.wrote)
            sleep(pace.rest_seconds)
    return total


class _Others:
    """Whether somebody else wrote between the last two transactions of a purge.

    ``wrote`` is not known, and False, before the second one.

    Args:
        own: How many numbers of transactions the purge's own take; on SQLite none.
    """

    def __init__(self, own: int) -> None:
        self.wrote = False
        self._own = own
        self._seen: int | None = None

    def look(self, connection: Connection) -> None:
        """Look from within a transaction of the purge that has written nothing yet."""
        asked = "PRAGMA data_version"
        if is_postgres(connection):
            # Counts all transactions that write: the purge's last one is among them.
            asked = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
        now = int(connection.exec_driver_sql(asked).scalar_one())
        self.wrote = self._seen is not None and not 0 <= now - self._seen <= self._own
        self._seen = now


def _drop_months(engine: Engine, rule: Rule, lease: Lease, run: str) -> int:
    """Drop the months that are past; one that is held all along is left to go in chunks."""
    one = monthly(rule.table)
    if one is None:
        return 0
    cutoff = rule.cutoff // MICROS_PER_DAY * one.per_day
    with reading(engine) as connection:
        past = months.partitions_before(connection, one, cutoff)
    # A drop takes more numbers than one: what it does after its savepoint has another.
    total, others = 0, _Others(3)
    for part in past:
        begun = perf_counter()
        drop = partial(_drop_month, engine, rule, lease, run, part, others)
        total += months.patiently(drop, partial(lease.renew, engine)) or 0
        if others.wrote:
            # One of a hundred of their transactions at most is to meet a drop.
            sleep(min(100 * (perf_counter() - begun), LONGEST_REST_SECONDS))
    return total


def _drop_month(  # noqa: PLR0917
    engine: Engine,
    rule: Rule,
    lease: Lease,
    run: str,
    part: months.Partition,
    others: _Others,
    wait_ms: int,
) -> int:
    """Drop a month with its evidence, and return how many rows went with it.

    Only late events and erasures write to a month that is past; they wait while its rows are
    counted. All others wait for the drop alone.
    """
    with writing(engine) as connection:
        others.look(connection)
        lease.check(connection)
        if rule.table is matches:
            lock_sums(connection)
        months.check_free(connection, rule.table, wait_ms)
        months.run_alone(connection, f"LOCK TABLE {part.name} IN SHARE MODE", wait_ms)
        if rule.table is matches:
            part_from(connection, part.first, part.until, rule.cutoff // MICROS_PER_DAY)
        rows = connection.exec_driver_sql(f"SELECT COUNT(*) FROM {part.name}").scalar_one()
        _book(connection, rule, rows)
        _add_evidence(connection, run, rule.data_class, rows)
        months.run_alone(connection, f"DROP TABLE {part.name}", wait_ms)
        lease.extend(connection)
        return int(rows)


def _delete_chunk(  # noqa: PLR0917
    engine: Engine, rule: Rule, lease: Lease, run: str, keys: list[Any], others: _Others
) -> tuple[int, float]:
    """Delete some rows; return how many went, and for how many seconds others may have waited."""
    with writing(engine) as connection:
        begun = perf_counter()
        others.look(connection)
        lease.check(connection)
        deleted = _delete(connection, rule, keys)
        if deleted:
            _add_evidence(connection, run, rule.data_class, deleted)
        lease.extend(connection)
    return deleted, perf_counter() - begun


def _add_evidence(connection: Connection, run: str, data_class: str, deleted: int) -> None:
    connection.execute(
        update(purges)
        .where(purges.c.run == run, purges.c.data_class == data_class)
        .values(deleted=purges.c.deleted + deleted)
    )


def evidence(engine: Engine, run: str) -> dict[str, int]:
    """Read how much a run deleted, by class, however many tries it took."""
    with reading(engine) as connection:
        rows = connection.execute(
            select(purges.c.data_class, purges.c.deleted).where(purges.c.run == run)
        )
        return dict(rows.tuples().all())


def note_deleted(engine: Engine, run: str, data_class: str, deleted: int) -> None:
    """Note in the evidence what was deleted beside the database; noted again, it is the same."""
    with writing(engine) as connection:
        connection.execute(
            update(purges)
            .where(purges.c.run == run, purges.c.data_class == data_class)
            .values(deleted=deleted)
        )


@on_ground(Ground.RETENTION)
def _find_expired(engine: Engine, rule: Rule) -> list[Any]:
    """Return the keys of some rows of a class that have to go; of matches those of the matches."""
    key = (matches.c.match_key,) if rule.table is matches else rule.table.primary_key.columns
    with reading(engine) as connection:
        found = connection.execute(select(*key).where(rule.expired).limit(FOUND_ROWS))
        return list(dict.fromkeys(map(tuple, found)))


def _delete(connection: Connection, rule: Rule, keys: list[Any]) -> int:
    """Delete those rows of a class that still have to go, and book them."""
    if rule.table is matches:
        found = {match_key for (match_key,) in keys}
        return purge_matches(connection, rule.cutoff // MICROS_PER_DAY, found)
    first, *more = columns = list(rule.table.primary_key.columns)
    statement = delete(rule.table).where(rule.expired)
    if not more:
        done = connection.execute(statement.where(first.in_([key for (key,) in keys])))
    else:
        # For a list of several columns SQLite would go through the table, and PostgreSQL would plan
        # for ten times as long as it deletes.
        names = [f"key_{column.name}" for column in columns]
        here = (column == bindparam(name) for column, name in zip(columns, names, strict=True))
        rows = [dict(zip(names, key, strict=True)) for key in keys]
        done = connection.execute(statement.where(*here), rows)
    _book(connection, rule, done.rowcount)
    return done.rowcount


def _book(connection: Connection, rule: Rule, deleted: int) -> None:
    if rule.data_class in _BOOKED:
        accounts.add(connection, {_BOOKED[rule.data_class]: deleted})


def begin_evidence(engine: Engine, run: str, rules: Iterable[Aged], at: datetime) -> None:
    """Open the evidence of a purge: one row a class, which grows with every chunk deleted.

    Safe to repeat before anything is deleted: what was begun goes.

    Args:
        engine: The database.
        run: Identifier of the run.
        rules: The classes that it purges.
        at: When it runs.
    """
    with writing(engine) as connection:
        connection.execute(delete(purges).where(purges.c.run == run))
        connection.execute(
            purges.insert(),
            [
                {
                    "run": run,
                    "data_class": rule.data_class,
                    "cutoff": rule.cutoff,
                    "deleted": 0,
                    "finished_at": micros(at),
                }
                for rule in rules
            ],
        )
