"""What SQLite leaves of deleted rows in its files, and how that is overwritten.

``secure_delete`` overwrites a row where it lies, and a checkpoint the write-ahead log. But a row
may have lain elsewhere before: where SQLite rebuilds a page to balance a tree, the unallocated
middle of the page keeps copies of the cells that were moved away, and no later DELETE reaches
them. Only pages that are written anew are free of them, as VACUUM writes them.

References:
    SQLite, Database File Format, section 1.6: B-tree Pages.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse import planner_statistics
from warehouse.engine import BUSY_TIMEOUT_MS, is_postgres

if TYPE_CHECKING:
    from sqlalchemy import Engine

COMPACTED_BYTES = 32 << 20
"""Up to this size a database is written anew beside writers: they wait about 0.3 s."""


def forget_bytes(engine: Engine) -> bool:
    """Make SQLite overwrite what was deleted, in the database and in its write-ahead log.

    PostgreSQL keeps its log whatever one does: nothing of a person was ever plain in it. What its
    planner sampled of deleted rows goes.

    Returns:
        True when nothing deleted is left in the files. False when a reader kept the log open or
        the disk has no room, and the next run tries again; or when the database is so large that
        writers would have to wait for long: ``compact`` it when nobody writes.
    """
    if is_postgres(engine):
        planner_statistics.renew(engine)
        return True
    return empty_log(engine) and not is_large(engine) and compact(engine)


def is_large(engine: Engine) -> bool:
    """Tell whether a database is too large to be written anew beside writers."""
    return not is_postgres(engine) and _file(engine).stat().st_size > COMPACTED_BYTES


def compact(engine: Engine) -> bool:
    """Write SQLite's database anew, whatever its size; writers wait for it.

    Returns:
        True when nothing deleted is left in the files; False when it was in use, or the disk has
        no room for a copy.
    """
    if is_postgres(engine):
        planner_statistics.renew(engine)
        return True
    seconds = BUSY_TIMEOUT_MS / 1_000
    # A connection of its own: the copy of a large database does not belong in memory.
    with closing(sqlite3.connect(_file(engine), timeout=seconds, isolation_level=None)) as raw:
        try:
            raw.execute("PRAGMA synchronous=FULL")
            raw.execute("VACUUM")
        except sqlite3.OperationalError:
            return False
    return empty_log(engine)


def spread_log(engine: Engine) -> None:
    """Write SQLite's log into the database, which nobody waits for; PostgreSQL does so itself.

    Deleting begins with more log. On a disk that is nearly full it could be written no more once
    the deletion's own has taken the room that the database needs to grow.
    """
    if not is_postgres(engine):
        _checkpoint(engine, "PASSIVE")


def empty_log(engine: Engine) -> bool:
    """Write SQLite's log into the database and empty it.

    Returns:
        False when a reader keeps it open, or the disk has no room.
    """
    return _checkpoint(engine, "TRUNCATE")


def _checkpoint(engine: Engine, kind: str) -> bool:
    with engine.connect().execution_options(read_only=True) as connection:
        raw = connection.connection.driver_connection
        assert raw is not None  # noqa: S101  # a connection that is checked out has a driver
        try:
            return not raw.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()[0]
        except sqlite3.OperationalError:
            return False


def _file(engine: Engine) -> Path:
    return Path(str(engine.url.database))
