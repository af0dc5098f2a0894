"""A thread that empties the spool: in batches, oldest first, until the server has them all."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.errors import NotReady
from tracking import forking, retrying
from tracking.errors import SpoolFull, Unreachable
from tracking.logs import logger_of
from tracking.spool import Refusal
from tracking.transport import EVENTS_PATH
from tracking.verdicts import BatchRefused, Verdict, judge

if TYPE_CHECKING:
    from tracking.counters import Tally
    from tracking.spool import Spool, Waiting
    from tracking.transport import Transport

POLL_SECONDS = 2.0
"""How often an idle sender looks for events that another process left."""
EXPIRE_SECONDS = 600.0
TIDY_SECONDS = 5.0
"""How often a busy sender empties the log of what it deleted."""
QUIET_SECONDS = 1.0
"""When nothing came for so long it does so, too."""
REQUEST_SECONDS = 30.0
LEASE_SECONDS = 180.0
BATCH_BYTES = 1024 * 1024
SMALL_BYTES = 4_096
"""No proxy's limit is so low: who refuses that as too large means something else."""
SHORTEST_PAUSE = 0.5

_logger = logger_of(__name__)


@dataclass(frozen=True)
class Pace:
    """How the sender works: events a batch, seconds to gather one, seconds to keep events."""

    batch_events: int
    linger_seconds: float
    retention_seconds: float


class Sender:
    """Moves events from the spool to the server; its thread starts when there is one to move."""

    def __init__(self, spool: Spool, transport: Transport, tally: Tally, pace: Pace) -> None:
        self._spool = spool
        self._transport = transport
        self._tally = tally
        self._pace = pace
        self._batch_events = pace.batch_events
        self._next_expiry = self._next_tidy = 0.0
        self._start_afresh()
        forking.watch(self)

    @property
    def started(self) -> bool:
        """Whether this process had anything to send."""
        return self._thread.ident is not None

    def wake(self) -> None:
        """Say that there is something to send."""
        if not self._wake.is_set():
            self._wake.set()
        if not self._thread.is_alive():
            self._start_thread()

    def flush(self, timeout_seconds: float, *, once: bool = False) -> bool:
        """Wait until what is in the spool now has left it; False when that took too long.

        Args:
            timeout_seconds: Longest wait.
            once: Give up when the server fails once, or has asked for more patience.

        Raises:
            SpoolUnusable: The spool cannot be read.
        """
        deadline = time.monotonic() + timeout_seconds
        last, failures = self._spool.last(), self._failures
        while self._spool.holds(last):
            patience_ends = time.monotonic() if once else deadline
            if time.monotonic() >= deadline or self._told_until > patience_ends:
                return False
            if once and self._failures > failures:
                return False
            self._progress.clear()
            self._hurry.set()
            self.wake()
            self._progress.wait(min(0.05, timeout_seconds))
        return True

    def finish(self, timeout_seconds: float) -> None:
        """Send what can be sent now, if this process had anything to send."""
        if self.started:
            self.flush(timeout_seconds, once=True)

    def stop(self, timeout_seconds: float) -> None:
        """End the thread after the request that is on its way."""
        self._closing.set()
        self._wake.set()
        self._hurry.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def before_fork(self) -> None:
        """Nothing: the spool is held by itself."""

    def after_fork_in_parent(self) -> None:
        """Nothing: the thread goes on."""

    def after_fork_in_child(self) -> None:
        """Have a thread of one's own, and count from zero."""
        closed = self._closing.is_set()
        self._tally.reset()
        self._start_afresh()
        if closed:
            self._closing.set()

    def _start_afresh(self) -> None:
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._closing = threading.Event()
        self._progress = threading.Event()
        self._starting = threading.Lock()
        self._thread = threading.Thread()
        self._said = False
        self._failures = 0
        self._told_until = 0.0

    def _start_thread(self) -> None:
        with self._starting:
            if self._thread.is_alive() or self._closing.is_set():
                return
            self._thread = threading.Thread(target=self._run, name="smartmatch-sender", daemon=True)
            try:
                self._thread.start()
            except (RuntimeError, MemoryError):  # the interpreter ends, or has no room for a thread
                if not self._said:
                    self._said = True
                    _logger.warning("Events wait in the spool: no thread can be started")

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._send_on()
            except Unreachable:  # closing: what is left is in the spool
                return
            except Exception as error:  # noqa: BLE001 - a thread that ends would send nothing more
                with suppress(Exception):  # even a logger's
                    self._note_failure(error)
                self._closing.wait(POLL_SECONDS)

    def _send_on(self) -> None:
        attempts = retrying.until(self._closing.is_set, self._pause)
        while not self._closing.is_set():
            attempts(self._send_batch)

    def _send_batch(self) -> None:
        """Send the oldest events, or wait for some.

        Raises:
            Unreachable: They are in the spool again, and this is worth repeating.
        """
        if self._closing.is_set():  # it ended a pause that the server may have asked for
            raise Unreachable("closing")
        try:
            self._keep_house()
            taken = self._spool.claim(
                limit=self._batch_events,
                max_bytes=BATCH_BYTES,
                lease_seconds=LEASE_SECONDS,
            )
            if taken:
                self._deliver(taken)
            else:
                self._idle()
        except Exception as error:  # noqa: BLE001 - the events are in the spool: try again
            self._note_failure(error)
            raise Unreachable(_reason(error), getattr(error, "retry_after", None)) from None

    def _deliver(self, taken: list[Waiting]) -> None:
        body = b"[" + b",".join(event.body for event in taken) + b"]"
        try:
            reply = self._transport.request(
                "POST", EVENTS_PATH, content=body, timeout_seconds=REQUEST_SECONDS
            )
            verdict = judge(reply, len(taken))
        except Unreachable:
            self._spool.release()
            raise
        except BatchRefused as refusal:
            if len(taken) > 1:
                self._batch_events = len(taken) // 2
                self._spool.release()
                return
            if not refusal.by_server and len(body) <= SMALL_BYTES:
                self._spool.release()
                raise Unreachable("something refuses a small event as too large") from None
            verdict = Verdict(rejected=((0, refusal.field, refusal.rule),))
        self._settle(taken, verdict)

    def _settle(self, taken: list[Waiting], verdict: Verdict) -> None:
        discarded = self._spool.settle(
            [
                Refusal(taken[position].seq, field, rule)
                for position, field, rule in verdict.rejected
            ]
        )
        self._batch_events = min(self._batch_events * 2, self._pace.batch_events)
        self._tally.add("refused_discarded", discarded)
        self._count(verdict)
        self._progress.set()

    def _count(self, verdict: Verdict) -> None:
        failures, self._failures = self._failures, 0
        self._told_until = 0.0
        self._tally.add("batches")
        self._tally.add("stored", verdict.stored)
        self._tally.add("duplicate", verdict.duplicate)
        self._tally.add("rejected", len(verdict.rejected))
        self._tally.add("dropped_for_consent", verdict.without_consent)
        if failures:
            _logger.info("The server answers again")
        for _, field, rule in verdict.rejected[:1]:
            _logger.warning(
                "The server refused %d events; the first: %s: %s",
                len(verdict.rejected),
                field,
                rule,
            )

    def _note_failure(self, error: Exception) -> None:
        self._tally.add("failures")
        failures, self._failures = self._failures, self._failures + 1
        told = getattr(error, "retry_after", None)
        self._told_until = time.monotonic() + told if told else 0.0
        if failures == 0:
            _logger.warning("Events wait in the spool: %s", _reason(error))

    def _idle(self) -> None:
        """Wait for events, and a moment more, so that several go together, unless it is urgent."""
        if self._wake.wait(QUIET_SECONDS if self._spool.untidy else POLL_SECONDS):
            self._wake.clear()
            # Neither a flush nor the end waits for others to come.
            self._hurry.wait(self._pace.linger_seconds)
            self._hurry.clear()
        else:
            self._spool.tidy()

    def _pause(self, seconds: float) -> None:
        """Wait before the next attempt; a flush shortens it unless the server named the time."""
        deadline = time.monotonic() + seconds
        self._progress.set()
        with suppress(NotReady, SpoolFull):  # then after the pause
            self._spool.tidy()
        self._closing.wait(seconds if self._told_until else min(seconds, SHORTEST_PAUSE))
        self._hurry.clear()
        if not self._closing.is_set():
            self._hurry.wait(max(0.0, deadline - time.monotonic()))

    def _keep_house(self) -> None:
        now = time.monotonic()
        if now >= self._next_expiry:
            self._next_expiry = now + EXPIRE_SECONDS
            dropped = self._spool.expire(self._pace.retention_seconds)
            self._tally.add("dropped_for_age", dropped)
        if now >= self._next_tidy:
            self._next_tidy = now + TIDY_SECONDS
            self._spool.tidy()


def _reason(error: Exception) -> str:
    """Say what happened; a foreign error's own text may hold a value."""
    return str(error) if isinstance(error, NotReady) else type(error).__name__
