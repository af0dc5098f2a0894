"""Hear of every file that this process opens, and note databases opened otherwise than by SQLite.

Closing any descriptor of a file drops the locks that SQLite has on it in this process, whatever it
was opened for. What the tests themselves open to look into is theirs to answer for.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.settings import CHECKOUT

if TYPE_CHECKING:
    from types import FrameType

ENDINGS = ("", "-wal", "-shm", "-journal")
_OURS, _TESTS = f"{CHECKOUT}{os.sep}", f"{CHECKOUT}{os.sep}tests{os.sep}"
_LIBRARIES = f"{CHECKOUT}{os.sep}.venv{os.sep}"

opened: list[str] = []
"""Who opened a file of a database that this process had opened by SQLite, a line each."""

_files: set[str] = set()


def listen() -> None:
    """Begin to hear; there is no end to it."""
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes):
        path, _, flags = arguments
        # A file that may not exist yet is nobody's database.
        if not flags & os.O_EXCL and _absolute(path) in _files:
            who = _opener(sys._getframe(1))
            if who is not None:
                opened.append(f"{who} opens {Path(_absolute(path)).name}")
    elif event == "sqlite3.connect" and arguments[0] != ":memory:":
        name = _absolute(arguments[0])
        _files.update(one + end for one in (name, str(Path(name).resolve())) for end in ENDINGS)


def _absolute(path: str | bytes | os.PathLike[str]) -> str:
    return os.path.abspath(os.fsdecode(path))  # noqa: PTH100  # every import opens files


def _opener(frame: FrameType | None) -> str | None:
    """Return the innermost line of the project, or None where that is a test's."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_OURS) and not name.startswith(_LIBRARIES):
            if name.startswith(_TESTS):
                return None
            return f"{name.removeprefix(_OURS)}:{frame.f_lineno}"
        frame = frame.f_back
    return None
