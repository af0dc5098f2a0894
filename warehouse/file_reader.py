"""Read files byte by byte, in a process of its own that has no database open.

SQLite keeps processes apart by POSIX locks, and a process that closes any descriptor of a file
loses all locks that it has on it. A server that looked into its own database's file would go on
without them: the next process that closes the database takes itself for the last one and deletes
the write-ahead log, into which the server goes on writing what it acknowledges. So whoever may
come upon the file of a database reads by this module, never by ``open``.

References:
    SQLite, How To Corrupt An SQLite Database File, section 2.2: POSIX advisory locks canceled by
    a separate thread doing close().
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import IO

BLOCK_BYTES = 1 << 20
_LENGTH_BYTES = 4


class ReaderEnded(OSError):
    """The process that reads ended before a file did."""


def read_files(paths: Iterable[Path]) -> Iterator[tuple[Path, Iterator[bytes]]]:
    """Read files: each with its bytes in blocks, which are there until the next file's turn.

    A file may go while others are read, as temporary ones do: then there is nothing in it.

    Args:
        paths: The files.

    Raises:
        OSError: No process could be started, it ended before a file did, or a file that is there
            could not be read to its end.
    """
    listed = list(paths)
    if not listed:
        return
    # As a script, isolated and without site-packages: it begins in some hundredths of a second.
    with subprocess.Popen(  # noqa: S603  # our own interpreter, fixed arguments
        [sys.executable, "-I", "-S", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as reader:
        asked, answered = reader.stdin, reader.stdout
        assert asked is not None  # noqa: S101  # both are pipes
        assert answered is not None  # noqa: S101
        for path in listed:
            _put(asked, os.fsencode(path))
            asked.flush()
            blocks = _blocks(answered, path)
            yield path, blocks
            for _ in blocks:
                pass


def _blocks(answered: IO[bytes], path: Path) -> Iterator[bytes]:
    while block := _take(answered):
        yield block
    if error := int(_take(answered) or 0):
        raise OSError(error, os.strerror(error), path.name)


def _put(stream: IO[bytes], block: bytes) -> None:
    stream.write(len(block).to_bytes(_LENGTH_BYTES, "big"))
    stream.write(block)


def _take(stream: IO[bytes]) -> bytes:
    """Read a block; an empty one ends a file."""
    length = stream.read(_LENGTH_BYTES)
    block = stream.read(int.from_bytes(length, "big"))
    if len(length) < _LENGTH_BYTES or len(block) < int.from_bytes(length, "big"):
        raise ReaderEnded("the process that reads files ended")
    return block


def _serve() -> None:
    """Answer each path with the bytes of its file, until nobody asks or listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal it is for whoever asked
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    asked, answer = sys.stdin.buffer, sys.stdout.buffer
    with suppress(ReaderEnded):
        while path := _take(asked):
            error = _answer(answer, path)
            _put(answer, b"")
            _put(answer, str(error).encode() if error else b"")
            answer.flush()


def _answer(answer: IO[bytes], path: bytes) -> int | None:
    """Answer with a file as far as it can be read; return what went wrong."""
    try:
        with open(os.fsdecode(path), "rb", buffering=0) as file:  # noqa: PTH123  # pathlib would double its start
            while block := file.read(BLOCK_BYTES):
                _put(answer, block)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None  # no file, or none any more
    except OSError as error:
        return error.errno or errno.EIO
    return None


if __name__ == "__main__":
    _serve()
