"""What runs in a process that is about to be killed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ingest import service
from ingest_api import serve as serve_api
from tests.e2e import early_server

if TYPE_CHECKING:
    from schemas.settings import Settings


def serve(settings: Settings, log: str, mutant: str) -> None:
    """Serve the API; output goes to a file.

    Args:
        settings: Of the installation.
        log: The file.
        mutant: A planted fault: ``early`` acknowledges before the commit, ``patient`` lets a
            client wait for a minute.
    """
    _write_to(log)
    if mutant == "early":
        early_server.plant()
    elif mutant == "patient":
        service.DEADLINE_SECONDS = 60.0
    serve_api(settings)


def _write_to(log: str) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
