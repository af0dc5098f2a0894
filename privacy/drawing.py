"""Draw random bytes from the kernel, many at a time."""

from __future__ import annotations

import os

_AT_ONCE = 256


class RandomBytes:
    """Random bytes of one length, none of them given twice.

    One call of the kernel is for many: each costs as much as what it is drawn for, and lets
    another thread have the interpreter. A process that was forked draws its own.

    Args:
        length: Of what is drawn.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._drawn: list[bytes] = []
        self._process = -1

    def draw(self) -> bytes:
        """Return random bytes."""
        while True:
            if self._process != os.getpid():
                self._refill()
            try:
                return self._drawn.pop()
            except IndexError:
                self._refill()

    def _refill(self) -> None:
        drawn, length = os.urandom(self._length * _AT_ONCE), self._length
        self._drawn = [drawn[start : start + length] for start in range(0, len(drawn), length)]
        self._process = os.getpid()
