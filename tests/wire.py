"""The server's protocol on a wire of its own: what comes is said, what is sent is noted."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from ingest.app import make_door
from ingest.protocol import event_protocol
from warehouse import watch
from warehouse.keyfile import make_ring

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from schemas.settings import Settings

_PATIENCE_SECONDS = 15.0


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and may be read from in pieces of any size."""

    def __init__(self, protocol: Any) -> None:
        super().__init__({"peername": ("127.0.0.1", 50_000), "sockname": ("127.0.0.1", 8_001)})
        self.protocol = protocol
        self.sent = b""
        self.is_paused = False
        self.is_aborted = False
        self._closed = False
        protocol.connection_made(self)

    @property
    def answers(self) -> list[bytes]:
        """What was answered, without the status lines' beginnings."""
        return self.sent.split(b"HTTP/1.1 ")[1:]

    @property
    def statuses(self) -> list[int]:
        """The status of each answer."""
        return [int(answer[:3]) for answer in self.answers]

    async def receive(self, *pieces: bytes) -> None:
        """Hand over pieces as the network would: none while reading is paused."""
        for piece in pieces:
            await until(lambda: not self.is_paused or self._closed)
            if self._closed:
                return
            self.protocol.data_received(piece)

    def write(self, data: Any) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().call_soon(self._lose)

    def _lose(self) -> None:
        protocol, self.protocol = self.protocol, None
        protocol.connection_lost(None)

    def abort(self) -> None:
        self.is_aborted = True
        self.close()

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop go on until something holds."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(0)


@asynccontextmanager
async def wires(settings: Settings) -> AsyncIterator[Callable[[], Wire]]:
    """Serve in this loop, and hand out what makes connections."""
    make_ring(settings.keys, 0)
    patient = pytest.MonkeyPatch()
    patient.setattr(watch, "_KEYS_STALE_SECONDS", 60.0)  # however busy the machine is
    door = make_door(settings, log=None)
    door.cold.load()
    config = uvicorn.Config(
        door, ws="none", lifespan="off", log_config=None, access_log=False, proxy_headers=False
    )
    config.load()
    state, protocol = ServerState(), event_protocol(door)
    made: list[Wire] = []

    def connect() -> Wire:
        made.append(Wire(protocol(config=config, server_state=state, app_state={})))
        return made[-1]

    try:
        yield connect
    finally:
        for wire in made:
            wire.close()
        await until(lambda: not state.connections)
        door.service.close()
        patient.undo()
