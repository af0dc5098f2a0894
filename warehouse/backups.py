"""Copy a SQLite database while it is in use, and put such a copy back.

The copy says of itself that it is a backup: whoever opens it, under whatever path, first has it
follow the witness. On PostgreSQL the database's own tools do this better.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from schemas.errors import InvalidInput, NotReady
from warehouse import consents, marks, tombstones
from warehouse.engine import check_ready, connect, is_postgres, writing
from warehouse.residue import compact
from warehouse.whole_writes import sync_directory
from warehouse.witness import Witness

if TYPE_CHECKING:
    from sqlalchemy import Engine


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
    _copy(str(engine.url.database), str(draft))
    copy = connect(SecretStr(f"sqlite:///{draft}"))
    try:
        with writing(copy) as connection:
            marks.set_backup(connection, backup=True)
        if not compact(copy):
            raise NotReady("the backup's disk has no room for it")
    finally:
        copy.dispose()


def _remove(draft: Path) -> None:
    """Remove what a backup left that did not come to its end."""
    for end in ("", "-journal", "-wal", "-shm"):
        draft.with_name(f"{draft.name}{end}").unlink(missing_ok=True)


def put_back(engine: Engine, file: Path, directory: Path) -> None:
    """Replace the content of the database by a backup's.

    Args:
        engine: The database, whose servers are stopped.
        file: The backup.
        directory: Where the keys lie; without them nobody could be forgotten again.

    Raises:
        InvalidInput: It is no backup of ours, or this is PostgreSQL.
        KeyMissing: There is no key file.
        NotReady: The database is in use.
    """
    _only_sqlite(engine)
    Witness(directory).verify()
    copy = connect(SecretStr(f"sqlite:///{file}"))
    try:
        check_ready(copy)
    except NotReady:
        raise InvalidInput("file", "must be a backup of this schema") from None
    finally:
        copy.dispose()
    engine.dispose()
    _copy(str(file), str(engine.url.database))
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
    carried = tombstones.catch_up(engine, directory)
    tombstones.testify_restored(engine, directory, head, carried)
    return carried


def _only_sqlite(engine: Engine) -> None:
    if is_postgres(engine):
        raise InvalidInput(
            "database_url", "must be SQLite; on PostgreSQL use pg_dump or a base backup"
        )


def _copy(source: str, target: str) -> None:
    try:
        with (
            closing(sqlite3.connect(source, timeout=10)) as read,
            closing(sqlite3.connect(target, timeout=10)) as written,
        ):
            read.backup(written)
    except sqlite3.Error as error:
        raise NotReady(f"the database could not be copied ({type(error).__name__})") from None
