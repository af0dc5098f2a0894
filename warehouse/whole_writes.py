"""Write bytes wholly or not at all.

A system call may take a part of what it is given and say so by a count alone: on a disk that is
nearly full it does. So nothing else calls ``os.write`` on a file that anybody relies on.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK_BYTES = 1 << 16


def write_at(handle: int, content: bytes, place: int) -> None:
    """Write all of these bytes at a place of a file.

    Raises:
        OSError: Not all of them were taken; some may have been.
    """
    while content:
        taken = os.pwrite(handle, content, place)
        if taken <= 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        content, place = content[taken:], place + taken


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file that only its owner may read, durably; the file is made if needed.

    What a killed writer left of a line is cut off first. Where this one cannot be written the file
    stays as it was.

    Args:
        path: The file, in a directory that exists.
        line: The line, without its end.

    Raises:
        OSError: The disk did not take it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        end = _end_of_lines(handle)
        os.ftruncate(handle, end)
        try:
            write_at(handle, line + b"\n", end)
            os.fsync(handle)
            if not end:
                sync_directory(path.parent)
        except OSError:
            with suppress(OSError):
                os.ftruncate(handle, end)
            raise
    finally:
        os.close(handle)


def sync_directory(directory: Path) -> None:
    """Make durable which files there are in a directory, and under which names."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _end_of_lines(handle: int) -> int:
    """Return where the last whole line ends."""
    end = os.fstat(handle).st_size
    while end:
        begin = max(0, end - _BLOCK_BYTES)
        found = os.pread(handle, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0
