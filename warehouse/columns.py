"""Insert many short rows as one statement, because each statement costs a hand-over.

A server's loop and its writer share one interpreter: the driver lets go of it for every
statement, and gets it back only when the loop pauses. So the rows of a commit travel as one
statement of many VALUES on SQLite, and as one array a column on PostgreSQL.
"""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table

from warehouse.engine import is_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

# SQLite takes 32,766 parameters; sizes are powers of two, so that few statements are prepared.
_LARGEST_CHUNK = 512


def insert_rows(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert rows.

    Args:
        connection: The transaction.
        table: The table.
        names: Its columns, in the order of the rows' fields.
        rows: The rows.
    """
    if not rows:
        return
    if is_postgres(connection):
        connection.exec_driver_sql(_unnest(table, tuple(names)), _transposed(rows))
        return
    for chunk in _chunks(rows):
        statement = _values(table.name, tuple(names), len(chunk))
        connection.exec_driver_sql(statement, tuple(chain.from_iterable(chunk)))


def insert_new(
    connection: Connection,
    table: Table,
    key: str,
    value: str,
    rows: Sequence[tuple[bytes, bytes]],
) -> dict[bytes, bytes]:
    """Insert the rows whose key does not exist yet.

    Args:
        connection: The transaction.
        table: A table of these two columns.
        key: Its primary key.
        value: The other column.
        rows: Rows of (key, value), no key twice.

    Returns:
        The stored value of every key that did exist, whether stored by this process or another.
    """
    if not rows:
        return {}
    if is_postgres(connection):
        return _insert_new_postgres(connection, table, key, value, rows)
    existing: dict[bytes, bytes] = {}
    for chunk in _chunks(rows):
        marks = ",".join("?" * len(chunk))
        found = connection.exec_driver_sql(
            f"SELECT {key}, {value} FROM {table.name} WHERE {key} IN ({marks})",
            tuple(row[0] for row in chunk),
        )
        existing.update(found.tuples().all())
    fresh = [row for row in rows if row[0] not in existing] if existing else rows
    insert_rows(connection, table, (key, value), fresh)
    return existing


def _insert_new_postgres(
    connection: Connection,
    table: Table,
    key: str,
    value: str,
    rows: Sequence[tuple[bytes, bytes]],
) -> dict[bytes, bytes]:
    # In order of the key: two servers that insert the same keys must not wait for each other.
    ordered = sorted(rows)
    inserted = connection.exec_driver_sql(
        f"{_unnest(table, (key, value))} ON CONFLICT DO NOTHING RETURNING {key}",
        _transposed(ordered),
    )
    stored = set(inserted.scalars()) if inserted.rowcount < len(rows) else None
    if stored is None:
        return {}
    found = connection.exec_driver_sql(
        f"SELECT {key}, {value} FROM {table.name} WHERE {key} = ANY(%b)",
        ([row[0] for row in rows if row[0] not in stored],),
    )
    return dict(found.tuples().all())


def _chunks(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Cut rows into runs whose lengths are powers of two, largest first."""
    start, left = 0, len(rows)
    while left:
        size = min(_LARGEST_CHUNK, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start, left = start + size, left - size


@cache
def _values(table: str, names: tuple[str, ...], rows: int) -> str:
    row = f"({','.join('?' * len(names))})"
    return f"INSERT INTO {table} ({','.join(names)}) VALUES {','.join([row] * rows)}"


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
