"""A proxy on loopback before PostgreSQL's socket that can be slow, cut, or silent."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 65_536
_RESET = struct.pack("ii", 1, 0)


class Weather(Enum):
    """What the network between server and database is like."""

    FINE = auto()
    SLOW = auto()
    CUT = auto()
    SILENT = auto()
    LOST = auto()
    """What is open stays silent for ever; who connects anew gets through."""


class Proxy:
    """Passes bytes between clients on a loopback port and a socket file.

    Args:
        target: PostgreSQL's socket.
        delay_seconds: What each piece waits when it is slow.
    """

    def __init__(self, target: Path, delay_seconds: float = 0.1) -> None:
        self._target = target
        self._delay = delay_seconds
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._lost: set[asyncio.StreamWriter] = set()
        self._weather = Weather.FINE
        self._listening: asyncio.Server | None = None
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._listening is not None
        return int(self._listening.sockets[0].getsockname()[1])

    def change(self, weather: Weather) -> None:
        """Let the network be otherwise from now on; cutting resets what is open."""
        self._loop.call_soon_threadsafe(self._change, weather)

    def close(self) -> None:
        """Stop, and reset what is open."""
        self._loop.call_soon_threadsafe(self._change, Weather.CUT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._listening = self._loop.run_until_complete(starting)
        ready.set()
        self._loop.run_forever()

    def _change(self, weather: Weather) -> None:
        self._weather = weather
        if weather is Weather.LOST:
            self._lost |= self._writers
        if weather is Weather.CUT:
            self._lost.clear()
            for writer in self._writers:
                _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._weather is Weather.CUT:
            _reset(writer)
            return
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(self._target))
        self._writers |= {writer, inner_writer}
        with suppress(OSError):
            await asyncio.gather(self._pump(reader, inner_writer), self._pump(inner_reader, writer))
        self._writers -= {writer, inner_writer}

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(_CHUNK):
            if self._weather is Weather.SLOW:
                await asyncio.sleep(self._delay)
            while self._weather is Weather.SILENT or sink in self._lost:
                await asyncio.sleep(0.02)
            sink.write(piece)
            await sink.drain()
        sink.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection in the way that its other end sees as reset."""
    own = writer.get_extra_info("socket")
    if own is not None and own.family == socket.AF_INET:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
