"""What runs in a process that is about to be killed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from ingest import service
from ingest_api import serve as serve_api
from tests.faults import early_server
from warehouse import disk, engine

if TYPE_CHECKING:
    from schemas.settings import Settings


def serve(settings: Settings, log: str, mutant: str) -> None:
    """Serve the API; output goes to a file.

    Args:
        settings: Of the installation.
        log: The file.
        mutant: A planted fault: ``early`` acknowledges before the commit, ``patient`` lets a
            client wait for a minute, ``careless`` does not wait for the disk, ``greedy`` fills it
            to the last byte.
    """
    _write_to(log)
    if mutant == "early":
        early_server.plant()
    elif mutant == "patient":
        service.DEADLINE_SECONDS, service.BUSY_TIMEOUT_MS = 60.0, 60_000
    elif mutant == "careless":
        engine.check_durable = lambda _engine: None
        event.listen(Pool, "checkout", _do_not_sync)
    elif mutant == "greedy":
        disk.DiskReserve.has_room = _always  # type: ignore[method-assign]
    serve_api(settings)


def _always(_reserve: disk.DiskReserve, _events: int) -> bool:
    return True


def _do_not_sync(connection: Any, *_: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")


def _write_to(log: str) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
