"""Space on the spool's disk that accepting leaves alone, so that sending always has some.

To claim an event and to delete it SQLite must write its log first, and to empty the log it may
have to extend the file. A file of its own holds the room for that: nothing is accepted while
it is not there in full, and it is given up when a step of the sending finds the disk full. What
is free elsewhere on the disk others may take; this nobody does.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from tracking.errors import SpoolFull

if TYPE_CHECKING:
    from pathlib import Path

SLACK_BYTES = 256 * 1024
"""For the index of the log, and for the largest event a few times."""
LARGEST_SHARE = 4
"""What one claim takes from the reserve may be written up to so many times."""


class Reserve:
    """A file beside the spool; whoever uses it holds the spool.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = SLACK_BYTES

    @property
    def most_claimed_bytes(self) -> int:
        """Size of a claim that can be made and settled by what was given up."""
        return self._size // LARGEST_SHARE

    def cover(self, log_bytes: int) -> None:
        """Be large enough for a log of this size to be written back."""
        self._size = log_bytes + SLACK_BYTES

    def keep(self) -> None:
        """Have all of the reserve.

        Raises:
            SpoolFull: The disk has no room for it.
        """
        size = self._held_bytes()
        if size >= self._size:
            return
        if free_bytes(self._path) < self._size - size or not self._fill(self._size):
            raise SpoolFull("the disk is full")

    def give_up(self) -> None:
        """Let a step of the sending have the room."""
        with suppress(FileNotFoundError):
            os.truncate(self._path, 0)

    def keep_what_is_left(self) -> None:
        """Take back what the step did not need."""
        room = self._held_bytes() + free_bytes(self._path)
        self._fill(int(min(room, self._size)))

    def _held_bytes(self) -> int:
        try:
            return os.stat(self._path).st_size  # noqa: PTH116 - at each event; a Path's is slower
        except FileNotFoundError:
            return 0

    def _fill(self, size: int) -> bool:
        """Write so many bytes; False, and nothing is kept, when others were faster."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            left = memoryview(bytes(size))
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            os.ftruncate(descriptor, 0)
            return False
        finally:
            os.close(descriptor)
        return True


def free_bytes(path: Path) -> float:
    """Space on a file's disk that is left; no bound where the system does not tell."""
    if sys.platform == "win32":
        return float("inf")
    disk = os.statvfs(path.parent)
    return disk.f_bavail * disk.f_frsize


def disk_bytes(path: Path) -> float:
    """Size of a file's disk; no bound where the system does not tell."""
    if sys.platform == "win32":
        return float("inf")
    disk = os.statvfs(path.parent)
    return disk.f_blocks * disk.f_frsize
