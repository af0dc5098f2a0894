"""Read bodies: none larger than it may be, and no more at once than there is memory set aside.

A body counts until its request is over. Where the others leave no room, the connection is not
read from until they do; whoever has waited for a moment in vain is asked to come back.

A sender who is slow must not take that room from the others: a body whose next bytes are awaited
for a moment is set aside until it is whole. What is set aside has room of its own, and where that
is not enough whoever is slowest is closed.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ingest.replies import NOT_READY, TOO_LARGE, TOO_SLOW, Refused
from ingest.turnstile import PATIENCE_SECONDS
from ingest.unfinished import Unfinished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHORT_BYTES = 16_384
"""A body up to this length, as events have, does not wait for room that others take."""

SHARE = 8
"""Bodies may take this part of the largest at once, and those that are set aside again as much."""

SLOW_SECONDS = 0.25
"""A body is set aside when its next bytes take so long: less than others wait for its room."""

MOST_WAITING = 64
"""So many may wait for room: of each there is by then what came with its head."""

_LOOK_SECONDS = 0.02


class ClientGone(Exception):
    """The client closed the connection before its request was read."""


class _Upload:
    """A body on its way."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.is_aside = False
        self.deadline = asyncio.timeout(None)

    def turn_out(self) -> None:
        """Stop waiting for the rest."""
        self.deadline.reschedule(asyncio.get_running_loop().time())


class Bodies:
    """Memory for the bodies of requests under way.

    Args:
        largest: Largest body, bytes.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._most = largest // SHARE
        self._held = 0
        self._aside = Unfinished(self._most)
        self._waiting = 0

    @property
    def held(self) -> int:
        """Bytes of all bodies under way."""
        return self._held + self._aside.held

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
            Refused: It is too large, there was no room for it in time, or its sender was the
                slowest when others needed room.
            ClientGone: It never came as a whole.
        """
        if length == 0:
            yield b""
            return
        most = self._largest if most is None else min(most, self._largest)
        if length > most:
            raise Refused(TOO_LARGE)
        upload = _Upload()
        try:
            try:
                async with upload.deadline:
                    await self._receive(upload, receive, length, most)
            except TimeoutError:
                raise Refused(TOO_SLOW) from None
            self._take_back(upload)
            parts = upload.parts
            yield parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            self._take_back(upload)
            self._held -= upload.size

    async def _receive(self, upload: _Upload, receive: Any, length: int, most: int) -> None:
        more = True
        while more:
            if not upload.is_aside and (upload.parts or length > SHORT_BYTES):
                await self._wait(upload.size)
            message = await self._next(upload, receive)
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            more = message.get("more_body", False)
            if upload.size + len(part) > most:
                raise Refused(TOO_LARGE)
            upload.parts.append(part)
            upload.size += len(part)
            if upload.is_aside:
                self._aside.hold(upload, upload.size)
            else:
                self._held += len(part)

    async def _next(self, upload: _Upload, receive: Any) -> Any:
        """Receive a part, and set the body aside when it does not come soon."""
        if upload.is_aside:
            return await receive()
        loop = asyncio.get_running_loop()
        timer = loop.call_later(SLOW_SECONDS, self._set_aside, upload)
        try:
            return await receive()
        finally:
            timer.cancel()

    def _set_aside(self, upload: _Upload) -> None:
        upload.is_aside = True
        self._held -= upload.size
        self._aside.hold(upload, upload.size)

    def _take_back(self, upload: _Upload) -> None:
        """Count a body among the others again: it is whole, or it is over."""
        if upload.is_aside:
            upload.is_aside = False
            self._aside.let_go(upload)
            self._held += upload.size

    async def _wait(self, own: int) -> None:
        """Wait until the others leave room; in no order, because it is for a moment only."""
        if self._held - own <= self._most:
            return
        if self._waiting >= MOST_WAITING:
            raise Refused(NOT_READY)
        self._waiting += 1
        try:
            until = time.monotonic() + PATIENCE_SECONDS
            while self._held - own > self._most:
                if time.monotonic() > until:
                    raise Refused(NOT_READY)
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._waiting -= 1
