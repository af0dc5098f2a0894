"""One JSON line a request, without anything that the sender chose, and errors likewise."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from schemas.errors import place_of

if TYPE_CHECKING:
    from typing import TextIO

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_FLUSH_SECONDS = 0.25
_MOST_LINES = 100_000
"""Where nobody reads the log, lines are lost, not memory."""
_PATIENCE_SECONDS = 2.0
"""Nor does the process stay for them for longer when it ends."""


class AccessLog:
    """Collects lines and writes them a few times a second: a write a request costs too much.

    Args:
        stream: Where lines go; nowhere when None.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lines: list[tuple[float, str, str, int, float]] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note an answer: its method, route as documented, status and time."""
        if self._stream is None:
            return
        if self._thread is None:
            self._begin()
        if len(self._lines) < _MOST_LINES:
            self._lines.append((time.time(), method, route, status, seconds))

    def close(self) -> None:
        """Write what is left."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS)
        if self._thread is None or not self._thread.is_alive():
            self._flush()

    def _begin(self) -> None:
        thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        with suppress(RuntimeError):  # there may be no more threads: then with a later line
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        while not self._stop.wait(_FLUSH_SECONDS):
            self._flush()

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        if not lines or self._stream is None:
            return
        with suppress(OSError):  # a full disk costs lines, and never the thread that writes them
            self._stream.write("".join(map(_line, lines)))
            self._stream.flush()


def _line(entry: tuple[float, str, str, int, float]) -> str:
    at, method, route, status, seconds = entry
    second = int(at)
    moment = f"{_start_of(second)}.{int((at - second) * 1_000):03}+00:00"
    name = method if method in _METHODS else "-"
    return (
        f'{{"time":"{moment}","log":"access","method":"{name}","route":"{route}",'
        f'"status":{status},"ms":{seconds * 1_000:.1f}}}\n'
    )


@lru_cache(1)
def _start_of(second: int) -> str:
    """Return a second since 1970 as a time: thousands of lines are of the same one."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


class JsonLines(logging.Formatter):
    """A log record as one JSON line; of an error its type and place, never its message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "log": record.name,
            "level": record.levelname.lower(),
            "message": _first_line(record) if record.exc_info else record.getMessage(),
        }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line |= {"error": type(error).__name__, "at": place_of(error)}
        return json.dumps(line)


def _first_line(record: logging.LogRecord) -> str:
    """Return what is said of an error; asyncio writes below it what failed, with its values."""
    return str(record.msg).strip().partition("\n")[0]


def configure_logging() -> None:
    """Send every log record of this process to standard error, as JSON lines; errors of threads."""
    threading.excepthook = _note_failed
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


def _note_failed(failed: threading.ExceptHookArgs) -> None:
    """Log a thread's error like every other: Python would print what it says."""
    logging.getLogger("smartmatch").error("A thread failed", exc_info=failed.exc_value)
