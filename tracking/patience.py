"""Bound how long a reply may take to come: httpx bounds each read of the socket.

What answers a byte at a time, or with interim replies, would hold its caller for ever. Nor is
anything read from, or written to, what took the place of a socket that the host closed.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tracking.errors import Unreachable
from tracking.sockets import OwnSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx


class Patience:
    """How long this thread still waits for what it reads, from its first read on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    def renew(self) -> None:
        """Wait for the next part as long as for the one before."""
        self._until = None

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            Unreachable: None.
        """
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._seconds
        if now >= self._until:
            raise Unreachable("the reply does not end")
        return self._until - now


class _OfThread(threading.local):
    patience: Patience | None = None


_of_thread = _OfThread()


@contextmanager
def patience(seconds: float) -> Iterator[Patience]:
    """Bound what this thread reads meanwhile, from connections of a bounded client."""
    before, _of_thread.patience = _of_thread.patience, Patience(seconds)
    try:
        yield _of_thread.patience
    finally:
        _of_thread.patience = before


def bound(client: httpx.Client) -> httpx.Client:
    """Have a client's connections ask for the patience of the thread that reads."""
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        pool: Any = getattr(transport, "_pool", None)
        if pool is not None:  # its own argument for this is not to be reached through httpx
            pool._network_backend = _Network(pool._network_backend)  # noqa: SLF001
    return client


class _Around:
    """Passes on whatever it does not do itself."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Network(_Around):
    def connect_tcp(self, *where: Any, **how: Any) -> _Stream:
        return _Stream(self._inner.connect_tcp(*where, **how))


class _Stream(_Around):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self._socket = OwnSocket(inner.get_extra_info("socket"))

    def read(self, most_bytes: int, timeout: float | None = None) -> bytes:
        self._demand_socket()
        bounded = _of_thread.patience
        if bounded is not None:
            left = bounded.left()
            timeout = left if timeout is None else min(timeout, left)
        read: bytes = self._inner.read(most_bytes, timeout=timeout)
        return read

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._demand_socket()
        self._inner.write(buffer, timeout=timeout)

    def close(self) -> None:
        self._socket.is_lost()  # else another file would be closed
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and self._socket.is_lost():
            return True  # as of one that the server has closed: it is not used again
        return self._inner.get_extra_info(info)

    def start_tls(self, *what: Any, **how: Any) -> _Stream:
        return _Stream(self._inner.start_tls(*what, **how))

    def _demand_socket(self) -> None:
        if self._socket.is_lost():
            raise Unreachable("the host closed the connection")
