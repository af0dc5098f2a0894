"""Serve the application over HTTP until the process is told to stop."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import uvicorn

from ingest.access_log import configure_logging
from ingest.app import make_app

if TYPE_CHECKING:
    from schemas.settings import Settings

_logger = logging.getLogger("smartmatch")


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; open requests are finished, then what waits is written.

    Raises:
        SmartMatchError: The installation is not set up, or would lose what it acknowledged.
    """
    configure_logging()
    app = make_app(settings, log=sys.stdout)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.drain_seconds),
    )
    uvicorn.Server(config).run()
