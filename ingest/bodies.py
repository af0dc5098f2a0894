"""Read bodies: none larger than it may be, and no more at once than there is memory set aside.

A body counts until its request is over. Where the others leave no room, the connection is not
read from until they do; whoever has waited for a moment in vain is asked to come back.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ingest.replies import NOT_READY, TOO_LARGE, Refused
from ingest.turnstile import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHORT_BYTES = 16_384
"""A body up to this length, as events have, does not wait for room that others take."""

_LOOK_SECONDS = 0.02


class ClientGone(Exception):
    """The client closed the connection before its request was read."""


class Bodies:
    """Memory for the bodies of requests under way.

    Args:
        largest: Largest body, bytes.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._most = largest // 8
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes of all bodies under way."""
        return self._held

    @asynccontextmanager
    async def read(
        self, receive: Any, length: int, most: int | None = None
    ) -> AsyncIterator[bytes]:
        """Read a body and hold it until the end.

        Args:
            receive: Of ASGI.
            length: As announced, -1 when unknown.
            most: Its greatest length, bytes; that of all bodies when None.

        Raises:
            Refused: It is too large, or there was no room for it in time.
            ClientGone: It never came as a whole.
        """
        if length == 0:
            yield b""
            return
        most = self._largest if most is None else min(most, self._largest)
        if length > most:
            raise Refused(TOO_LARGE)
        parts: list[bytes] = []
        size = 0
        try:
            more = True
            while more:
                if parts or length > SHORT_BYTES:
                    await self._wait(size)
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part = message.get("body", b"")
                more = message.get("more_body", False)
                if size + len(part) > most:
                    raise Refused(TOO_LARGE)
                self._held += len(part)
                size += len(part)
                parts.append(part)
            yield parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            self._held -= size

    async def _wait(self, own: int) -> None:
        """Wait until the others leave room; in no order, because it is for a moment only."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self._held - own > self._most:
            if time.monotonic() > until:
                raise Refused(NOT_READY)
            await asyncio.sleep(_LOOK_SECONDS)
