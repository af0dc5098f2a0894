"""Keep callers from waiting, all of them, for a server that keeps still.

A circuit breaker. While it is closed everybody may ask, with a part of the patience. Who gets
no answer in that time opens it, unless others were answered meanwhile; then one caller at a
time goes on asking with all the patience, and with a pause after each failure, and everybody
else is refused at once. An answer closes it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tracking.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracking.transport import Reply

PAUSE_SECONDS = 1.0
"""From a failure on, nobody waits for the server for so long."""
SHARE = 0.25
"""Part of the longest wait that everybody may wait."""


class CircuitBreaker:
    """Decides who may wait for a server, and how long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = False
        self._probing = False
        self._next_probe = 0.0
        self._answered_at = 0.0
        self._usual_seconds = 0.0

    def ask(self, request: Callable[[float], Reply], timeout_seconds: float) -> Reply:
        """Send a request, unless the server is known to keep still.

        Args:
            request: Sends it, and waits for each step of it as many seconds as it is told.
            timeout_seconds: The longest wait for each step.

        Raises:
            Unreachable: There was no answer, or it was not waited for.
        """
        if self._open:
            return self._probe(request, timeout_seconds)
        begun = time.monotonic()
        patience = min(max(SHARE * timeout_seconds, 2 * self._usual_seconds), timeout_seconds)
        try:
            return self._answer(request, patience)
        except Unreachable:
            kept_still = time.monotonic() - begun >= patience
            if not kept_still or patience == timeout_seconds:
                self._fail()
                raise
        if self._answered_at < begun:
            self._suspect()
            return self._probe(request, timeout_seconds - patience)
        return self.insist(request, timeout_seconds - patience)  # it is slow, but there

    def insist(self, request: Callable[[float], Reply], timeout_seconds: float) -> Reply:
        """Send a request whatever is known; raises as ``ask``."""
        try:
            return self._answer(request, timeout_seconds)
        except Unreachable:
            self._fail()
            raise

    def _probe(self, request: Callable[[float], Reply], timeout_seconds: float) -> Reply:
        with self._lock:
            if self._probing or time.monotonic() < self._next_probe:
                raise Unreachable("there was no answer a moment ago")
            self._probing = True
        try:
            return self.insist(request, timeout_seconds)
        finally:
            self._probing = False

    def _answer(self, request: Callable[[float], Reply], seconds: float) -> Reply:
        begun = time.monotonic()
        reply = request(seconds)
        now = time.monotonic()
        with self._lock:
            self._open = False
            self._answered_at = now
            self._usual_seconds = max(now - begun, 0.9 * self._usual_seconds)
        return reply

    def _suspect(self) -> None:
        """Open it, and let the next one probe at once; leave it when another did so."""
        with self._lock:
            if not self._open:
                self._open = True
                self._next_probe = 0.0

    def _fail(self) -> None:
        with self._lock:
            self._open = True
            self._next_probe = time.monotonic() + PAUSE_SECONDS
