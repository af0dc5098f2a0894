"""What a server process holds: the database, what is known of consent, and the one writer."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from ingest.arrivals import Intake
from ingest.observed import Observed
from schemas.errors import ConsentRequired, NotReady, SmartMatchError
from warehouse import api_keys, guards, queue
from warehouse.committer import LARGEST_COMMIT, Committer
from warehouse.disk import DiskReserve
from warehouse.engine import check_ready, checkpoint_note, connect, reading
from warehouse.keyfile import day_key_stamp, open_to_others
from warehouse.newest_head import NewestHead
from warehouse.notices import read_notices
from warehouse.seals import Seals
from warehouse.staging import RULE_CONSENT, Outcome
from warehouse.tickets import TICKET_EVENTS, Ticket
from warehouse.tombstones import catch_up
from warehouse.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine

    from schemas.events import Event
    from schemas.settings import Settings
    from warehouse.notices import Notice
    from warehouse.staging import Arrival

BUSY_TIMEOUT_MS = 400
"""A statement of the server waits for a lock no longer: its clients wait two seconds at most."""

START_TIMEOUT_MS = 1_200
"""No client waits while it starts: a database that is busy then need not end it."""

DEADLINE_SECONDS = 1.8
"""Whoever waits for a commit is told to try again after so long, whatever the database does."""

_logger = logging.getLogger("smartmatch")

_MORE_SECONDS = 0.01
"""Events that come one after the other keep the writer from a commit for no longer."""
_SWEEP_SECONDS = 0.1
_TOGETHER = 16
"""So many are told of their commit at once."""

_READY_EVENTS = 256
"""Who calls itself ready has room for so many more."""
_PROBE_REST_SECONDS = 0.1
"""Whether the database takes writes is tried no more often, whoever asks."""


class Service:
    """Everything behind the routes of one server process.

    Args:
        settings: Of the installation.

    Raises:
        NotReady: The database is absent or not set up.
        UnsafeEngine: It would lose what it acknowledged.
        KeyMissing: There is no key file.
        NoticeMissing: The text of the consent notice is not there.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.notices: dict[str, Notice] = read_notices(settings.notice_version)
        self.engine = connect(settings.url, busy_timeout_ms=BUSY_TIMEOUT_MS)
        # Connections of its own: a flood of readers must not keep it from knowing who may.
        self._watched = connect(settings.url, busy_timeout_ms=BUSY_TIMEOUT_MS)
        starting = connect(settings.url, busy_timeout_ms=START_TIMEOUT_MS)
        try:
            _prepare(starting, settings)
            staleness = settings.consent_staleness_seconds
            self.watch = Watch(self._watched, settings.keys, staleness, starting)
            self.intake = Intake(self.watch, settings.keys, settings.events_retention_days)
            self._newest_head = NewestHead(settings.keys)
            self._newest_head.demand_seals(starting)
        finally:
            starting.dispose()
        self.seals = Seals(self.watch.ring)
        self.observed = Observed()
        self.disk = DiskReserve(self.engine, settings.disk_reserve_bytes)
        self._lock = threading.Lock()
        self._committer: Committer | None = None
        self._waiting: deque[Ticket] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeping = False
        self._submitted = 0
        self._telling = False
        self._tell_until = 0.0
        self._probing: asyncio.Task[SmartMatchError | None] | None = None
        self._probed_at = -math.inf
        # A process may be forked from this one before the first request: nothing runs, nothing is
        # open that both would use.
        for engine in (self.engine, self._watched):
            engine.dispose()

    @property
    def committer(self) -> Committer:
        """The writer, started with the first request: a fork before that is harmless."""
        if self._committer is None:
            with self._lock:
                if self._committer is None:
                    self.watch.start()
                    self._committer = Committer(
                        self.engine,
                        self.watch.consents,
                        self.disk,
                        queue_events=self.settings.queue_events,
                        settled=_wake,
                        observed=self.observed.commit,
                        worked=partial(self._newest_head.note, self.engine),
                        seals=self.seals,
                        stamp_of=partial(day_key_stamp, self.settings.keys),
                    )
        return self._committer

    @property
    def has_room(self) -> bool:
        """Whether the disk has room, and the queue is below its mark of nine tenths."""
        committer = self.committer
        queued = committer.waiting * 10 < self.settings.queue_events * 9
        return committer.alive and queued and self.has_disk

    async def check_ready(self) -> None:
        """Check that the database takes writes, consents can be read and the queue has room.

        Raises:
            NotReady: One of them is not so.
        """
        if not self.has_room:
            raise NotReady("there is no room for events")
        if not self.watch.sees:
            raise NotReady("consents and keys cannot be read")
        if (error := await self._probe()) is not None:
            raise error

    async def _probe(self) -> SmartMatchError | None:
        """Share with all who ask meanwhile one write: anybody may ask, and a commit is dear."""
        probing = self._probing
        if (
            probing is None
            or probing.done()
            or probing.get_loop() is not asyncio.get_running_loop()
        ):
            probing = self._probing = asyncio.create_task(self._write_probe())
        return await asyncio.shield(probing)  # who leaves takes the answer from nobody

    async def _write_probe(self) -> SmartMatchError | None:
        # Nobody is told of a write before they asked: they wait for the next one instead.
        await asyncio.sleep(max(0.0, self._probed_at + _PROBE_REST_SECONDS - time.monotonic()))
        try:
            await self.write(queue.probe)
        except SmartMatchError as error:
            return error
        finally:
            self._probed_at = time.monotonic()
        return None

    @property
    def has_disk(self) -> bool:
        """Whether events leave room on the disk for what deletes them."""
        try:
            return self.disk.has_room(self.committer.waiting + _READY_EVENTS)
        except NotReady:
            return False

    def close(self) -> None:
        """Write what waits and let go of the database."""
        if self._committer is not None:
            self._committer.close()
        self.watch.close()
        self._watched.dispose()
        self.engine.dispose()

    def arrive(self, event: Event) -> Arrival:
        """Return what is written of an event that its person allows.

        Raises:
            InvalidInput: A field breaks a rule that depends on the time.
            ConsentRequired: It happened before its person was erased.
        """
        return self.arriving()(event)

    def arriving(self) -> Callable[[Event], Arrival]:
        """Return ``arrive`` with the clock of now, for the events of one moment."""
        fresh = time.monotonic() < self.watch.consents_until
        return partial(self.intake.arrive, now=time.time_ns() // 1_000, fresh=fresh)

    async def store(
        self, arrivals: list[Arrival], arrive_again: Callable[[int], Arrival]
    ) -> list[Outcome]:
        """Store events and return, after the commit, what became of each.

        Args:
            arrivals: What ``arrive`` made of the events; one that has to be made again is
                replaced.
            arrive_again: Makes the arrival at a place again.

        Raises:
            QueueFull: Too many wait already.
            NotReady: The database did not answer in time; whether they were stored is unknown,
                and sending them again is safe.
        """
        outcomes = await self._outcomes(arrivals)
        while Outcome.AGAIN in outcomes:
            await self._store_again(arrivals, arrive_again, outcomes)
        return outcomes

    async def _store_again(
        self,
        arrivals: list[Arrival],
        arrive_again: Callable[[int], Arrival],
        outcomes: list[Outcome],
    ) -> None:
        self.intake.forget_day_key()
        places, refused = [], []
        for place, outcome in enumerate(outcomes):
            if outcome is not Outcome.AGAIN:
                continue
            try:
                arrivals[place] = arrive_again(place)
                places.append(place)
            except ConsentRequired:
                refused.append(RULE_CONSENT)
                outcomes[place] = Outcome.FORBIDDEN
        await self.refuse(refused)
        found = await self._outcomes([arrivals[place] for place in places])
        for place, outcome in zip(places, found, strict=True):
            outcomes[place] = outcome

    async def _outcomes(self, arrivals: Sequence[Arrival]) -> list[Outcome]:
        """Store arrivals as tickets that others can go between.

        What goes into one commit waits for it together: a batch may take several times as long
        as the database may take to answer.
        """
        outcomes: list[Outcome] = []
        for start in range(0, len(arrivals), LARGEST_COMMIT):
            starts = range(start, min(start + LARGEST_COMMIT, len(arrivals)), TICKET_EVENTS)
            tickets = [Ticket(arrivals[one : one + TICKET_EVENTS]) for one in starts]
            await self._settled(*tickets)
            outcomes += [outcome for ticket in tickets for outcome in ticket.outcomes]
        return outcomes

    async def refuse(self, rules: Sequence[str]) -> None:
        """Enter events that broke a rule into the books, before anybody is told so.

        Raises:
            QueueFull: Too many wait already.
            NotReady: The database did not answer in time.
        """
        if rules:
            await self._settled(Ticket(refused=rules))

    async def write(self, work: Callable[[Any], Any]) -> Any:
        """Do work in the writer's next transaction and return its result after the commit.

        Raises:
            SmartMatchError: What the work raised; nothing of it is written.
            NotReady: The database did not answer in time.
        """
        ticket = Ticket(work=work)
        await self._settled(ticket)
        return ticket.result

    async def _settled(self, *tickets: Ticket) -> None:
        loop = asyncio.get_running_loop()
        waiters = []
        for ticket in tickets:
            ticket.waiter = loop.create_future()
            waiters.append(ticket.waiter)
        self.submit(loop, *tickets)
        await asyncio.wait(waiters)
        for error in [ticket.waiter.exception() or ticket.error for ticket in tickets]:
            if error is not None:
                raise error

    def submit(self, loop: asyncio.AbstractEventLoop, *tickets: Ticket) -> None:
        """Queue tickets; their waiters, futures or the like of this loop, are told in time.

        Raises:
            QueueFull: Too many wait already.
            NotReady: The server is stopping.
        """
        self.committer.submit(*tickets, more=True)
        if loop is not self._loop:
            self._loop, self._waiting, self._sweeping, self._telling = loop, deque(), False, False
        self._submitted += 1
        if not self._telling:
            self._telling = True
            self._tell_until = time.monotonic() + _MORE_SECONDS
            loop.call_soon(self._tell, loop, self._submitted)
        waiting = self._waiting
        # Who was told is held no longer: a second of a flood would be thousands of requests.
        while waiting and waiting[0].waiter.done():
            waiting.popleft()
        waiting.extend(tickets)
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(_SWEEP_SECONDS, self._sweep, loop)

    def _tell(self, loop: asyncio.AbstractEventLoop, submitted: int) -> None:
        """Let the writer go on when the loop has looked at its sockets and nothing came."""
        if submitted != self._submitted and time.monotonic() < self._tell_until:
            loop.call_soon(self._tell, loop, self._submitted)
        else:
            self._telling = False
            self.committer.go()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell those who have waited too long to try again."""
        limit = time.monotonic() - DEADLINE_SECONDS
        waiting = self._waiting
        while waiting and (waiting[0].waiter.done() or waiting[0].since < limit):
            ticket = waiting.popleft()
            if not ticket.waiter.done():
                ticket.waiter.set_exception(NotReady("the database did not answer"))
        self._sweeping = bool(waiting)
        if waiting:
            loop.call_later(_SWEEP_SECONDS, self._sweep, loop)


def _prepare(engine: Engine, settings: Settings) -> None:
    """Check that the database may be served, and have it follow what the witness knows."""
    check_ready(engine)
    if (note := checkpoint_note(engine)) is not None:
        _logger.warning("%s", note)
    with reading(engine) as connection:
        if (unguarded := guards.note(connection)) is not None:
            _logger.warning("%s", unguarded)
    if open_to_others(settings.keys):
        _logger.warning("Other users may read or change keys; see `smartmatch status`")
    # A restored backup forgets again whom the witness knows to be erased, before it serves.
    catch_up(engine, settings.keys)
    with suppress(NotReady):  # it is busy: the next start makes up for it
        api_keys.testify(engine, settings.keys)


def _wake(tickets: list[Ticket]) -> None:
    """Tell waiters, each in its own loop; called from the writer's thread."""
    loop = tickets[0].waiter.get_loop()
    if all(ticket.waiter.get_loop() is loop for ticket in tickets):
        _wake_in(loop, tickets)
        return
    for ticket in tickets:
        _wake_in(ticket.waiter.get_loop(), [ticket])


def _wake_in(loop: asyncio.AbstractEventLoop, tickets: list[Ticket]) -> None:
    try:
        loop.call_soon_threadsafe(_resolve, loop, tickets)
    except RuntimeError:
        return  # The loop was closed: nobody waits any more.


def _resolve(loop: asyncio.AbstractEventLoop, tickets: list[Ticket]) -> None:
    """Tell some waiters, and the others after the loop has looked at its sockets."""
    for ticket in tickets[:_TOGETHER]:
        if not ticket.waiter.done():
            ticket.waiter.set_result(None)
    if len(tickets) > _TOGETHER:
        loop.call_soon(_resolve, loop, tickets[_TOGETHER:])
