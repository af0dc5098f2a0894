"""What a connection insists on, whatever database and URL say, and what it says of damage."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from schemas.errors import InvalidInput, NotReady, UnsafeEngine
from tests.engines import on_postgresql, on_sqlite
from warehouse.engine import (
    check_durable,
    connect,
    create_tables,
    reading,
    shared_snapshot,
    writing,
)
from warehouse.migrations import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

SERVER_MS = 400


def shown(connection: Connection, name: str) -> str:
    return str(connection.exec_driver_sql(f"SHOW {name}").scalar_one())


@on_postgresql
def test_a_server_keeps_the_options_of_the_url(database_url: SecretStr) -> None:
    url = make_url(database_url.get_secret_value())
    url = url.update_query_dict({"options": "-c search_path=tenant"})
    for milliseconds, timeout in ((SERVER_MS, "1600ms"), (5_000, "0")):
        engine = connect(
            SecretStr(url.render_as_string(hide_password=False)), busy_timeout_ms=milliseconds
        )
        with reading(engine) as connection:
            assert shown(connection, "search_path") == "tenant"
            assert shown(connection, "statement_timeout") == timeout
        engine.dispose()


@on_postgresql
def test_a_snapshot_for_others_outlives_the_time_that_a_server_lets_one_wait(
    database_url: SecretStr,
) -> None:
    """Else a recount that takes longer would fail each night."""
    url = make_url(database_url.get_secret_value())
    url = url.update_query_dict({"options": "-c idle_in_transaction_session_timeout=700"})
    engine = connect(SecretStr(url.render_as_string(hide_password=False)))
    with shared_snapshot(engine) as snapshot:
        time.sleep(1.5)
        with reading(engine, snapshot) as connection:
            assert shown(connection, "idle_in_transaction_session_timeout") == "700ms"
    engine.dispose()


@on_postgresql
def test_writers_see_what_was_committed_whatever_the_database_does_by_default(
    engine: Engine, database_url: SecretStr
) -> None:
    name = engine.url.database
    with writing(engine) as connection:
        level = "default_transaction_isolation = 'serializable'"
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET {level}")
    changed = connect(database_url)
    for _ in range(2):
        with writing(changed) as connection:
            assert shown(connection, "transaction_isolation") == "read committed"
        with reading(changed) as connection:
            assert shown(connection, "transaction_isolation") == "repeatable read"
    changed.dispose()


@pytest.fixture(params=["SQL_ASCII", "LATIN1"])
def other_encoding(request: pytest.FixtureRequest, postgres: str) -> Iterator[SecretStr]:
    """URL of a database as initdb makes it where the language is C, or an old one."""
    admin = create_engine(postgres, isolation_level="AUTOCOMMIT")
    name = f"encoded_{request.param.lower()}"
    with admin.connect() as connection:
        connection.exec_driver_sql(
            f"CREATE DATABASE {name} ENCODING '{request.param}' LC_COLLATE 'C' LC_CTYPE 'C'"
            " TEMPLATE template0"
        )
    yield SecretStr(make_url(postgres).set(database=name).render_as_string(hide_password=False))
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


def test_a_database_that_cannot_store_every_name_is_refused(other_encoding: SecretStr) -> None:
    engine = connect(other_encoding)
    for refused in (create_tables, check_durable):
        with pytest.raises(UnsafeEngine, match="UTF8"):
            refused(engine)
    engine.dispose()


@on_sqlite
@pytest.mark.parametrize("damage", ["its head", "its end"])
def test_a_file_that_is_damaged_is_said_to_be(engine: Engine, damage: str) -> None:
    engine.dispose()
    with Path(str(engine.url.database)).open("r+b") as file:
        file.write(b"no database") if damage == "its head" else file.truncate(3 * 4_096)

    for opened in (reading, writing):
        with pytest.raises(NotReady, match="is damaged"), opened(engine) as connection:
            connection.exec_driver_sql("SELECT COUNT(*) FROM events")


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+asyncpg", "mysql+pymysql", "nothing"])
def test_a_url_of_another_driver_is_refused_without_being_told(scheme: str) -> None:
    with pytest.raises(InvalidInput, match=r"postgresql\+psycopg://") as refused:
        connect(SecretStr(f"{scheme}://somebody:secret@localhost/events"))
    assert "secret" not in str(refused.value)


@on_postgresql
def test_a_standby_is_not_ready_and_no_defect(engine: Engine) -> None:
    with engine.connect() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        connection.commit()
    engine.dispose()

    with pytest.raises(NotReady, match="takes no writes"), writing(engine) as connection:
        connection.exec_driver_sql("DELETE FROM staged")


def test_a_role_that_may_make_no_tables_is_told_so(postgres: str) -> None:
    """As is every role that does not own its database, since PostgreSQL 15."""
    admin = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE guest LOGIN")
        connection.exec_driver_sql("CREATE DATABASE lent")
    url = make_url(postgres).set(database="lent", username="guest")
    engine = connect(SecretStr(url.render_as_string(hide_password=False)))
    for make in (create_tables, upgrade):
        with pytest.raises(NotReady, match="privilege"):
            make(engine)
    engine.dispose()
    with admin.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE lent WITH (FORCE)")
        connection.exec_driver_sql("DROP ROLE guest")
    admin.dispose()
