"""Keep the last of SQLite's disk for what makes room: purges, erasures, withdrawals.

Deleting needs space in the write-ahead log before it frees any. A server that stores events
until nothing fits would leave none, so it stops short of it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import NotReady
from warehouse.engine import is_postgres, translated

if TYPE_CHECKING:
    from sqlalchemy import Engine

_EVENT_BYTES = 2_048
"""An event's share of the log and of the tables beside what it says, with room to spare."""

_TIMES_WRITTEN = 2
"""What it says is written to the log, and from there to its table."""

_LARGEST_SHARE = 4
"""At most one part in so many of a small disk is kept."""

_LOOK_SECONDS = 0.05
"""So long the last look at the disk counts, less what was stored since."""


class DiskReserve:
    """Tells whether events may still be stored; PostgreSQL keeps its own house.

    Args:
        engine: The database.
        reserve_bytes: Free space that events leave alone.
    """

    def __init__(self, engine: Engine, reserve_bytes: int) -> None:
        self._engine = engine
        self._reserve = reserve_bytes
        self._left = 0
        self._look_at = 0.0
        self._directory: Path | None = None
        if not is_postgres(engine) and engine.url.database:
            database = Path(engine.url.database).absolute()
            self._directory = database.parent
            self._log = database.with_name(f"{database.name}-wal")

    def has_room(self, events: int) -> bool:
        """Tell whether so many events would leave the reserve as it is; asking takes nothing.

        Raises:
            NotReady: The database or its disk does not answer.
        """
        if self._directory is None:
            return True
        return self._suffices(self._look(self._directory) - events * _EVENT_BYTES)

    def take(self, events: int, content_bytes: int) -> bool:
        """Take room for events that are about to be stored; False where there is none.

        Args:
            events: Number of them.
            content_bytes: What all of them say: payloads and sealed texts.

        Raises:
            NotReady: The database or its disk does not answer.
        """
        if self._directory is None:
            return True
        if time.monotonic() >= self._look_at:
            self._left = self._look(self._directory)
            self._look_at = time.monotonic() + _LOOK_SECONDS
        left = self._left - events * _EVENT_BYTES - content_bytes * _TIMES_WRITTEN
        if not self._suffices(left):
            return False
        self._left = left
        return True

    def _look(self, directory: Path) -> int:
        """Return the free bytes beyond the reserve and what the log holds for the tables."""
        try:
            disk = os.statvfs(directory)
            log_bytes = self._log.stat().st_size if self._log.exists() else 0
        except OSError as error:
            raise NotReady(f"the disk did not answer ({type(error).__name__})") from None
        reserve = min(self._reserve, disk.f_blocks * disk.f_frsize // _LARGEST_SHARE)
        return disk.f_bavail * disk.f_frsize - reserve - log_bytes

    def _suffices(self, left: int) -> bool:
        return left > 0 or left + self._free_inside() > 0

    def _free_inside(self) -> int:
        """Return the bytes of deleted rows in SQLite's file, which new rows use first."""
        with translated(), self._engine.connect().execution_options(read_only=True) as connection:
            pages = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
            return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())
