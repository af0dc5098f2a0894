"""Commit in groups: one transaction for everything that arrived while the last was written.

With it goes what the loop reads at one go. One thread owns the connection that a server writes by.
The cost of making a commit durable is shared by all who wait for it, and a lone event waits for
nothing. Short tickets go first, and beside them only so much of long ones that nobody waits long.
Whoever waits is told after the commit, never before.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter, deque
from contextlib import contextmanager, suppress
from time import monotonic, perf_counter, sleep, time_ns
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from schemas.errors import NotReady, QueueFull, SmartMatchError, told_in_log
from warehouse import accounts, consents
from warehouse.engine import demand_place, translated
from warehouse.queue import probe
from warehouse.staging import counts, stage
from warehouse.tickets import (
    REMEMBERED_COMMITS,
    SHORT_EVENTS,
    most_beside_short,
    size_of,
    take,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Engine

    from warehouse.disk import DiskReserve
    from warehouse.seals import Seals
    from warehouse.staging import Arrival, StampOf
    from warehouse.tickets import Ticket
    from warehouse.watch import KnownConsents

_logger = logging.getLogger("smartmatch.committer")

PATIENCE_SECONDS = 1.2
"""So old may a ticket be when the database does not answer; then it is told so."""

LARGEST_COMMIT = 2_048
"""Most events in one transaction: bounds the time that another writer waits for it."""

_PATIENCE_FOR_MORE_SECONDS = 0.01
_LENT_SECONDS, _LENT_EVENTS = 0.01, 32
"""So long at most, and to a commit of so few, the loop leaves the interpreter.

Of a larger one the database's part is larger, and the loop reads meanwhile.
"""
_PAUSE_SECONDS = 0.02
_IDLE_SECONDS = 1.0
_REMEMBER_SECONDS = 0.25
"""Where a short ticket came, another may come so soon."""


class _Failure(NamedTuple):
    """How a commit failed: whether anything was written before, and whether it passes."""

    begun: bool
    passes: bool


class Committer:
    """The one writer of a server process.

    Args:
        engine: The database, with a busy timeout well below ``PATIENCE_SECONDS``.
        known: Learns who allows collection from what transactions had to look up.
        disk: Says whether there is room for events; other work is always tried.
        queue_events: Most events that may wait.
        settled: Called from the writer's thread with tickets whose fate is known.
        observed: Called after each commit with what it entered into the books, the number
            of events and the seconds that it took.
        worked: Called after each commit that did other work than storing events, before whoever
            asked for it is told; where it fails they are told to try again.
        seals: Seal the rows of people who move to a newer pseudonym key.
        stamp_of: Reads the stamps of day keys, see ``stage``.
    """

    def __init__(
        self,
        engine: Engine,
        known: KnownConsents,
        disk: DiskReserve,
        *,
        queue_events: int,
        settled: Callable[[list[Ticket]], None],
        observed: Callable[[Mapping[tuple[str, str], int], int, float], None],
        worked: Callable[[], object] = lambda: None,
        seals: Seals | None = None,
        stamp_of: StampOf | None = None,
    ) -> None:
        self._engine = engine
        self._known = known
        self._disk = disk
        self._limit = queue_events
        self._settled = settled
        self._observed = observed
        self._worked = worked
        self._seals = seals
        self._stamp_of = stamp_of
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._rested = threading.Condition(self._lock)
        self._short: deque[Ticket] = deque()
        self._long: deque[Ticket] = deque()
        self._short_until = 0.0
        self._took: deque[float] = deque(maxlen=REMEMBERED_COMMITS)
        self._waiting = 0
        self._closing = False
        self._idle = False
        self._due = False
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of events that wait for their commit."""
        return self._waiting

    @property
    def alive(self) -> bool:
        """Whether anything that is submitted can still be written."""
        return self._thread.is_alive()

    @property
    def serves_short(self) -> bool:
        """Whether a short ticket came a moment ago, so that another may come soon."""
        return monotonic() < self._short_until

    def submit(self, *tickets: Ticket, more: bool = False) -> None:
        """Queue tickets, all or none.

        Args:
            tickets: What is to be written.
            more: Whether more may be submitted at once; then ``go`` says that there is no more.

        Raises:
            QueueFull: As many events wait as may.
            NotReady: The writer has stopped.
        """
        size = size_of(tickets)
        with self._lock:
            if self._waiting + size > self._limit and self._waiting:
                raise QueueFull("more was sent than can be made durable now")
            if self._closing:
                raise NotReady("the server is stopping")
            self._waiting += size
            (self._short if size <= SHORT_EVENTS else self._long).extend(tickets)
            if not more:
                self._set_due()

    def go(self) -> None:
        """Write what was submitted: there is no more at the moment.

        A commit costs about the same for one and for many, and both cost most while the loop that
        reads events wants the interpreter, too: so the loop says when it has read what there is,
        and rests here until it is committed. It waits for no commit of many events, for none that
        was under way before, and for none that takes long.
        """
        with self._lock:
            lend = self._idle and self._waiting <= _LENT_EVENTS
            self._set_due()
            if lend:
                self._rested.wait_for(lambda: self._idle, _LENT_SECONDS)

    def _set_due(self) -> None:
        self._due = True
        if self._idle:
            self._idle = False
            self._wake.notify()

    def close(self) -> None:
        """Write what waits, then stop."""
        with self._lock:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._goes_on():
                pass
        finally:
            self._drop_connection()
            with self._lock:
                self._closing = True
                left = [*self._short, *self._long]
                self._short.clear()
                self._long.clear()
            self._settle(left, NotReady("the server is stopping"))

    def _goes_on(self) -> bool:
        """Do one round, which ends no other, however it ends; tell whether there is another."""
        tickets: list[Ticket] = []
        try:
            tickets = self._next()
            if tickets:
                self._write(self._fitting(tickets))
        except Exception as error:  # noqa: BLE001  # the next may do
            _logger.error("A round of the writer failed: %s", told_in_log(error))  # noqa: TRY400
            left = [ticket for ticket in tickets if not ticket.settled]
            self._settle(left, NotReady("the writer failed"))
            sleep(_PAUSE_SECONDS)
        return bool(tickets) or not self._closing

    def _next(self) -> list[Ticket]:
        """Wait for tickets and take what is there, oldest first, short ones before long ones."""
        with self._lock:
            if not self._due and not self._closing:
                self._idle = True
                self._rested.notify_all()
                # Whoever promised to say that there is no more is not waited for for long.
                here = self._short or self._long
                self._wake.wait(_PATIENCE_FOR_MORE_SECONDS if here else _IDLE_SECONDS)
                self._idle = False
            short = take(self._short, LARGEST_COMMIT)
            if short:
                self._short_until = monotonic() + _REMEMBER_SECONDS
            tickets = short + take(self._long, self._most_long())
            self._due = bool(self._short or self._long)
            return tickets

    def _most_long(self) -> int:
        few = most_beside_short(self._took) if self.serves_short else LARGEST_COMMIT
        return min(LARGEST_COMMIT, few)

    def _write(self, tickets: list[Ticket]) -> None:
        """Commit tickets; while the database does not answer, those that are too old give up."""
        while tickets:
            failure = self._try(tickets)
            if failure is None:
                self._settle(tickets)
                return
            if not failure.passes and len(tickets) > 1:
                # One of them cannot be stored: it must not take the others with it.
                for ticket in tickets:
                    self._write([ticket])
                return
            limit = monotonic() - PATIENCE_SECONDS
            tickets, late = _parted(tickets, failure, math.inf if self._closing else limit)
            self._settle(late, NotReady("the database did not answer"))
            if tickets:
                sleep(_PAUSE_SECONDS)

    def _try(self, tickets: Sequence[Ticket]) -> _Failure | None:
        """Write tickets in one transaction; return how that failed, if it did."""
        begun, started = False, perf_counter()
        arrivals = _arrivals(tickets)
        lookup = _Lookup(self._seals)
        try:
            with translated(), self._connected() as connection, connection.begin():
                begun = True
                _work(connection, tickets)
                now = time_ns() // 1_000
                outcomes = stage(connection, arrivals, now, lookup, self._stamp_of)
                refused = [rule for ticket in tickets for rule in ticket.refused]
                entries = accounts.refusals(refused) + Counter(counts(outcomes))
                accounts.add(connection, entries)
        except Exception as error:  # noqa: BLE001  # of this commit; the next may do
            self._drop_connection()
            _logger.warning("A commit failed: %s", type(error).__name__)
            return _Failure(begun=begun, passes=isinstance(error, NotReady | OSError))
        self._conclude([one for one in tickets if one.work is not None and one.error is None])
        lookup.teach(self._known)
        self._took.append(perf_counter() - started)
        self._observed(entries, len(arrivals), self._took[-1])
        start = 0
        for ticket in tickets:
            ticket.outcomes = outcomes[start : start + len(ticket.arrivals)]
            start += len(ticket.arrivals)
        return None

    def _conclude(self, worked: Sequence[Ticket]) -> None:
        if not worked:
            return
        try:
            self._worked()
        except Exception as error:  # noqa: BLE001  # whatever it is, nobody may be told of it
            _logger.warning("What was committed could not be noted: %s", type(error).__name__)
            for ticket in worked:
                ticket.error = NotReady("what was committed could not be noted")

    def _fitting(self, tickets: list[Ticket]) -> list[Ticket]:
        """Refuse those whose events the disk has no room for, so that they keep nobody else out."""
        if self._takes_room(_arrivals(tickets)):
            return tickets
        fit: list[Ticket] = []
        full: list[Ticket] = []
        for ticket in tickets:
            (fit if self._takes_room(ticket.arrivals) else full).append(ticket)
        self._settle(full, NotReady("the disk is nearly full"))
        return fit

    def _takes_room(self, arrivals: Sequence[Arrival]) -> bool:
        content = sum([len(one.row.payload) + len(one.row.sealed or b"") for one in arrivals])
        try:
            return not arrivals or self._disk.take(len(arrivals), content)
        except (NotReady, OSError):
            return False

    def _settle(self, tickets: list[Ticket], error: SmartMatchError | None = None) -> None:
        if not tickets:
            return
        with self._lock:
            self._waiting -= size_of(tickets)
        if error is not None:
            for ticket in tickets:
                ticket.error = error
        for ticket in tickets:
            ticket.settled = True
        self._settled(tickets)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Lend the writer's own connection, made when there is none, for one transaction."""
        if self._connection is None:
            self._connection = self._engine.connect()
        yield self._connection
        demand_place(self._connection)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(SQLAlchemyError, OSError):
                connection.invalidate()
                connection.close()


def _arrivals(tickets: Sequence[Ticket]) -> list[Arrival]:
    return [arrival for ticket in tickets for arrival in ticket.arrivals]


def _parted(
    tickets: list[Ticket], failure: _Failure, limit: float
) -> tuple[list[Ticket], list[Ticket]]:
    """Part those that may wait for another attempt from those that may not.

    Whether a transaction was committed that failed once begun is unknown. Events may be sent
    again, because their receipts show it; other work may not, and refusals are not counted twice.
    """
    kept: list[Ticket] = []
    late: list[Ticket] = []
    for ticket in tickets:
        final = (
            not failure.passes or ticket.since < limit or (failure.begun and not ticket.arrivals)
        )
        (late if final else kept).append(ticket)
    return kept, late


def _work(connection: Connection, tickets: Sequence[Ticket]) -> None:
    """Do the work of tickets; what one of them may not do stops only that one."""
    working = [(ticket, ticket.work) for ticket in tickets if ticket.work is not None]
    # Probes last: two servers must not wait for each other's row of ``versions``.
    for ticket, work in sorted(working, key=lambda one: one[1] is probe):
        ticket.error = None
        try:
            with connection.begin_nested():
                ticket.result = work(connection)
        except SmartMatchError as error:
            ticket.error = error
        except SQLAlchemyError:
            raise  # of the transaction, not of this one
        except Exception as error:  # noqa: BLE001  # of this one; the others go on
            _logger.error("Work failed: %s", told_in_log(error))  # noqa: TRY400
            ticket.error = NotReady("the work failed")


class _Lookup:
    """Looks subjects up in a transaction and remembers them until it is committed."""

    def __init__(self, seals: Seals | None) -> None:
        self._seals = seals
        self._seen = 0
        self._found: dict[bytes, int] = {}

    def __call__(
        self, connection: Connection, people: Mapping[tuple[bytes, ...], str]
    ) -> dict[tuple[bytes, ...], int]:
        # The counter first: what is read after it is at least as new.
        self._seen = consents.counters(connection).get(consents.CHANGES, 0)
        found = consents.resolve(connection, people, people, self._seals)
        self._found = {person[0]: subject for person, subject in found.items()}
        return found

    def teach(self, known: KnownConsents) -> None:
        """Hand over what was found; the transaction is committed."""
        if self._found:
            known.learn(self._found, self._seen)
