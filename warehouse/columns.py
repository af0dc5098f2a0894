"""Insert many short rows as one statement, because each statement costs a hand-over.

A server's loop and its writer share one interpreter: the driver lets go of it for every
statement, and gets it back only when the loop pauses. So the rows of a commit travel as one
statement of many VALUES on SQLite, and as one array a column on PostgreSQL.
"""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Table

from warehouse.engine import is_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

T = TypeVar("T")

_LARGEST_CHUNK = 512
"""SQLite takes 32,766 parameters a statement."""
_LARGEST_FILLED = 64
"""So few rows go as one statement, of the next number that is a multiple of eight."""


def insert_rows(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows.

    Args:
        connection: The transaction.
        table: The table.
        names: Its columns, in the order of the rows' fields; the first is never NULL.
        rows: The rows.
    """
    if not rows:
        return
    if is_postgres(connection):
        connection.exec_driver_sql(_unnest(table, tuple(names)), _transposed(rows))
        return
    for chunk in _chunks(rows):
        nothing = [(None,) * len(names)] * _lacking(chunk)
        statement = _values(table.name, tuple(names), len(chunk) + len(nothing))
        connection.exec_driver_sql(statement, tuple(chain(*chunk, *nothing)))


def add_rows(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows, or add the last field of one whose key exists to the number that is there.

    Args:
        connection: The transaction.
        table: The table.
        names: Its key's columns and that of the number, in the order of the rows' fields.
        rows: A few rows, no key twice; in order of the key where others may do the same.
    """
    if not rows:
        return
    *key, number = names
    added = f"{number} = {table.name}.{number} + excluded.{number}"
    upsert = f"ON CONFLICT ({','.join(key)}) DO UPDATE SET {added}"
    if is_postgres(connection):
        insert, values = _unnest(table, tuple(names)), _transposed(rows)
    else:
        marks = ",".join([f"({','.join('?' * len(names))})"] * len(rows))
        insert = f"INSERT INTO {table.name} ({','.join(names)}) VALUES {marks}"
        values = tuple(chain(*rows))
    connection.exec_driver_sql(f"{insert} {upsert}", values)


def insert_new(
    connection: Connection,
    table: Table,
    names: tuple[str, str],
    rows: Sequence[tuple[bytes, bytes]],
    *,
    doubtful: Sequence[bytes],
) -> dict[bytes, bytes]:
    """Insert the rows whose key does not exist yet.

    Args:
        connection: The transaction.
        table: A table of two columns.
        names: Its primary key and the other column.
        rows: Rows of (key, value), no key twice.
        doubtful: Keys that may exist already; all others are new for sure.

    Returns:
        The stored value of every key that did exist, whether stored by this process or another.
    """
    if not rows:
        return {}
    if is_postgres(connection):
        return _insert_new_postgres(connection, table, names, rows)
    key, value = names
    existing: dict[bytes, bytes] = {}
    for chunk in _chunks(doubtful):
        keys = (*chunk, *[chunk[-1]] * _lacking(chunk))
        marks = ",".join("?" * len(keys))
        found = connection.exec_driver_sql(
            f"SELECT {key}, {value} FROM {table.name} WHERE {key} IN ({marks})", keys
        )
        existing.update(found.tuples().all())
    fresh = [row for row in rows if row[0] not in existing] if existing else rows
    insert_rows(connection, table, names, fresh)
    return existing


def _insert_new_postgres(
    connection: Connection,
    table: Table,
    names: tuple[str, str],
    rows: Sequence[tuple[bytes, bytes]],
) -> dict[bytes, bytes]:
    key, value = names
    # In order of the key: two servers that insert the same keys must not wait for each other.
    inserted = connection.exec_driver_sql(
        f"{_unnest(table, names)} ON CONFLICT DO NOTHING RETURNING {key}",
        _transposed(sorted(rows)),
    )
    if inserted.rowcount == len(rows):
        return {}
    stored = set(inserted.scalars())
    found = connection.exec_driver_sql(
        f"SELECT {key}, {value} FROM {table.name} WHERE {key} = ANY(%b)",
        ([row[0] for row in rows if row[0] not in stored],),
    )
    return dict(found.tuples().all())


def _chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut rows into runs of a power of two, and of what is left when that is little.

    So few different statements arise that the driver keeps each of them prepared, and that all of
    them take little memory.
    """
    start, left = 0, len(rows)
    while left:
        size = left
        if left > _LARGEST_FILLED:
            size = min(_LARGEST_CHUNK, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start, left = start + size, left - size


def _lacking(chunk: Sequence[T]) -> int:
    """Return how many rows are lacking to a multiple of eight."""
    return -len(chunk) % 8


@cache
def _values(table: str, names: tuple[str, ...], rows: int) -> str:
    # Rows that only fill the number up are NULL.
    row = f"({','.join('?' * len(names))})"
    values = f"SELECT * FROM (VALUES {','.join([row] * rows)}) WHERE column1 IS NOT NULL"
    return f"INSERT INTO {table} ({','.join(names)}) {values}"


@cache
def _unnest(table: Table, names: tuple[str, ...]) -> str:
    # psycopg sends an array as text or in binary as the mark says; binary costs half.
    arrays = ", ".join(f"%b::{_postgres_type(table, name)}[]" for name in names)
    return f"INSERT INTO {table.name} ({','.join(names)}) SELECT * FROM unnest({arrays})"


def _postgres_type(table: Table, name: str) -> str:
    kind = table.c[name].type.python_type
    if kind is bytes:
        return "bytea"
    if kind is str:
        return "text"
    return {"INTEGER": "int4", "BIGINT": "int8"}[str(table.c[name].type)]


def _transposed(rows: Sequence[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    return tuple(list(column) for column in zip(*rows, strict=True))
