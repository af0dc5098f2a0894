"""Do something at the n-th statement that a process sends to its database, on either engine.

Every statement and every commit is a step boundary: what was sent before it may have happened,
what comes after has not. Counted at the driver, so that no path to the database is missed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Callable


class Boundaries:
    """Counts step boundaries, and acts once at one of them.

    Args:
        at: Number of the boundary, from 1; 0 only counts.
        act: What to do there.
        between: Count only the beginnings of transactions, where nothing is locked.
    """

    def __init__(self, at: int, act: Callable[[], None], *, between: bool = False) -> None:
        self._at = at
        self._act = act
        self._between = between
        self._lock = threading.Lock()
        self.passed = 0

    def watch(self, engine: Engine | None = None) -> None:
        """Watch every connection that this process, or one engine of it, opens from now on."""
        whose = engine if engine is not None else Engine
        if self._between:
            event.listen(whose, "begin", self.step)
            return
        event.listen(engine.pool if engine is not None else Pool, "connect", self._watch_connection)
        event.listen(whose, "commit", self.step)

    def step(self, *_: object) -> None:
        """Pass a boundary."""
        with self._lock:
            self.passed += 1
            here = self.passed == self._at
        if here:
            self._act()

    def _watch_connection(self, connection: Any, _record: object) -> None:
        if isinstance(connection, psycopg.Connection):
            connection.cursor_factory = _counting(self)
        elif hasattr(connection, "set_trace_callback"):
            connection.set_trace_callback(self.step)


def _counting(boundaries: Boundaries) -> type[psycopg.Cursor[Any]]:
    class Counting(psycopg.Cursor[Any]):
        def execute(self, *arguments: Any, **more: Any) -> Any:
            boundaries.step()
            return super().execute(*arguments, **more)

        def executemany(self, *arguments: Any, **more: Any) -> Any:
            boundaries.step()
            return super().executemany(*arguments, **more)

        def copy(self, *arguments: Any, **more: Any) -> Any:
            boundaries.step()
            return super().copy(*arguments, **more)

    return Counting
