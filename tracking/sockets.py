"""Tell a connection's socket from what a host opened in its place.

A host that closes descriptors which it did not open, as some do to become a daemon, gives their
numbers to what it opens next. What is then written to the connection would go there, with a key
and a person's identifier in it, and to close the connection would close that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket


class OwnSocket:
    """A socket that was just connected.

    Args:
        connected: The socket.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._opened = _identity(connected)

    def is_lost(self) -> bool:
        """Tell whether somebody else closed it; its number is let go of then, and not closed."""
        if _identity(self._socket) == self._opened:
            return False
        self._socket.detach()
        return True


def _identity(connected: socket.socket) -> tuple[int, int] | None:
    try:
        found = os.fstat(connected.fileno())
    except OSError:  # it is closed, or no file on this system
        return None
    return found.st_dev, found.st_ino
