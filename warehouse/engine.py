"""Connect to the database, safely, and be the one place where the engines differ.

SQLite runs in WAL mode with synchronous FULL and secure_delete on every pooled connection;
PostgreSQL with fsync, full_page_writes and synchronous_commit on. Both are checked, not
assumed: a database that would lose what it acknowledged is refused.
"""

from __future__ import annotations

import importlib
import os
import re
import sqlite3
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from schemas.errors import InvalidInput, NotReady, UnsafeEngine
from schemas.tables import metadata
from warehouse import partitioning, revision, triggers
from warehouse.driver_words import keep_values_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import SecretStr

BUSY_TIMEOUT_MS = 5_000
_PREPARED_STATEMENTS = 512
_SAFE_CHECKPOINTS = (3, 51, 3)
_SNAPSHOT = re.compile(r"[0-9A-F-]{1,64}")
SCHEMA_LOCK = 0x5341_4D32
"""PostgreSQL's advisory lock of who changes the schema."""

_DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
_KNOWN_URLS = "must be a URL such as sqlite:///PATH or postgresql+psycopg://..."
_FILES = "smartmatch.files"
"""Note of a connection: its file and the log of it, as they were when it was opened."""
_TAKEN_AWAY = "the database's file was taken away"

_FORBIDDEN = "42501"
"""PostgreSQL's code where a role lacks a privilege."""

_READ_ONLY = "25006"
"""PostgreSQL's code where nothing may be written, as on a server that another is to follow."""

_KEPT_ALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""Who waits for a host that is gone knows it after 25 s, and not after TCP's two hours."""

IDLE_SECONDS = 600.0
"""Who is silent for so long inside a transaction is stopped, and may hold locks that others wait
for: PostgreSQL ends its session."""

_POSTGRES_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


def connect(url: SecretStr, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Engine:
    """Return an engine for a database, SQLite's directory made where it is missing.

    Args:
        url: SQLAlchemy URL, ``sqlite:///...`` or ``postgresql+psycopg://...``.
        busy_timeout_ms: How long a statement waits for another's lock. A server that has to
            answer within two seconds gives less than the default.

    Returns:
        A pooled engine. No statement's parameters appear in its errors or logs.

    Raises:
        InvalidInput: The URL is none of a database that we know.
        NotReady: SQLite's directory cannot be made.
    """
    try:
        return _connect(url, busy_timeout_ms)
    except ArgumentError:
        raise InvalidInput("database_url", _KNOWN_URLS) from None
    except OSError as error:
        reason = f"the database's directory cannot be made ({type(error).__name__})"
        raise NotReady(reason) from None


def _connect(url: SecretStr, busy_timeout_ms: int) -> Engine:
    parsed = make_url(url.get_secret_value())
    if parsed.drivername not in _DRIVERS:
        raise InvalidInput("database_url", _KNOWN_URLS)
    # Who waits for a connection waits no longer than who waits for a lock or a slow statement.
    pool: dict[str, Any] = {"hide_parameters": True, "pool_timeout": 4 * busy_timeout_ms / 1_000}
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            parsed,
            pool_size=5,
            max_overflow=10,
            connect_args={"cached_statements": _PREPARED_STATEMENTS},
            **pool,
        )
        event.listen(engine, "connect", partial(_set_sqlite_pragmas, busy_timeout_ms))
        event.listen(engine, "begin", _begin_immediate)
        if parsed.database not in {None, "", ":memory:"}:
            path = os.path.abspath(parsed.database)  # noqa: PTH100  # links stay as they are
            event.listen(engine, "connect", partial(_note_files, path))
            event.listen(engine, "checkout", _demand_files)
        return engine
    arguments: dict[str, Any] = {"connect_timeout": 2, "client_encoding": "utf8"}
    arguments |= {name: n for name, n in _KEPT_ALIVE.items() if name not in parsed.query}
    idle = f"-c idle_in_transaction_session_timeout={round(IDLE_SECONDS * 1_000)}"
    options = [idle, *parsed.normalized_query.get("options", ())]
    if busy_timeout_ms != BUSY_TIMEOUT_MS:
        # A link that swallows packets must not hold a server for TCP's quarter of an hour.
        arguments["tcp_user_timeout"] = 4 * busy_timeout_ms
        options += [f"-c lock_timeout={busy_timeout_ms} -c statement_timeout={4 * busy_timeout_ms}"]
    # With those of the URL, such as a search path, which these would replace.
    arguments["options"] = " ".join(options)
    # Whoever writes takes locks, and has to see what was committed before: said, because a
    # database or a role may have another level by default.
    level = "READ COMMITTED"
    engine = create_engine(
        parsed, pool_pre_ping=True, connect_args=arguments, isolation_level=level, **pool
    )
    if busy_timeout_ms != BUSY_TIMEOUT_MS:
        event.listen(engine, "do_connect", _connect_impatiently)
    return engine


def _connect_impatiently(_dialect: Any, _record: Any, given: Any, named: Any) -> Any:
    from warehouse.impatient import Impatient  # loads PostgreSQL's driver

    return Impatient.connect(*given, **named)


def _set_sqlite_pragmas(busy_timeout_ms: int, connection: Any, _record: object) -> None:
    # The driver must not open transactions by itself: `begin` below does.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={busy_timeout_ms}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",
        "temp_store=MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _note_files(path: str, connection: Any, record: Any) -> None:
    # Whoever reads opens the log, so that it is there from now on.
    connection.execute("SELECT COUNT(*) FROM sqlite_schema").fetchall()
    record.info[_FILES] = (path, _files(path))


def _demand_files(_connection: Any, record: Any, _proxy: Any) -> None:
    if not _in_place(record.info):
        raise DisconnectionError(_TAKEN_AWAY)


def demand_place(connection: Connection) -> None:
    """Check that what a connection of SQLite wrote to is what others find at its place.

    A file that was removed or replaced takes what is committed, and nobody ever sees it again.

    Raises:
        NotReady: It is not; the connection is of no use any more.
    """
    if not _in_place(connection.info):
        raise NotReady(_TAKEN_AWAY)


def _in_place(info: dict[Any, Any]) -> bool:
    noted = info.get(_FILES)
    return noted is None or _files(noted[0]) == noted[1]


def _files(path: str) -> list[tuple[int, int] | None]:
    return [_identity(path), _identity(path + "-wal")]


def _identity(path: str) -> tuple[int, int] | None:
    """Tell a file from every other one."""
    try:
        found = os.stat(path)  # noqa: PTH116  # at each commit; a Path's is slower
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _begin_immediate(connection: Connection) -> None:
    # A deferred transaction that reads first and writes later fails when another wrote
    # between; readers that say so keep the deferred kind.
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def reading(
    engine: Engine, snapshot: str | None = None, *, whole: Sequence[Table] = ()
) -> Iterator[Connection]:
    """Open a transaction that only reads, on one consistent snapshot.

    Args:
        engine: The database.
        snapshot: One that ``shared_snapshot`` named; a snapshot of its own when empty.
        whole: Tables of which no partition may be dropped meanwhile. A snapshot does not show
            a dropped table, so whoever compares its rows with another's has to name it here.

    Raises:
        NotReady: The database cannot be reached or is locked.
    """
    options: dict[str, Any] = {"read_only": True}
    if is_postgres(engine):
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with (
        translated(),
        engine.connect().execution_options(**options) as connection,
        connection.begin(),
    ):
        if snapshot is not None:
            # A name that the server gave out: it takes no parameter here.
            if not _SNAPSHOT.fullmatch(snapshot):
                raise InvalidInput("snapshot", "must be a name that the server gave out")
            connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        if whole and is_postgres(engine):
            # Before the first query, which takes the snapshot.
            names = ", ".join(table.name for table in whole)
            connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS SHARE MODE")
        yield connection


@contextmanager
def shared_snapshot(engine: Engine, *, whole: Sequence[Table] = ()) -> Iterator[str | None]:
    """Hold a snapshot that connections of other processes can read as well, and name it.

    SQLite has none: there it is None, and who wants one snapshot reads in one transaction.
    Tables that are ``whole`` are held as ``reading`` holds them.
    """
    if not is_postgres(engine):
        yield None
        return
    with reading(engine, whole=whole) as connection:
        # It waits for what others read of it, however soon the server ends who only waits.
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield str(connection.execute(text("SELECT pg_export_snapshot()")).scalar_one())


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that writes: committed at the end, rolled back on any error.

    Raises:
        NotReady: The database cannot be reached, is locked, full or of another schema.
    """
    with translated(), engine.begin() as connection:
        yield connection


@contextmanager
def translated() -> Iterator[None]:
    """Raise what a driver says of a database that does not answer, or forbids, as ``NotReady``."""
    try:
        yield
    except PoolExhausted:
        raise NotReady("every connection to the database is in use") from None
    except (OperationalError, DBAPIError) as error:
        if isinstance(error, OperationalError) or error.connection_invalidated:
            raise NotReady(f"the database did not answer ({type(error.orig).__name__})") from None
        if type(error.orig) is sqlite3.DatabaseError:
            # SQLite says so of a file that is cut, written over, or no database at all.
            raise NotReady("the database is damaged: put a backup back") from None
        state = getattr(error.orig, "sqlstate", None)
        if state == _READ_ONLY:
            raise NotReady("the database takes no writes: it is a standby, or was one") from None
        if state == _FORBIDDEN:
            reason = (
                "the database's role lacks a privilege: it has to own the tables and their schema"
            )
            raise NotReady(reason) from None
        keep_values_out(error)
        raise


def is_postgres(bind: Engine | Connection) -> bool:
    """Tell whether this is PostgreSQL; all else is SQLite."""
    return bind.dialect.name == "postgresql"


def create_tables(engine: Engine) -> None:
    """Create the tables, with their triggers, in a database that has none.

    Raises:
        NotReady: It has those of an older or a newer schema; says what to run.
    """
    assert triggers.SQLITE  # noqa: S101  # importing them attaches them to the tables
    assert partitioning.MONTHLY  # noqa: S101
    check_durable(engine)
    with writing(engine) as connection:
        if is_postgres(connection):
            # Two that begin at once come one after the other, as SQLite's writers do.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")
        if revision.revision_of(connection) is None:
            metadata.create_all(connection)
            revision.note_head(connection)
        revision.check_revision(connection)


def check_ready(engine: Engine) -> None:
    """Check that the database is durable and has the schema of this code.

    Raises:
        NotReady: It has none, an older or a newer one; says what to run.
        UnsafeEngine: It would lose what it acknowledged.
    """
    check_durable(engine)
    with reading(engine) as connection:
        revision.check_revision(connection)


def check_durable(engine: Engine) -> None:
    """Check that what is committed survives the loss of power, and that any name can be stored.

    Raises:
        UnsafeEngine: Names the setting that is off, or another encoding than UTF-8.
    """
    with translated(), engine.connect() as connection:
        if is_postgres(engine):
            driver: Any = connection.connection.driver_connection
            encoding = driver.info.parameter_status("server_encoding")
            if encoding != "UTF8":
                raise UnsafeEngine(f"PostgreSQL's database has the encoding {encoding}, not UTF8")
            for name in _POSTGRES_DURABLE:
                if connection.execute(text(f"SHOW {name}")).scalar_one() == "off":
                    raise UnsafeEngine(f"PostgreSQL runs with {name} off")
            return
        if connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() != "wal":
            raise UnsafeEngine("SQLite does not run in WAL mode")
        if connection.exec_driver_sql("PRAGMA synchronous").scalar_one() != 2:  # noqa: PLR2004
            raise UnsafeEngine("SQLite does not run with synchronous FULL")


def checkpoint_note(engine: Engine) -> str | None:
    """Return what to know of this release of SQLite where several processes write, if anything.

    References:
        SQLite, release 3.51.3, the WAL-reset bug.
    """
    if is_postgres(engine):
        return None
    release: tuple[int, ...] = sqlite3.sqlite_version_info
    if release >= _SAFE_CHECKPOINTS:
        return None
    return (
        f"SQLite {'.'.join(map(str, release))} is older than 3.51.3: before it two processes that"
        " write and checkpoint at the same instant may damage the database: where server and flows"
        " are both busy, use PostgreSQL"
    )


def insert_ignore(bind: Engine | Connection, table: Table) -> Any:
    """Return an INSERT that leaves an existing row as it is."""
    return _dialect(is_postgres(bind)).insert(table).on_conflict_do_nothing()


def add_to(
    bind: Engine | Connection, table: Table, keys: Sequence[str], column: str = "value"
) -> Any:
    """Return an INSERT that adds to an existing row's number instead of replacing it.

    Args:
        bind: Where it will run.
        table: The table.
        keys: Columns that tell rows apart.
        column: The number that is added to.
    """
    return _add_to(is_postgres(bind), table, tuple(keys), column)


@cache
def _add_to(postgres: bool, table: Table, keys: tuple[str, ...], column: str) -> Any:  # noqa: FBT001
    # SQLAlchemy compiles an upsert anew each time, at the cost of a whole commit; a text it keeps.
    dialect = _dialect(postgres)
    statement = dialect.insert(table)
    total = table.c[column] + statement.excluded[column]
    upsert = statement.on_conflict_do_update(index_elements=list(keys), set_={column: total})
    named = dialect.dialect(paramstyle="named")
    return text(str(upsert.compile(dialect=named, column_keys=[*keys, column])))


def _dialect(postgres: bool) -> Any:  # noqa: FBT001
    # PostgreSQL's come with all its drivers', which takes SQLite's commands a while to load.
    return importlib.import_module(f"sqlalchemy.dialects.{'postgresql' if postgres else 'sqlite'}")
