"""Rows at the driver's speed: all of them arrive, by few statements on SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from warehouse import bulk
from warehouse.engine import is_postgres, writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

NAMES = ("key", "kept", "value")


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """Yield a transaction with a table of its own."""
    with writing(engine) as connection:
        bulk.run(
            connection, "CREATE TEMP TABLE told (key BIGINT PRIMARY KEY, kept TEXT, value BIGINT)"
        )
        yield connection
        bulk.run(connection, "DROP TABLE told")


def stored(connection: Connection) -> list[tuple[Any, ...]]:
    return bulk.fetch(connection, "SELECT key, kept, value FROM told ORDER BY key")


@pytest.mark.parametrize("rows", [0, 1, 999, 1_000, 1_001, 2_500])
def test_every_row_is_inserted_and_replaced_once(connection: Connection, rows: int) -> None:
    bulk.append_rows(connection, "told", NAMES, ((n, "first", n) for n in range(rows)))
    again = [(n, "second", -n) for n in range(0, rows + 1, 2)]
    bulk.replace_rows(connection, "told", NAMES, ["key"], iter(again), kept=("kept",))

    expected = {n: (n, "first", n) for n in range(rows)}
    expected |= {n: (n, expected.get(n, (n, told, n))[1], value) for n, told, value in again}
    assert stored(connection) == [expected[key] for key in sorted(expected)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_rows_take_few_statements_and_none_too_many_parameters(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_postgres(connection)
    statements: list[str] = []
    driver: Any = connection.connection.driver_connection
    driver.set_trace_callback(statements.append)

    bulk.append_rows(connection, "told", NAMES, ((n, "", n) for n in range(2_500)))
    assert len(statements) == 3
    monkeypatch.setattr(bulk, "_PARAMETERS", 3 * len(NAMES))
    statements.clear()
    bulk.append_rows(connection, "told", NAMES, ((n, "", n) for n in range(3_000, 3_007)))
    driver.set_trace_callback(None)

    assert len(statements) == 3
    assert len(stored(connection)) == 2_507
