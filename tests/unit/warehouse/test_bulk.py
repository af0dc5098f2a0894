"""Rows at the driver's speed: all of them arrive, by few statements on SQLite."""

from __future__ import annotations

import sqlite3
import traceback
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError

from schemas.tables import subjects
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


PERSON = {
    "subject": -4_711,
    "pseudonym": b"4711",
    "key_id": "key",
    "ledger_id": b"4711",
    "notice_version": "2026-11",
    "updated_at": 4_711,
    **dict.fromkeys(("analytics", "preferences", "improvement", "counted", "erasing"), False),
}


@pytest.mark.parametrize("way", ["SQLAlchemy", "driver"])
def test_an_error_names_the_constraint_that_a_row_breaks_and_none_of_its_values(
    engine: Engine, way: str
) -> None:
    broken = (IntegrityError, sqlite3.IntegrityError, psycopg.errors.CheckViolation)
    insert = {
        "driver": lambda to: bulk.append_rows(to, "subjects", list(PERSON), [(*PERSON.values(),)]),
        "SQLAlchemy": lambda to: to.execute(subjects.insert().values(**PERSON)),
    }[way]

    with pytest.raises(broken) as caught, writing(engine) as connection:
        insert(connection)

    told = "".join(traceback.format_exception(caught.value))
    assert "ck_subjects_subject" in told
    assert "4711" not in told
    assert "\\x34373131" not in told
