"""A lock between processes that the kernel lets go when its holder dies."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from pathlib import Path

SHORTEST_PAUSE, LONGEST_PAUSE = 0.0002, 0.01


class FileLock:
    """An exclusive lock on a file, for one thread at a time of each process.

    Where the system has no ``flock`` only SQLite's own locks keep processes apart.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._opened: tuple[int, int] | None = None

    @property
    def is_lost(self) -> bool:
        """Whether somebody else closed the file: its number may be that of another one by now."""
        return self._descriptor >= 0 and _identity(self._descriptor) != self._opened

    def forget(self) -> None:
        """Open the file anew the next time, and close nothing: what was open is lost."""
        self._descriptor = -1

    def acquire(self, timeout_seconds: float) -> bool:
        """Wait for the lock; False when it was not to be had in time."""
        if self._descriptor < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
            self._opened = _identity(self._descriptor)
        deadline, pause = time.monotonic() + timeout_seconds, SHORTEST_PAUSE
        while not _locked(self._descriptor):
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        return True

    def release(self) -> None:
        """Let the next one in."""
        if sys.platform != "win32":
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, and so let go of the lock if it was held."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _locked(descriptor: int) -> bool:
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
