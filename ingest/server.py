"""Serve the application over HTTP until the process is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import uvicorn

from ingest.access_log import configure_logging
from ingest.app import make_door, open_to_pages
from ingest.protocol import event_protocol
from schemas.errors import NotReady

if TYPE_CHECKING:
    from ingest.door import Door
    from ingest.launcher import Launcher
    from schemas.settings import Settings

SWEEP_SECONDS = 0.5
IDLE_SECONDS = 5.0
"""So long may a connection rest between two requests."""
RESUME_SECONDS = 300.0
"""So often erasures that are not done are taken up again."""
_BACKLOG = 2_048
_RECEIVE_BYTES = 1 << 15
"""The kernel keeps about twice as much of what a client sends before it is read."""
_OWN_FILES = 128
_ACCEPTED_TOGETHER = 16
"""Connections that are accepted between two looks of the loop."""
_SETTLED_SECONDS = 0.5
_logger = logging.getLogger("smartmatch")


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; open requests are finished, then what waits is written.

    Raises:
        SmartMatchError: The installation is not set up, or would lose what it acknowledged.
    """
    configure_logging()
    door = make_door(settings, log=sys.stdout)
    listener = _listen(settings)
    config = uvicorn.Config(
        open_to_pages(door, settings.cors_origins),
        http=event_protocol(door),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_most_connections(),
        timeout_graceful_shutdown=max(1, int(settings.drain_seconds)),
    )
    # What is loaded by now stays: the collector need not look at it again, and requests leave
    # no cycles behind that would make it worth looking often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    # The writer's thread waits for the interpreter after each statement; five milliseconds, the
    # default, would be most of a commit.
    sys.setswitchinterval(0.0005)
    _Server(config, settings, door).run(sockets=_together(listener))


async def load(door: Door, seconds: float = RESUME_SECONDS) -> None:
    """Load the routes that are not hot, when whoever waited for the start has been answered.

    Then take up erasures until cancelled, see ``keep_erasing``.
    """
    await asyncio.sleep(_SETTLED_SECONDS)
    while True:
        try:
            routes = await asyncio.to_thread(door.cold.load)
            break
        except Exception as error:  # noqa: BLE001  # there may be no more threads at the moment
            _logger.warning("Routes could not be loaded: %s", type(error).__name__)
            await asyncio.sleep(seconds)
    gc.freeze()
    await keep_erasing(routes.state.launcher, seconds)


async def keep_erasing(launcher: Launcher, seconds: float = RESUME_SECONDS) -> None:
    """Take up the erasures that are not done, now and again and again, until cancelled.

    One may have been cut off by a restart, or have found SQLite's log kept open.
    """
    while True:
        try:
            await launcher.resume_erasures()
        except Exception as error:  # noqa: BLE001  # a loop that ends would end no erasure any more
            _logger.warning("Erasures could not be resumed: %s", type(error).__name__)
        await asyncio.sleep(seconds)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it: what waits in many of them must not become much in memory.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise NotReady(f"the address cannot be listened on ({error.strerror})") from None
    listener.listen(_BACKLOG)
    return listener


def _together(listener: socket.socket) -> list[socket.socket]:
    """Return a socket several times over, because libuv accepts one connection of each at a time.

    Who connects after many would otherwise wait for as many turns of theirs.
    """
    return [listener, *(listener.dup() for _ in range(_ACCEPTED_TOGETHER - 1))]


def _most_connections() -> int:
    """Raise the limit of open files as far as may be, and return how many are for clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(_OWN_FILES, min(hard, 65_536) - _OWN_FILES)


class _Server(uvicorn.Server):
    """uvicorn, with a start-up line that says who is served, and an eye on slow clients."""

    def __init__(self, config: uvicorn.Config, settings: Settings, door: Door) -> None:
        super().__init__(config)
        self._settings = settings
        self._door = door
        self._sweep = Sweep(settings.header_timeout_seconds, settings.body_timeout_seconds)
        self._sweeper: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.should_exit or not sockets:
            return
        host, port = sockets[0].getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        guarded = "requests need an API key"
        if not self._door.has_keys:
            guarded = "no API key was ever made: only direct clients on this machine are served"
        _logger.info("Listening on http://%s:%s; %s", shown, port, guarded)
        self._sweeper = asyncio.create_task(self._sweep.run(self.server_state.connections))
        self._loading = asyncio.create_task(load(self._door))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        _logger.info("Stopping: open requests are finished, then what waits is written")
        # Whoever is slow is closed in time: what is under way at the end would be cancelled.
        self._sweep.hurry(self._settings.drain_seconds / 2)
        await super().shutdown(sockets)
        for task in (self._sweeper, self._loading):
            if task is not None:
                task.cancel()
        _logger.info("Stopped")


class Sweep:
    """Closes connections whose client takes too long to say what it wants, or to listen, or idles.

    A look at all connections twice a second costs nothing beside a timer a request.

    Args:
        header_seconds: For the headers, and for what is left of a body after its refusal.
        body_seconds: For the body, and for taking the reply.
    """

    def __init__(self, header_seconds: float, body_seconds: float) -> None:
        self._limits = {
            "headers": header_seconds,
            "body": body_seconds,
            "reply": body_seconds,
            "idle": IDLE_SECONDS,
        }
        self._since: dict[Any, tuple[str, Any, float]] = {}

    async def run(self, connections: set[Any]) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.look(list(connections), time.monotonic())

    def hurry(self, seconds: float) -> None:
        """Allow no stage more than so many seconds from now on."""
        self._limits = {stage: min(limit, seconds) for stage, limit in self._limits.items()}

    def look(self, connections: list[Any], now: float) -> None:
        """Close what has been at one stage of one request for too long."""
        before, self._since = self._since, {}
        for connection in connections:
            stage = stage_of(connection)
            if stage is None:
                continue
            held = before.get(connection)
            request = connection.cycle
            since = held[2] if held and held[:2] == (stage, request) else now
            if now - since > self._limits[stage] and stage == "idle":
                connection.transport.close()
            elif now - since > self._limits[stage]:
                connection.transport.abort()
            else:
                self._since[connection] = (stage, request, since)


def stage_of(connection: Any) -> str | None:
    """Return what a connection of uvicorn waits for from its client; None when for nothing."""
    if connection.flow.write_paused or connection.transport.is_closing():
        return "reply"
    cycle = connection.cycle
    if cycle is None or cycle.response_complete:
        return "idle" if connection.is_idle else "headers"
    return "body" if cycle.more_body else None
