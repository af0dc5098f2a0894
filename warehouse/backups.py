"""Copy a SQLite database while it is in use, and put such a copy back.

The copy says of itself that it is a backup: whoever opens it, under whatever path, first has it
follow the witness. On PostgreSQL the database's own tools do this better.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from schemas.errors import InvalidInput, NotReady
from warehouse import consents, leases, marks, tombstones
from warehouse.engine import check_ready, connect, is_postgres, writing
from warehouse.residue import compact
from warehouse.revision import HEAD
from warehouse.whole_writes import sync_directory
from warehouse.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

PATIENCE_SECONDS = 10.0
"""So long others are waited for who use one of the files."""


def back_up(engine: Engine, file: Path) -> None:
    """Write a copy of the database, of one moment, that says that it is a backup.

    It gets its name when it is whole: what is left of one that was killed or had no room goes
    with the next try.

    Raises:
        InvalidInput: The file exists, or this is PostgreSQL.
        NotReady: The file cannot be written, or the database is busy.
    """
    _only_sqlite(engine)
    if file.exists():
        raise InvalidInput("file", "must not exist yet")
    draft = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _remove(draft)
        try:
            _write(engine, draft)
        except NotReady:
            _remove(draft)
            raise
        draft.rename(file)
        sync_directory(file.parent)
    except OSError as error:
        raise NotReady(f"the backup cannot be written ({type(error).__name__})") from None


def _write(engine: Engine, draft: Path) -> None:
    draft.touch(mode=0o600, exist_ok=False)
    with _noting(), closing(_connected(engine.url.database)) as read:
        _copy(read, draft)
    copy = connect(SecretStr(f"sqlite:///{draft}"))
    try:
        with writing(copy) as connection:
            marks.set_backup(connection, backup=True)
        if not compact(copy):
            raise NotReady("the backup's disk has no room for it")
    finally:
        copy.dispose()
    # One file, and no log beside it: so it can be read where nothing can be written.
    with _noting(), closing(_connected(draft)) as alone:
        alone.execute("PRAGMA journal_mode=DELETE")


def _remove(draft: Path) -> None:
    """Remove what a backup left that did not come to its end."""
    for end in ("", "-journal", "-wal", "-shm"):
        draft.with_name(f"{draft.name}{end}").unlink(missing_ok=True)


def put_back(engine: Engine, file: Path, directory: Path) -> None:
    """Replace the content of the database by a backup's, which is checked before.

    Args:
        engine: The database, whose servers are stopped; it may be damaged.
        file: The backup.
        directory: Where the keys lie; without them nobody could be forgotten again.

    Raises:
        InvalidInput: It is no backup of ours, or damaged, or this is PostgreSQL.
        KeyMissing: There is no key file.
        NotReady: The database is in use, or its disk is full.
    """
    _only_sqlite(engine)
    Witness(directory).verify()
    database = Path(str(engine.url.database))
    engine.dispose()
    with _noting(), closing(_opened_to_read(file)) as read:
        _check_sound(read)
        try:
            _copy(read, database)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # It is damaged so that nothing can be written over it, and the backup is not.
            _remove(database)
            _copy(read, database)
    with writing(engine) as connection:
        marks.set_backup(connection, backup=True)


def accept_restored(engine: Engine, directory: Path) -> int:
    """Have a database that was put back follow the witness, and say so in the witness.

    Returns:
        How many erasures and withdrawals were carried out.
    """
    check_ready(engine)
    head = consents.head(engine)
    with writing(engine) as connection:
        marks.set_backup(connection, backup=True)
        leases.outdo(connection)
    carried = tombstones.catch_up(engine, directory)
    tombstones.testify_restored(engine, directory, head, carried)
    return carried


def _only_sqlite(engine: Engine) -> None:
    if is_postgres(engine):
        raise InvalidInput(
            "database_url", "must be SQLite; on PostgreSQL use pg_dump or a base backup"
        )


def _connected(file: str | Path | None) -> sqlite3.Connection:
    return sqlite3.connect(str(file), timeout=PATIENCE_SECONDS)


def _opened_to_read(file: Path) -> sqlite3.Connection:
    uri = f"{file.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=PATIENCE_SECONDS)


def _check_sound(read: sqlite3.Connection) -> None:
    """Refuse what is no sound backup: it would take the place of a database that may be."""
    try:
        known = read.execute("SELECT version_num FROM alembic_version").fetchall()
        sound = read.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
    except sqlite3.Error as error:
        if error.sqlite_errorcode in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN}:
            raise
        known, sound = [], error.sqlite_errorcode != sqlite3.SQLITE_CORRUPT
    if not sound:
        raise InvalidInput("file", "must not be damaged")
    if known != [(HEAD,)]:
        raise InvalidInput("file", "must be a backup of this schema")


def _copy(read: sqlite3.Connection, target: Path) -> None:
    """Copy a database over another one that nobody has open, wholly or not at all."""
    with closing(_connected(target)) as written:
        # Who backs up into a database that is locked is never told so, and waits for ever.
        written.execute("PRAGMA locking_mode=EXCLUSIVE")
        written.execute("BEGIN EXCLUSIVE")
        written.rollback()
        read.backup(written)


@contextmanager
def _noting() -> Iterator[None]:
    """Raise what SQLite says of a copy as ``NotReady``."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise NotReady("the database is in use: stop the servers first") from None
        raise NotReady(f"the database could not be copied ({type(error).__name__})") from None
