"""Look for an erased person's identifier in every store: only this process knows it, and not long.

The flow that erases searches for pseudonyms; the identifier is never handed to it. So the server
that was asked waits for the flow, searches, and adds what it found to the report. When it is
stopped before, or has no thread to wait in, the report says so by holding nothing about the
identifier, and an operator can search again with ``smartmatch search``.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from privacy.traces import looker, of_identifier
from schemas.errors import NotReady, told_in_log
from warehouse import erasure_requests, stores

if TYPE_CHECKING:
    from ingest.service import Service

PATIENCE_SECONDS = 900.0
"""Where nobody was erased for so long, nor asked to be, nobody is waited for any more."""
_PAUSE_SECONDS = 0.5

_logger = logging.getLogger(__name__)


class Prover:
    """Waits for erasures and searches for who was erased, one after the other.

    One thread waits for all of them, while there are any: erasures come one after the other, and
    many that are asked for at once must not become as many threads that ask the database.

    Args:
        service: Knows the database and the stores.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._awaited: dict[str, str] = {}
        self._until = 0.0
        self._thread: threading.Thread | None = None

    def start(self, request: str, identifier: str) -> threading.Thread | None:
        """Wait for an erasure as well; nobody who stops the server waits for that.

        Args:
            request: Its number.
            identifier: Who is erased.

        Returns:
            The thread that waits; None where there may be no more threads.
        """
        with self._lock:
            self._awaited[request] = identifier
            self._until = time.monotonic() + PATIENCE_SECONDS
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="prove", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    self._awaited.clear()
                    _logger.warning("An identifier is not searched for: no thread can be started")
                    return None
                self._thread = thread
            return self._thread

    def _run(self) -> None:
        while awaited := self._still_awaited():
            try:
                for request in self._ended(awaited):
                    self._prove(request, awaited[request])
                    self._forget(request)
            except NotReady:
                pass  # it may answer the next time
            except Exception as error:  # noqa: BLE001  # nobody would be searched for any more
                _logger.warning("Erasures could not be awaited: %s", told_in_log(error))
            time.sleep(_PAUSE_SECONDS)

    def _still_awaited(self) -> dict[str, str]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._awaited.clear()
            if not self._awaited:
                self._thread = None
            return dict(self._awaited)

    def _ended(self, awaited: dict[str, str]) -> list[str]:
        """Return which of the erasures that are waited for are not under way any more."""
        pending = set(erasure_requests.pending_erasures(self._service.engine))
        return [request for request in awaited if request not in pending]

    def _forget(self, request: str) -> None:
        with self._lock:
            del self._awaited[request]
            self._until = time.monotonic() + PATIENCE_SECONDS

    def _prove(self, request: str, identifier: str) -> None:
        service = self._service
        if erasure_requests.read(service.engine, request) is None:
            return
        try:
            swept = stores.sweep(
                service.engine, service.settings, looker(of_identifier(identifier))
            )
            from warehouse import proof  # pandas, which a server does not wait for

            keys, now = service.settings.keys, datetime.now(UTC)
            proof.add_identifier(service.engine, keys, request, swept, now)
        except Exception as error:  # noqa: BLE001  # of this one; the others are searched for
            _logger.warning("An identifier could not be searched for: %s", type(error).__name__)
