"""Move columns in and out of the database at the driver's speed, inside a transaction.

SQLAlchemy's rows cost more than the database's work at fifty thousand a statement, so the
flows go to the driver's cursor of the same connection: one statement text for both engines,
numbers passed as one array, rows written many a statement (SQLite) or by COPY (PostgreSQL).
"""

from __future__ import annotations

import gc
import re
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import event

from schemas.errors import NotReady
from warehouse.driver_words import keep_values_out
from warehouse.engine import is_postgres

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Connection, Engine

_CACHE_KIB = 32 * 1024
_STRETCH = 10_000
_ROWS, _PARAMETERS = 1_000, 32_766
"""Most rows that a statement inserts, and most parameters that one of SQLite takes by default."""
_NAMED = re.compile(r"(?<![:\w]):([a-z]\w*)")


def among(connection: Connection, column: str, name: str) -> str:
    """Return the condition that a column is one of the numbers passed as ``name``.

    Pass them with ``numbers``: one parameter, however many they are.
    """
    if is_postgres(connection):
        # Behind a query the planner does not look at each number, once a partition.
        return f"{column} = ANY((SELECT :{name})::bigint[])"
    return f"{column} IN (SELECT value FROM json_each(:{name}))"


def numbers(connection: Connection, values: Iterable[int]) -> Any:
    """Return whole numbers as the parameter that ``among`` expects."""
    if is_postgres(connection):
        return _register_arrays(connection).Int8Array(values)
    return msgspec.json.encode([int(value) for value in values]).decode()


def fetch(
    connection: Connection, statement: str, parameters: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """Run a query and return its rows as plain tuples.

    Args:
        connection: The transaction.
        statement: SQL that both engines know, parameters written ``:name``.
        parameters: Their values.
    """
    return list(_execute(connection, statement, parameters).fetchall())


def columns(
    connection: Connection, statement: str, parameters: Mapping[str, Any] | None, width: int
) -> Iterator[list[tuple[Any, ...]]]:
    """Run a query and yield its columns, a stretch of rows at a time.

    A value takes many times as much memory as a Python object as it does in an array, so who
    makes arrays of them makes them of a stretch. Without a row there is one stretch of ``width``
    empty columns.
    """
    cursor = _execute(connection, statement, parameters)
    rows = cursor.fetchmany(_STRETCH)
    yield list(zip(*rows, strict=True)) if rows else [()] * width
    while rows := cursor.fetchmany(_STRETCH):
        yield list(zip(*rows, strict=True))


def fetch_packed(
    connection: Connection,
    numbers: Sequence[str],
    joined: Sequence[str],
    source: str,
    parameters: Mapping[str, Any],
) -> tuple[list[NDArray[np.int64]], list[bytes]]:
    """Run a query that gives each column as one value, made by the database.

    So it is one step of the driver's, during which other threads compute.

    Args:
        connection: The transaction.
        numbers: Expressions that are whole numbers in every row, whatever a row holds.
        joined: Expressions that are bytes in every row.
        source: What to select from, in parentheses; its order is that of the values.
        parameters: Values of the parameters, written ``:name``.

    Returns:
        The numbers as arrays, and the bytes laid end to end.
    """
    if is_postgres(connection):
        _register_arrays(connection)
        columns = [f"array_agg(({one})::bigint)" for one in numbers]
        columns += [f"string_agg({one}, '')" for one in joined]
    else:
        columns = [f"group_concat({one})" for one in numbers]
        # Without the cast it is a text, which has to be one of UTF-8.
        columns += [f"CAST(group_concat({one}, '') AS BLOB)" for one in joined]
    statement = f"SELECT {', '.join(columns)} FROM {source} AS packed"
    values = _execute(connection, statement, parameters).fetchone()
    arrays = [_array(value) for value in values[: len(numbers)]]
    return arrays, [value or b"" for value in values[len(numbers) :]]


def _register_arrays(connection: Connection) -> ModuleType:
    from warehouse import binary_arrays  # loads PostgreSQL's driver

    binary_arrays.register(connection)
    return binary_arrays


def _array(value: Any) -> NDArray[np.int64]:
    import numpy as np  # the server loads this module, and asks for no arrays

    if isinstance(value, str):
        return np.fromstring(value, np.int64, sep=",")
    return np.empty(0, np.int64) if value is None else value


def run(connection: Connection, statement: str, parameters: Mapping[str, Any] | None = None) -> int:
    """Run a statement and return how many rows it changed."""
    return int(_execute(connection, statement, parameters).rowcount)


def run_many(connection: Connection, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run a statement once a row of parameters."""
    if not rows:
        return
    if is_postgres(connection):
        statement = _NAMED.sub(r"%(\1)s", statement)
    with _answered(connection):
        _cursor(connection).executemany(statement, rows)


def append_rows(
    connection: Connection, table: str, names: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    """Insert rows whose keys are new."""
    fields = ", ".join(names)
    if is_postgres(connection):
        _copy(connection, table, fields, rows)
        return
    _insert(connection, table, names, rows)


def replace_rows(
    connection: Connection,
    table: str,
    names: Sequence[str],
    keys: Sequence[str],
    rows: Iterable[tuple[Any, ...]],
    *,
    kept: Sequence[str] = (),
) -> None:
    """Insert rows, or replace those that have the same key.

    Args:
        connection: The transaction.
        table: Name of the table.
        names: Its columns, in the order of the rows' fields.
        keys: Columns of its primary key.
        rows: The rows; no key twice.
        kept: Columns of which a row that is there has the value already.
    """
    fields = ", ".join(names)
    changed = [name for name in names if name not in keys and name not in kept]
    fresh = ", ".join(f"{name} = excluded.{name}" for name in changed)
    upsert = f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {fresh}"
    if is_postgres(connection):
        draft = copy_to_draft(connection, table, names, rows)
        run(
            connection,
            f"INSERT INTO {table} ({fields}) SELECT {fields} FROM {draft} {upsert}",
        )
        return
    _insert(connection, table, names, rows, upsert)


def _insert(
    connection: Connection,
    table: str,
    names: Sequence[str],
    rows: Iterable[tuple[Any, ...]],
    upsert: str = "",
) -> None:
    """Insert rows into SQLite, many a statement.

    The driver gives the interpreter up once a statement, and beside a thread that computes waits
    for it each time: row by row that takes a hundred times as long as the rows do.
    """
    cursor, left = _cursor(connection), iter(rows)
    most = max(1, min(_ROWS, _PARAMETERS // len(names)))
    row = f"({', '.join('?' * len(names))})"
    with _answered(connection):
        while given := list(islice(left, most)):
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(names)})"
                f" VALUES {', '.join([row] * len(given))} {upsert}",
                list(chain.from_iterable(given)),
            )


def copy_to_draft(
    connection: Connection, table: str, names: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> str:
    """Copy rows into a temporary table like another, and return its name; PostgreSQL only.

    It lives until the transaction ends.
    """
    draft = f"draft_{table}"
    fields = ", ".join(names)
    run(connection, f"DROP TABLE IF EXISTS {draft}")
    run(
        connection,
        f"CREATE TEMP TABLE {draft} ON COMMIT DROP AS SELECT {fields} FROM {table} LIMIT 0",
    )
    _copy(connection, draft, fields, rows)
    return draft


def widen_cache(engine: Engine) -> None:
    """Let the connections of a flow hold the pages that one partition changes.

    SQLite's default of 2 MB makes it write pages into its log again and again within one
    transaction. PostgreSQL's cache is its own.
    """
    if not is_postgres(engine):
        event.listen(engine, "connect", _set_cache)


def _set_cache(connection: Any, _record: object) -> None:
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")


@contextmanager
def without_collection() -> Iterator[None]:
    """Pause Python's cycle collector while a partition's rows are made.

    It is triggered by the number of new objects, and then looks at every object that the heavy
    libraries made at import; rows hold no cycles.
    """
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def _execute(connection: Connection, statement: str, parameters: Mapping[str, Any] | None) -> Any:
    with _answered(connection):
        if is_postgres(connection):
            # In binary: bytes come as they are, not as twice as many hexadecimal digits.
            cursor: Any = connection.connection.cursor(binary=True)
            return cursor.execute(_NAMED.sub(r"%(\1)s", statement), dict(parameters or {}))
        return _cursor(connection).execute(statement, dict(parameters or {}))


def _copy(connection: Connection, table: str, fields: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with (
        _answered(connection),
        _cursor(connection).copy(f"COPY {table} ({fields}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(row)


@contextmanager
def _answered(connection: Connection) -> Iterator[None]:
    """Raise what the driver says of a database that does not answer as ``NotReady``.

    SQLAlchemy does not see these statements, and so does not say it in its own words.
    """
    driver = connection.dialect.dbapi
    assert driver is not None  # noqa: S101  # a connection that is open has a driver
    try:
        yield
    except driver.Error as error:
        # A session that the server ended for its silence is told so in another class of errors.
        ended = getattr(connection.connection.driver_connection, "broken", False)
        if not ended and not isinstance(error, driver.OperationalError):
            keep_values_out(error)
            raise
        raise NotReady(f"the database did not answer ({type(error).__name__})") from None


def _cursor(connection: Connection) -> Any:
    return connection.connection.cursor()
