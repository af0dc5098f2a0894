"""The schema moves up, down and up again with its rows, and a start against another one says so."""

from __future__ import annotations

import itertools
import os
import threading
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

from schemas.clock import MICROS_PER_DAY
from schemas.errors import InvalidInput, LeaseLost, NotReady
from schemas.tables import metadata
from warehouse.engine import check_ready, connect, create_tables, reading, writing
from warehouse.leases import lease
from warehouse.migrations import configuration, downgrade, upgrade
from warehouse.months import make_months
from warehouse.revision import FIRST, HEAD, revision_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

_numbers = itertools.count()

ENGINES = ["sqlite", "postgresql"]

ROWS = {
    "subjects": (
        "subject, pseudonym, key_id, ledger_id, notice_version, updated_at, analytics",
        "7, X'01', 'key', X'02', '2026-11', 5, TRUE",
    ),
    "consents": (
        (
            "consent_id, ledger_id, analytics, preferences, improvement, notice_version,"
            " notice_sha256, channel, recorded_at, previous_hash, entry_hash"
        ),
        "X'03', X'02', TRUE, FALSE, FALSE, '2026-11', X'04', 'api', 5, X'05', X'06'",
    ),
    "staged": (
        "event_id, kind, subject, match_key, occurred_at, received_at, payload",
        "X'07', 'match_viewed', 7, 1, 5, 6, X'7B7D'",
    ),
    "events": (
        "seq, event_id, kind, subject, match_key, occurred_at, received_at, payload",
        f"1, X'07', 'match_viewed', 7, 1, {20_700 * MICROS_PER_DAY}, 6, X'7B7D'",
    ),
    "matches": ("match_key, subject, day, first_at, last_at", "1, 7, 20000, 5, 5"),
    "leases": ("name, fence, holder, expires_at", "'process_events', 4, '', 0"),
    "block_sums": ("block, measure, facet, model_version, value", "1, 'proposed', '', '', 12"),
    "blocks": ("block, since_day, until_day, subjects, sealed_at", "1, 3, 4, 12, 9"),
}
"""A row of what the first schema holds, as both engines write it."""


@pytest.fixture(params=ENGINES)
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database without any table, on either engine."""
    if request.param == "sqlite":
        # Whoever comes second waits for a whole move, which a busy machine may draw out.
        engine = connect(SecretStr(f"sqlite:///{tmp_path / 'bare.db'}"), busy_timeout_ms=60_000)
        yield engine
        engine.dispose()
        return
    server: str = request.getfixturevalue("postgres")
    name = f"bare_{os.getpid()}_{next(_numbers)}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine = connect(
        SecretStr(make_url(server).set(database=name).render_as_string(hide_password=False))
    )
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


def fill(engine: Engine) -> None:
    """Put a row into tables of the first schema."""
    with writing(engine) as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        order = ["blocks", *(name for name in ROWS if name != "blocks")]
        for name in order:
            columns, values = ROWS[name]
            if engine.dialect.name == "postgresql":
                values = values.replace("X'", "'\\x")
            connection.execute(text(f"INSERT INTO {name} ({columns}) VALUES ({values})"))


def held(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Read the rows back, in the columns of the first schema."""
    with reading(engine) as connection:
        return {
            name: [tuple(row) for row in connection.execute(text(f"SELECT {columns} FROM {name}"))]
            for name, (columns, _) in ROWS.items()
        }


def triggers_of(engine: Engine) -> set[tuple[str, ...]]:
    query = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
    if engine.dialect.name == "postgresql":
        query = (
            "SELECT tgname, tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger"
            " WHERE NOT tgisinternal"
        )
    with reading(engine) as connection:
        return {tuple(map(str, row)) for row in connection.execute(text(query))}


def columns_of(engine: Engine) -> dict[str, list[tuple[str, ...]]]:
    found = inspect(engine)
    return {
        name: sorted(
            tuple(str(column[key]) for key in ("name", "type", "nullable", "default"))
            for column in found.get_columns(name)
        )
        for name in found.get_table_names()
    }


def partitions_of(engine: Engine) -> dict[str, tuple[Any, ...]]:
    """Return the bounds, indices and constraints of each partition, and its number of rows."""
    if engine.dialect.name == "sqlite":
        return {}
    query = (
        "SELECT relname, pg_get_expr(relpartbound, c.oid),"
        " (SELECT string_agg(indexdef, ';' ORDER BY indexdef) FROM pg_indexes"
        " WHERE tablename = relname),"
        " (SELECT string_agg(pg_get_constraintdef(k.oid), ';' ORDER BY conname)"
        " FROM pg_constraint k WHERE conrelid = c.oid AND contype <> 'n')"
        " FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE relkind = 'r'"
    )
    with reading(engine) as connection:
        told = {name: tuple(rest) for name, *rest in connection.execute(text(query))}
        return {
            name: (connection.scalar(text(f"SELECT COUNT(*) FROM {name}")), *rest)
            for name, rest in told.items()
        }


def keys_of(engine: Engine) -> dict[str, tuple[list[str], list[str]]]:
    """Return the key of each table, and its indices as they are written in SQL."""
    query, found = "SELECT indexdef FROM pg_indexes WHERE tablename = :name", inspect(engine)
    if engine.dialect.name == "sqlite":
        # What is indexed by an expression is not told by the inspector.
        query = "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :name"
    with reading(engine) as connection:
        return {
            name: (
                found.get_pk_constraint(name)["constrained_columns"],
                sorted(str(sql) for sql in connection.scalars(text(query), {"name": name})),
            )
            for name in found.get_table_names()
        }


def differences(engine: Engine) -> list[Any]:
    """Compare a database with the tables of the code, whatever partitions they lie in."""
    parts = partitions_of(engine)
    ours = {"include_name": lambda name, kind, _: kind != "table" or name not in parts}
    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection, opts=ours), metadata))


def test_the_newest_revision_is_the_one_that_a_start_asks_for() -> None:
    assert ScriptDirectory.from_config(configuration()).get_current_head() == HEAD


@pytest.mark.parametrize(
    ("bare", "database_url"), list(zip(ENGINES, ENGINES, strict=True)), indirect=True
)
def test_migrated_schema_is_that_of_the_code(bare: Engine, engine: Engine) -> None:
    assert upgrade(bare) == (None, HEAD)

    assert differences(bare) == []
    assert columns_of(bare) == columns_of(engine)
    assert keys_of(bare) == keys_of(engine)
    assert partitions_of(bare) == partitions_of(engine)
    assert triggers_of(bare) == triggers_of(engine) != set()
    check_ready(bare)


def test_rows_stay_in_place_up_down_and_up_again(bare: Engine) -> None:
    upgrade(bare, FIRST)
    fill(bare)
    before = held(bare)
    assert all(before.values())

    assert upgrade(bare) == (FIRST, HEAD)
    assert held(bare) == before
    assert downgrade(bare, FIRST) == (HEAD, FIRST)
    assert held(bare) == before
    assert upgrade(bare) == (FIRST, HEAD)
    assert held(bare) == before
    assert differences(bare) == []


def test_a_state_gets_the_time_of_its_newest_entry(bare: Engine) -> None:
    upgrade(bare, FIRST)
    fill(bare)
    with writing(bare) as connection:
        connection.execute(text("UPDATE subjects SET updated_at = 4"))

    upgrade(bare)

    assert held(bare)["subjects"][0][5] == 5


@pytest.mark.parametrize("bare", ["postgresql"], indirect=True)
def test_rows_move_into_their_months_and_back(bare: Engine) -> None:
    """SQLite has no partitions."""
    upgrade(bare, FIRST)
    fill(bare)
    whole = keys_of(bare)["events"], keys_of(bare)["matches"]

    upgrade(bare)

    rows = {name: parts[0] for name, parts in partitions_of(bare).items()}
    months = {"events_2026_09": 1, "matches_2024_10": 1}
    assert rows == {"events_default": 0, "matches_default": 0} | months
    assert keys_of(bare)["events"][0] == ["seq", "occurred_at"]
    assert make_months(bare, 20_000, 20_700)

    downgrade(bare, FIRST)

    assert partitions_of(bare) == {}
    assert (keys_of(bare)["events"], keys_of(bare)["matches"]) == whole


def test_nothing_of_ours_is_left_at_the_base(bare: Engine) -> None:
    upgrade(bare)
    downgrade(bare, "base")

    with reading(bare) as connection:
        assert revision_of(connection) is None
    assert upgrade(bare) == (None, HEAD)
    assert differences(bare) == []
    downgrade(bare, "base")
    create_tables(bare)
    check_ready(bare)


def test_database_of_before_there_were_revisions_is_recognised(bare: Engine) -> None:
    upgrade(bare, FIRST)
    fill(bare)
    before = held(bare)
    with writing(bare) as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")

    with pytest.raises(NotReady, match=f"schema {FIRST}; run `smartmatch db upgrade`"):
        check_ready(bare)
    with pytest.raises(NotReady, match="smartmatch db upgrade"):
        create_tables(bare)

    assert upgrade(bare) == (FIRST, HEAD)
    assert held(bare) == before
    check_ready(bare)


def test_start_against_no_or_a_newer_schema_says_so(bare: Engine) -> None:
    with pytest.raises(NotReady, match="smartmatch init"):
        check_ready(bare)
    create_tables(bare)
    create_tables(bare)
    check_ready(bare)
    with writing(bare) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NotReady, match="9999, newer than this code"):
        check_ready(bare)


@pytest.mark.parametrize("noted", [[], [FIRST, HEAD]])
def test_a_schema_that_is_not_noted_once_is_not_guessed(bare: Engine, noted: list[str]) -> None:
    create_tables(bare)
    with writing(bare) as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
        for revision in noted:
            connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{revision}')")
    before = columns_of(bare)

    for begin in (check_ready, create_tables, upgrade, partial(downgrade, revision=FIRST)):
        with pytest.raises(NotReady, match="alembic_version must hold one row"):
            begin(bare)

    assert columns_of(bare) == before


def test_unknown_revision_is_refused_by_rule(bare: Engine) -> None:
    create_tables(bare)
    for move, revision in ((upgrade, "0815"), (downgrade, "0815")):
        with pytest.raises(InvalidInput, match="revision"):
            move(bare, revision)
    check_ready(bare)


def test_two_that_upgrade_at_once_come_one_after_the_other(bare: Engine) -> None:
    upgrade(bare, FIRST)
    fill(bare)
    before = held(bare)
    seen: list[Any] = []
    threads = [threading.Thread(target=lambda: seen.append(upgrade(bare))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(seen) == [(FIRST, HEAD), (HEAD, HEAD)]
    assert held(bare) == before
    assert differences(bare) == []


@pytest.mark.parametrize("moves", [True, False])
def test_a_flow_that_is_at_work_writes_nothing_once_the_schema_moved(
    bare: Engine, *, moves: bool
) -> None:
    upgrade(bare)
    with lease(bare, "purge_expired", 300.0) as held_on:
        if moves:
            downgrade(bare, FIRST)
        upgrade(bare)

        with pytest.raises(LeaseLost) if moves else nullcontext(), writing(bare) as connection:
            held_on.check(connection)
    with lease(bare, "purge_expired", 300.0) as next_one:
        next_one.renew(bare)
