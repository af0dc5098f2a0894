"""A trigger that refuses change and is gone, changed or switched off is told of, and put back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.engines import on_postgresql, on_sqlite
from tests.population import answer
from warehouse import guards
from warehouse.engine import is_postgres, reading, writing

if TYPE_CHECKING:
    from sqlalchemy import Engine


def told(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return guards.missing(connection)


def run(engine: Engine, *statements: str) -> None:
    with writing(engine) as connection:
        for statement in statements:
            connection.execute(text(statement))


def put_back(engine: Engine) -> list[str]:
    with writing(engine) as connection:
        return guards.put_back(connection)


def every_trigger(engine: Engine) -> dict[str, str]:
    query = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
    if is_postgres(engine):
        query = "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
    with reading(engine) as connection:
        return dict(connection.execute(text(query)).tuples().all())


def test_each_trigger_that_is_dropped_is_told_of_and_put_back(engine: Engine) -> None:
    answer(engine, "anybody", "analytics")
    made = every_trigger(engine)
    assert (told(engine), put_back(engine)) == ([], [])
    for name, table in made.items():
        run(engine, f"DROP TRIGGER {name}" + (f" ON {table}" if is_postgres(engine) else ""))

    assert sorted(told(engine)) == sorted(made)
    with reading(engine) as connection:
        assert "consents_" in (guards.note(connection) or "")

    assert sorted(put_back(engine)) == sorted(made)
    assert told(engine) == []
    assert every_trigger(engine) == made
    with pytest.raises(DBAPIError, match="append-only"):
        run(engine, "DELETE FROM consents")


@on_sqlite
def test_a_trigger_of_the_same_name_that_does_nothing_is_not_ours(engine: Engine) -> None:
    run(
        engine,
        "DROP TRIGGER consents_no_delete",
        "CREATE TRIGGER consents_no_delete BEFORE DELETE ON consents BEGIN SELECT 1; END",
    )

    assert put_back(engine) == ["consents_no_delete"]
    answer(engine, "anybody", "analytics")
    with pytest.raises(DBAPIError, match="append-only"):
        run(engine, "DELETE FROM consents")


@on_postgresql
def test_one_that_is_switched_off_or_whose_function_does_nothing_is_not_ours(
    engine: Engine,
) -> None:
    run(engine, "ALTER TABLE consents DISABLE TRIGGER consents_append_only")
    assert put_back(engine) == ["consents_append_only"]
    assert told(engine) == []

    run(
        engine,
        "CREATE OR REPLACE FUNCTION refuse_sealed() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN NEW; END $$",
    )
    assert set(told(engine)) == {
        "blocks_sealed",
        "blocks_no_truncate",
        "block_sums_sealed",
        "block_sums_no_truncate",
    }
    put_back(engine)
    assert told(engine) == []


@on_postgresql
def test_two_that_put_them_back_at_once_come_one_after_the_other(engine: Engine) -> None:
    for _ in range(3):
        for name, table in every_trigger(engine).items():
            run(engine, f"DROP TRIGGER {name} ON {table}")

        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda _: put_back(engine), range(4)))

        assert sorted(map(len, done))[:3] == [0, 0, 0]
        assert told(engine) == []
