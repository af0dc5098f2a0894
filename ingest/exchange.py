"""A single event under way: admitted by its headers, read as a whole, handed to the writer."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from ingest.door import GONE
from ingest.hot import answer
from ingest.replies import NOT_READY, Refused
from schemas.errors import NotReady, SmartMatchError, told_in_log
from warehouse.staging import Outcome
from warehouse.tickets import Ticket

if TYPE_CHECKING:
    import asyncio

    from ingest.gate import Caller
    from ingest.hot import EventRoute
    from ingest.replies import Refusal
    from ingest.turnstile import Turnstile
    from schemas.errors import QueueFull

_logger = logging.getLogger("smartmatch")


class _Quiet:
    """Stands for the event that uvicorn sets when a body has arrived: nobody waits for it."""

    def set(self) -> None:
        """Do nothing."""


_QUIET = _Quiet()


class Exchange:
    """A request under way: to uvicorn its cycle, to the writer whoever waits for a ticket."""

    __slots__ = (
        "_begun",
        "_caller",
        "_inside",
        "_name",
        "_protocol",
        "_query",
        "_refusal",
        "_route",
        "_since",
        "body",
        "disconnected",
        "keep_alive",
        "message_event",
        "more_body",
        "response_complete",
        "ticket",
    )

    def __init__(self, protocol: Any, name: str, route: EventRoute, query: bytes) -> None:
        self._protocol = protocol
        self._name = name
        self._route = route
        self._query = query
        self._begun = self._since = time.monotonic()
        self._caller: Caller | None = None
        self._refusal: Refusal | None = None
        self._inside: Turnstile | None = None
        self.keep_alive: bool = protocol.parser.should_keep_alive()
        self.body = bytearray()
        self.more_body = True
        self.response_complete = False
        self.disconnected = False
        self.message_event = _QUIET
        self.ticket: Ticket | None = None

    @property
    def is_admitted(self) -> bool:
        """Whether its body is worth keeping."""
        return self._caller is not None

    def admit(self) -> None:
        """Find out who sends it before its body is kept; a refusal waits for the body's end."""
        protocol = self._protocol
        try:
            scope = {
                "headers": protocol.headers,
                "client": protocol.client,
                "scheme": protocol.scheme,
            }
            self._caller = protocol.door.admit(scope)
        except Refused as refused:
            self._refusal = refused.refusal
        except SmartMatchError as error:
            self._refusal = _not_ready(error)

    def begin(self) -> None:
        """Get in line for the writer, or be refused."""
        self.more_body = False
        # From now on it waits for us: before, we waited for it.
        self._since = time.monotonic()
        if self._caller is None:
            self._reply(*(self._refusal or NOT_READY))
            return
        protocol = self._protocol
        try:
            protocol.way.enter(self, self._caller.singles, protocol.turn)
        except SmartMatchError as error:
            self.set_exception(error)

    def give_up(self, refusal: Refusal) -> None:
        """Refuse it before it has come as a whole, and close the connection."""
        self.keep_alive = False
        self._reply(*refusal)

    def proceed(self) -> None:
        """Read the event and hand it to the writer, or refuse it."""
        protocol = self._protocol
        self._inside = protocol.way
        if self.disconnected:
            self._reply(GONE, b"")
            return
        try:
            protocol.door.confirm(self._caller)
            self.ticket = self._read()
            protocol.door.service.submit(protocol.loop, self.ticket)
        except Refused as refused:
            self._reply(*refused.refusal)
        except Exception as error:  # noqa: BLE001  # of this one, which must not keep its place
            self.set_exception(error)

    def _read(self) -> Ticket:
        """Read the event, and return what the writer is to do of it: store it or count it."""
        try:
            _, arrival = self._route.prepare(self._query, bytes(self.body))
        except Refused as refused:
            self._refusal = refused.refusal
            return Ticket(refused=(refused.rule,), waiter=self, since=self._since)
        return Ticket((arrival,), waiter=self, since=self._since)

    def turn_back(self, error: QueueFull) -> None:
        """Reply that there is no room."""
        self.set_exception(error)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop in which the outcome is told."""
        loop: asyncio.AbstractEventLoop = self._protocol.loop
        return loop

    def done(self) -> bool:
        """Tell whether the reply was sent."""
        return self.response_complete

    def set_result(self, _nothing: None) -> None:
        """Reply with what became of the event."""
        ticket, self.ticket = self.ticket, None
        assert ticket is not None  # noqa: S101  # it is what was settled
        if ticket.error is not None:
            self.set_exception(ticket.error)
            return
        if self._refusal is not None:
            self._reply(*self._refusal)
            return
        outcome = ticket.outcomes[0]
        if outcome is Outcome.AGAIN:
            task = self.get_loop().create_task(self._again())
            self._protocol.tasks.add(task)
            task.add_done_callback(self._protocol.tasks.discard)
            return
        try:
            body = answer(outcome, ticket.arrivals[0])
        except Refused as refused:
            self._reply(*refused.refusal)
        else:
            self._reply(200, body)

    def set_exception(self, error: Exception) -> None:
        """Reply that it is worth trying again."""
        self._reply(*_not_ready(error))

    async def _again(self) -> None:
        try:
            self._reply(200, await self._route.handle(self._query, bytes(self.body), b""))
        except Refused as refused:
            self._reply(*refused.refusal)
        except Exception as error:  # noqa: BLE001  # who waits is told, whatever it was
            self.set_exception(error)

    def _reply(self, status: int, body: bytes, headers: Any = ()) -> None:
        if self.response_complete:
            return
        protocol = self._protocol
        self.response_complete = True
        self.body = bytearray()
        if self._inside is not None:
            self._inside.leave()
        protocol.door.note("POST", self._name, status, time.monotonic() - self._begun)
        if self.disconnected or protocol.transport.is_closing():
            return
        protocol.write_reply(status, body, headers, keep_alive=self.keep_alive)
        protocol.on_response_complete()


def _not_ready(error: Exception) -> Refusal:
    if not isinstance(error, NotReady):
        _logger.error("A request failed: %s", told_in_log(error))
    return NOT_READY
