"""Collect events: under consent, durably, and without keeping the caller waiting."""

from __future__ import annotations

import atexit
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import msgspec

from schemas.errors import InvalidInput
from tracking.counters import Counters, Tally
from tracking.errors import CollectorClosed, ConsentUnreadable, SpoolFull, SpoolUnusable
from tracking.guard import Guard
from tracking.logs import logger_of
from tracking.sender import Pace, Sender
from tracking.spool import Spool
from tracking.validation import prepare
from tracking.workers import WorkerEnd

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tracking.privacy import PrivacyManager
    from tracking.schema import Event

DAY_SECONDS = 86_400.0
_NOT_CLOSED = "The spool was not closed"
_UNREADABLE = "The spool cannot be read"
_OUTCOMES: dict[type[Exception], str] = {
    InvalidInput: "invalid",
    ConsentUnreadable: "consent_unreadable",
    SpoolFull: "spool_full",
    SpoolUnusable: "spool_unusable",
    CollectorClosed: "after_close",
}

_logger = logger_of(__name__)


class EventCollector:
    """Takes events of consenting people into a spool on disk, and sends them from there.

    An accepted event is in the spool, so that it survives the death of this process and any
    outage of the server, and reaches the server once. A thread sends batches and tries again
    for as long as it takes; other processes may share the spool and send for one another.

    Without ``strict`` no call raises an ``Exception``, the constructor included: what kept an
    event from being collected is counted, and logged once a minute. A spool that cannot be
    used is tried again with each event.

    Args:
        privacy_manager: Who consented to what; also knows the server.
        spool: SQLite file, or a directory for it; ``SMARTMATCH_SPOOL``, or
            ``data/spool/events.db`` in ``SMARTMATCH_HOME``, or the user's state directory.
        strict: Raise what would otherwise only be counted and logged; ``close`` and
            ``counters`` raise nothing even so.
        fsync: Let accepted events survive a power cut too, at some ten times the cost.
        max_spool_bytes: Size of the spool beyond which nothing is accepted.
        retention_days: Events that nobody could deliver for so long are deleted; time counts
            as ``tracking.clock`` says.
        batch_events: Most events in one request, at least one; at most what the server allows.
        linger_seconds: How long the first event of a batch waits for others.
        close_seconds: Longest wait, at the end of the process, for the last events to leave.

    Raises:
        SpoolUnusable: The spool cannot be opened, and ``strict`` is set.
    """

    def __init__(
        self,
        privacy_manager: PrivacyManager,
        *,
        spool: str | Path | None = None,
        strict: bool = False,
        fsync: bool = False,
        max_spool_bytes: int = 256 * 1024 * 1024,
        retention_days: float = 7.0,
        batch_events: int = 500,
        linger_seconds: float = 0.05,
        close_seconds: float = 5.0,
    ) -> None:
        self._privacy = privacy_manager
        self._guard = Guard(strict=strict)
        self._close_seconds = close_seconds
        self._closed = False
        self._tally = Tally()
        self._spool = Spool(
            spool, privacy_manager.transport.target, max_bytes=max_spool_bytes, fsync=fsync
        )
        pace = Pace(max(1, batch_events), linger_seconds, retention_days * DAY_SECONDS)
        self._sender = Sender(self._spool, privacy_manager.transport, self._tally, pace)
        privacy_manager.on_withdrawal(self._drop)
        atexit.register(self.close)
        self._worker_end = WorkerEnd(self._stop_sending)
        self._guard.run(self._resume, pace, failed="No event can be collected", otherwise=None)

    def collect_event(self, event: Event) -> bool:
        """Accept an event if its person allows it.

        The answer takes a write to the spool, some tens of microseconds, and for a person
        whose consent was not read lately a request to the server.

        Returns:
            True when the event is in the spool; False when its person did not consent, or for
            a reason that ``counters`` counts and the log names.

        Raises:
            InvalidInput: A field breaks its rule; with ``strict`` only, as all others.
            ConsentUnreadable: Nobody can say now whether the person consented.
            SpoolFull: There is no room for it.
            SpoolUnusable: It cannot be written.
            CollectorClosed: ``close`` was called.
        """
        return self._guard.run(
            self._accept, event, failed="An event was not collected", otherwise=False
        )

    def flush(self, timeout_seconds: float = 10.0) -> bool:
        """Wait until nothing accepted so far waits any more; False when that took too long.

        True says that the server has stored or refused each event, or that it was withdrawn or
        too old; ``counters`` and ``refused_events`` tell which.

        Events that other processes accepted into the same spool are waited for as well.

        Raises:
            SpoolUnusable: The spool cannot be read; with ``strict`` only.
        """
        return self._guard.run(
            self._sender.flush, timeout_seconds, failed=_UNREADABLE, otherwise=False
        )

    def close(self) -> None:
        """Send what can be sent now, leave the rest to the next process, and stop.

        Called at the end of the process by itself. Waits at most ``close_seconds``, and not
        at all for a server that does not answer.
        """
        if self._closed:
            return
        self._stop_sending()
        self._closed = True
        atexit.unregister(self.close)
        closed = partial(self._guard.quiet, failed=_NOT_CLOSED, otherwise=None)
        closed(self._spool.close)

    @property
    def counters(self) -> Counters:
        """What became of the events of this process; ``waiting`` is -1 when it is unknown."""
        waiting = self._guard.quiet(self._spool.count, failed=_UNREADABLE, otherwise=-1)
        return self._tally.read(waiting)

    def refused_events(self) -> list[dict[str, Any]]:
        """Read the events that the server refused for good.

        Returns:
            Of each, oldest first: ``refused_at`` (aware), ``event`` as it was sent, ``field``
            and ``rule``. The newest thousand are kept, for ``retention_days``; how many had
            to make room for them is counted as ``refused_discarded``.

        Raises:
            SpoolUnusable: The spool cannot be read; with ``strict`` only.
        """
        return self._guard.run(self._refused, failed=_UNREADABLE, otherwise=[])

    def retry_refused(self) -> int:
        """Send the refused events again, say after a change at the server; how many.

        Raises:
            SpoolUnusable: The spool cannot be written; with ``strict`` only.
        """
        return self._guard.run(
            self._retry_refused, failed="No refused event is sent again", otherwise=0
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _accept(self, event: Event) -> bool:
        try:
            accepted = self._spooled(event)
        except Exception as error:
            self._tally.add(_OUTCOMES.get(type(error), "unexpected"))
            raise
        self._tally.add("accepted" if accepted else "without_consent")
        if accepted:
            with suppress(Exception):  # it is in the spool: the next one, or a flush, wakes it
                self._sender.wake()
        return accepted

    def _spooled(self, event: Event) -> bool:
        if self._closed:
            raise CollectorClosed("the collector is closed")
        user_id, body = prepare(event, datetime.now(UTC))
        if not self._privacy.allows(user_id, "analytics"):
            return False
        self._spool.append(user_id, body)
        return True

    def _stop_sending(self) -> None:
        """Send what can be sent now; what is collected after that is the next process's."""
        if self._closed:
            return
        deadline = time.monotonic() + self._close_seconds
        quietly = partial(self._guard.quiet, failed=_NOT_CLOSED, otherwise=None)
        quietly(self._sender.finish, self._close_seconds)
        # Not in the middle of a request: those events would be sent once more.
        quietly(self._sender.stop, max(0.0, deadline - time.monotonic()))

    def _refused(self) -> list[dict[str, Any]]:
        return [
            {
                "refused_at": datetime.fromtimestamp(moment, UTC),
                "event": msgspec.json.decode(body),
                "field": field,
                "rule": rule,
            }
            for moment, body, field, rule in self._spool.refused()
        ]

    def _retry_refused(self) -> int:
        moved = self._spool.retry_refused()
        self._tally.add("retried", moved)
        self._sender.wake()
        return moved

    def _resume(self, pace: Pace) -> None:
        """Send what an earlier process left, if it left anything."""
        try:
            self._tally.add("dropped_for_age", self._spool.expire(pace.retention_seconds))
            self._spool.tidy()  # perhaps after a process that died before it did
        finally:
            left = self._spool.count()
            if left:
                _logger.info("An earlier process left %d events to send", left)
                self._sender.wake()

    def _drop(self, user_id: str) -> None:
        """Delete what waits of a person who withdrew."""
        failed = "Events of a withdrawn consent wait for the server's no"
        dropped = self._guard.quiet(self._spool.drop_user, user_id, failed=failed, otherwise=0)
        self._tally.add("dropped_on_withdrawal", dropped)
        failed = "Events of a withdrawn consent may stand in the spool's log for a while"
        self._guard.quiet(self._spool.tidy, failed=failed, otherwise=None)
        with suppress(Exception):
            self._sender.wake()
