"""Look for an erased person's identifier in every store: only this process knows it, and not long.

The flow that erases searches for pseudonyms; the identifier is never handed to it. So the server
that was asked waits for the flow, searches, and adds what it found to the report. When it is
stopped before, the report says so by holding nothing about the identifier, and an operator can
search again with ``smartmatch search``.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from privacy.traces import looker, of_identifier
from schemas.errors import NotReady, SmartMatchError
from warehouse import erasure_requests, stores

if TYPE_CHECKING:
    from ingest.service import Service

PATIENCE_SECONDS = 900.0
_PAUSE_SECONDS = 0.5

_searching: dict[str, threading.Thread] = {}
"""Who waits for which erasure: asking for it again is no reason to search twice."""

_logger = logging.getLogger(__name__)


def start(service: Service, request: str, identifier: str) -> threading.Thread:
    """Begin to wait for an erasure, in a thread that does not keep the server from stopping.

    Where one waits for it already, that one goes on.
    """
    waiting = _searching.get(request)
    if waiting is not None and waiting.is_alive():
        return waiting
    thread = _searching[request] = threading.Thread(
        target=_prove, args=(service, request, identifier), name="prove", daemon=True
    )
    thread.start()
    return thread


def _prove(service: Service, request: str, identifier: str) -> None:
    try:
        if _waited(service, request):
            swept = stores.sweep(
                service.engine, service.settings, looker(of_identifier(identifier))
            )
            from warehouse import proof  # pandas, which a server does not wait for

            keys, now = service.settings.keys, datetime.now(UTC)
            proof.add_identifier(service.engine, keys, request, swept, now)
    except SmartMatchError as error:
        _logger.warning("An identifier could not be searched for: %s", type(error).__name__)
    finally:
        _searching.pop(request, None)


def _waited(service: Service, request: str) -> bool:
    """Wait until the erasure is done; tell whether it is."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(NotReady):  # it may answer the next time
            found = erasure_requests.read(service.engine, request)
            if found is None or found.state == erasure_requests.DONE:
                return found is not None
        time.sleep(_PAUSE_SECONDS)
    return False
