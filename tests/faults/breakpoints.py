"""Do something at the n-th statement that a process sends to its database, on either engine.

Every statement and every commit is a step boundary: what was sent before it may have happened,
what comes after has not. Counted at the driver, so that no path to the database is missed.
"""

from __future__ import annotations

import threading
from functools import partial
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
        hear: Called with each statement and the driver's connection that it is sent by.
    """

    def __init__(
        self,
        at: int,
        act: Callable[[], None],
        *,
        between: bool = False,
        hear: Callable[[Any, str], None] | None = None,
    ) -> None:
        self._hear = hear
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
        else:
            event.listen(whose, "commit", self.step)
        if self._hear is not None or not self._between:
            pool = engine.pool if engine is not None else Pool
            event.listen(pool, "connect", self._watch_connection)

    def step(self, *_: object) -> None:
        """Pass a boundary."""
        with self._lock:
            self.passed += 1
            here = self.passed == self._at
        if here:
            self._act()

    def sent(self, connection: Any, statement: str) -> None:
        """Pass the boundary of a statement."""
        if self._hear is not None:
            self._hear(connection, statement)
        if not self._between:
            self.step()

    def _watch_connection(self, connection: Any, _record: object) -> None:
        if isinstance(connection, psycopg.Connection):
            connection.cursor_factory = _counting(self)
        elif hasattr(connection, "set_trace_callback"):
            connection.set_trace_callback(partial(self.sent, connection))


def _counting(boundaries: Boundaries) -> type[psycopg.Cursor[Any]]:
    class Counting(psycopg.Cursor[Any]):
        def execute(self, *arguments: Any, **more: Any) -> Any:
            boundaries.sent(self.connection, str(arguments[0]))
            return super().execute(*arguments, **more)

        def executemany(self, *arguments: Any, **more: Any) -> Any:
            boundaries.sent(self.connection, str(arguments[0]))
            return super().executemany(*arguments, **more)

        def copy(self, *arguments: Any, **more: Any) -> Any:
            boundaries.sent(self.connection, str(arguments[0]))
            return super().copy(*arguments, **more)

    return Counting
