"""The HTTP server, as an ASGI application and as a process."""

from __future__ import annotations

from typing import Any

from ingest.app import make_door, open_to_pages
from ingest.server import serve
from schemas.settings import Settings

__all__ = ["create_app", "serve"]


def create_app(settings: Settings | None = None) -> Any:
    """Return the ASGI application, for an ASGI server or to be called within a process.

    Args:
        settings: Of the installation; read from the environment when None.

    Raises:
        SmartMatchError: The installation is not set up, or would lose what it acknowledged.
    """
    settings = settings or Settings()
    return open_to_pages(make_door(settings, log=None), settings.cors_origins)
