"""Put the application together: the door, and behind it the routes that are not hot.

Those are loaded when the first of them is asked for, or before that when the server has time:
events are taken meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from ingest.access_log import AccessLog
from ingest.door import Door
from ingest.service import Service

if TYPE_CHECKING:
    from typing import TextIO

    from schemas.settings import Settings


class ColdRoutes:
    """The routes that are not hot, made once.

    Args:
        service: What is behind them.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._app: Any = None

    def load(self) -> Any:
        """Return the application, made in this thread when nobody has made it yet."""
        with self._lock:
            if self._app is None:
                # FastAPI costs half of what a server loads; events do not wait for it.
                from ingest.cold import cold_routes

                self._app = cold_routes(self._service)
        return self._app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        app = self._app or await asyncio.to_thread(self.load)
        await app(scope, receive, send)


def make_door(settings: Settings, log: TextIO | None) -> Door:
    """Return the ASGI application.

    Args:
        settings: Of the installation.
        log: Where a line a request is written; nowhere when None.

    Raises:
        SmartMatchError: Something that it needs is absent or unsafe.
    """
    service = Service(settings)
    return Door(service, ColdRoutes(service), AccessLog(log))


def open_to_pages(door: Door, origins: tuple[str, ...]) -> Any:
    """Let pages of some origins call; of none when there are none."""
    if not origins:
        return door
    # Few installations need it, and it takes a while to load.
    from ingest.preflight import Preflight

    return Preflight(
        door,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type", "x-api-key"],
        max_age=600,
    )
