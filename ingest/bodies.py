"""Read bodies: none larger than it may be, and no more at once than there is memory set aside.

A body takes room from before it is read until its request is over: as much as it was announced to
have. Where the others leave none, the connection is not read from until they do. Callers are let
in by turns, each one's bodies as they came; whoever has waited for a moment in vain is asked to
come back.

A sender who is slow must not take that room from the others: a body that is not whole after a
moment is set aside until it is. What is set aside has room of its own, and where that is not
enough whoever is slowest is closed.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ingest.replies import NOT_READY, TOO_LARGE, TOO_SLOW, Refused
from ingest.turnstile import PATIENCE_SECONDS
from ingest.unfinished import Unfinished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

SHORT_BYTES = 16_384
"""A body up to this length, as events have, does not wait for room that others take."""

SHARE = 16
"""Bodies may take this part of the largest at once, and those that are set aside again as much."""

SLOW_SECONDS = 0.25
"""A body is set aside when it is not whole after so long: less than others wait for its room."""

MOST_WAITING = 64
"""So many may wait for room: of each there is by then what came with its head."""


class ClientGone(Exception):
    """The client closed the connection before its request was read."""


class _Upload:
    """A body on its way.

    ``room`` are the bytes that it takes from the others, none before it goes in and while it is
    set aside.
    """

    def __init__(self, caller: Hashable) -> None:
        self.caller = caller
        self.parts: list[bytes] = []
        self.size = 0
        self.room = 0
        self.is_aside = False
        self.deadline = asyncio.timeout(None)
        self.timer: asyncio.TimerHandle | None = None

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
        self._taken = 0
        self._aside = Unfinished(self._most)
        self._line: list[tuple[_Upload, int, asyncio.Future[None]]] = []
        # Of those who had a turn while others waited, in which one.
        self._turns: dict[Hashable, int] = {}

    @property
    def held(self) -> int:
        """Bytes of all bodies under way."""
        return self._held

    @asynccontextmanager
    async def read(
        self, receive: Any, length: int, caller: Hashable, most: int | None = None
    ) -> AsyncIterator[bytes]:
        """Read a body and hold it until the end.

        Args:
            receive: Of ASGI.
            length: As announced, -1 when unknown.
            caller: Who sends it: those who wait are let in by turns, one caller after the other.
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
        upload = _Upload(caller)
        try:
            try:
                async with upload.deadline:
                    await self._receive(upload, receive, length, most)
            except TimeoutError:
                raise Refused(TOO_SLOW) from None
            self._take(upload, upload.size)
            parts = upload.parts
            yield parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            self._take(upload, 0)
            self._held -= upload.size

    async def _receive(self, upload: _Upload, receive: Any, length: int, most: int) -> None:
        if length > SHORT_BYTES:
            await self._enter(upload, length)
        else:
            self._begin(upload, max(length, 0))
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            more = message.get("more_body", False)
            if upload.size + len(part) > most:
                raise Refused(TOO_LARGE)
            upload.parts.append(part)
            upload.size += len(part)
            self._held += len(part)
            if upload.is_aside:
                self._aside.hold(upload, upload.size)
            elif more and upload.size > upload.room:
                # It was not announced how long it is: it may be of any length.
                self._take(upload, 0)
                await self._enter(upload, most)

    async def _enter(self, upload: _Upload, room: int) -> None:
        """Go in when it is due and the others leave room; the last one in may take more."""
        if self._line or self._taken > self._most:
            if len(self._line) >= MOST_WAITING:
                raise Refused(NOT_READY)
            place = (upload, room, asyncio.get_running_loop().create_future())
            self._line.append(place)
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await place[-1]
            except TimeoutError:
                raise Refused(NOT_READY) from None
            finally:
                if place in self._line:
                    self._line.remove(place)
        else:
            self._begin(upload, room)

    def _begin(self, upload: _Upload, room: int) -> None:
        """Take room for a body, for a moment."""
        self._take(upload, room)
        loop = asyncio.get_running_loop()
        upload.timer = loop.call_later(SLOW_SECONDS, self._set_aside, upload)

    def _take(self, upload: _Upload, room: int) -> None:
        """Take so much room for a body and no more, whether it was set aside or not."""
        if upload.timer is not None:
            upload.timer.cancel()
            upload.timer = None
        if upload.is_aside:
            upload.is_aside = False
            self._aside.let_go(upload)
        more = room - upload.room
        upload.room = room
        self._taken += more
        if more < 0:
            self._call_in()

    def _set_aside(self, upload: _Upload) -> None:
        self._take(upload, 0)
        upload.is_aside = True
        self._aside.hold(upload, upload.size)

    def _call_in(self) -> None:
        """Let those in who are due, as long as there is room."""
        while self._line and self._taken <= self._most:
            place = min(self._line, key=self._turn)
            self._line.remove(place)
            upload, room, due = place
            if not due.done():
                self._begin(upload, room)
                self._turns[upload.caller] = max(self._turns.values(), default=0) + 1
                due.set_result(None)
        if not self._line:
            self._turns.clear()

    def _turn(self, place: tuple[_Upload, int, object]) -> int:
        return self._turns.get(place[0].caller, 0)
