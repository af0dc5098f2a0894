"""Memory for what has come of requests that are not whole yet; who is slowest makes room.

Whoever sends a part and then takes their time costs as much as what they sent. All of them
together may take so much; where that is not enough, whoever needed longest for their newest
bytes is turned out. The largest does not count, so that one of any size has room whatever the
others do.
"""

from __future__ import annotations

from typing import Protocol

PROGRESS_BYTES = 16_384
"""Who has sent so much more, or has just begun, is the last to be turned out."""


class Sender(Protocol):
    """Whose request has not come as a whole."""

    def turn_out(self) -> None:
        """Say that it took too long, and close the connection."""


class Unfinished:
    """What is held of requests that are not whole yet.

    Args:
        most: Bytes of all of them together, without the largest.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        # In the order of their progress: bytes held, and how many there were at the last progress.
        self._sizes: dict[Sender, tuple[int, int]] = {}
        self._largest: Sender | None = None

    @property
    def held(self) -> int:
        """Bytes of all requests that are not whole."""
        return self._held

    def hold(self, sender: Sender, size: int) -> None:
        """Note what has come of a request; others, or itself, may be turned out for it.

        Args:
            sender: Whose request.
            size: Bytes that are held of it by now.
        """
        before, marked = self._sizes.get(sender, (0, -PROGRESS_BYTES))
        if size - marked >= PROGRESS_BYTES:
            self._sizes.pop(sender, None)
            marked = size
        self._sizes[sender] = size, marked
        self._held += size - before
        if self._largest is not None and size >= self._sizes[self._largest][0]:
            self._largest = sender
        while self._held > self._most and self._held - self._largest_size() > self._most:
            slowest = next(iter(self._sizes))
            self.let_go(slowest)
            slowest.turn_out()

    def let_go(self, sender: Sender) -> int:
        """Forget a request, whole or gone, and return how much was held of it."""
        size, _ = self._sizes.pop(sender, (0, 0))
        self._held -= size
        if sender is self._largest:
            self._largest = None
        return size

    def _largest_size(self) -> int:
        if self._largest is None:
            # Of several the newest: it is turned out last.
            self._largest = max(reversed(self._sizes), key=self._size)
        return self._size(self._largest)

    def _size(self, sender: Sender) -> int:
        return self._sizes[sender][0]
