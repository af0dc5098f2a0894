"""A shorter way for single events: from the parser to the writer, without a task a request.

uvicorn's protocol makes a scope, a task and two writes of each request, which costs as much as
the rest of it. Here a POST to one of the five event routes with a short, announced body is
answered by callbacks, in one write; every other request, and every odd one, takes uvicorn's
way to the same code.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ingest.door import GONE
from ingest.hot import answer
from ingest.replies import NOT_READY, Refused
from ingest.turnstile import Turn
from schemas.errors import NotReady, SmartMatchError
from warehouse.committer import Ticket
from warehouse.staging import Outcome

if TYPE_CHECKING:
    from ingest.door import Door
    from ingest.hot import EventRoute
    from ingest.turnstile import Turnstile
    from schemas.errors import QueueFull

_logger = logging.getLogger("smartmatch")

LONGEST_BODY = 60_000
"""uvicorn pauses a connection at 64 KiB until somebody asks for the body."""

_ODD = frozenset({b"origin", b"expect", b"transfer-encoding", b"upgrade"})
"""Headers of requests that take the other way."""


class _Quiet:
    """Stands for the event that uvicorn sets when a body has arrived: nobody waits for it."""

    def set(self) -> None:
        """Do nothing."""


_QUIET = _Quiet()


class Exchange:
    """A request under way: to uvicorn its cycle, to the writer whoever waits for a ticket."""

    __slots__ = (
        "_begun",
        "_inside",
        "_name",
        "_protocol",
        "_query",
        "_route",
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
        self._begun = time.monotonic()
        self._inside: Turnstile | None = None
        self.keep_alive: bool = protocol.parser.should_keep_alive()
        self.body = bytearray()
        self.more_body = True
        self.response_complete = False
        self.disconnected = False
        self.message_event = _QUIET
        self.ticket: Ticket | None = None

    def begin(self) -> None:
        """Get in line for the writer, or be refused."""
        protocol = self._protocol
        try:
            caller = protocol.door.admit(protocol.scope)
            protocol.door.ways().singles.enter(self, caller.singles, protocol.turn)
        except Refused as refused:
            self._reply(*refused.refusal)
        except SmartMatchError as error:
            self.set_exception(error)

    def proceed(self) -> None:
        """Read the event and hand it to the writer, or refuse it."""
        protocol = self._protocol
        self._inside = protocol.door.ways().singles
        if self.disconnected:
            self._reply(GONE, b"")
            return
        try:
            _, arrival = self._route.prepare(self._query, bytes(self.body))
            self.ticket = Ticket((arrival,), waiter=self, since=self._begun)
            protocol.door.service.submit(protocol.loop, self.ticket)
        except Refused as refused:
            self._reply(*refused.refusal)
        except (SmartMatchError, OSError) as error:
            self.set_exception(error)

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
        if not isinstance(error, NotReady):
            _logger.error("A request failed", exc_info=error)
        self._reply(*NOT_READY)

    async def _again(self) -> None:
        try:
            self._reply(200, await self._route.handle(self._query, bytes(self.body), b""))
        except Refused as refused:
            self._reply(*refused.refusal)
        except (SmartMatchError, OSError) as error:
            self.set_exception(error)

    def _reply(self, status: int, body: bytes, headers: Any = ()) -> None:
        if self.response_complete:
            return
        protocol = self._protocol
        self.response_complete = True
        if self._inside is not None:
            self._inside.leave()
        protocol.door.note("POST", self._name, status, time.monotonic() - self._begun)
        if self.disconnected or protocol.transport.is_closing():
            return
        lines = [
            STATUS_LINE[status],
            protocol.common_headers(),
            b"content-length: %d\r\n" % len(body),
            *(b"%b: %b\r\n" % header for header in headers),
        ]
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        protocol.transport.write(b"".join([*lines, b"\r\n", body]))
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()


class EventProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the shorter way; see the module."""

    door: ClassVar[Door]
    routes: ClassVar[dict[bytes, tuple[str, EventRoute]]]
    _common: ClassVar[tuple[Any, bytes]] = (None, b"")
    cycle: Any

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.turn = Turn()

    def on_headers_complete(self) -> None:
        """Choose the way that a request takes."""
        path, _, query = self.url.partition(b"?")
        found = self.routes.get(path)
        waits = self.cycle is not None and not self.cycle.response_complete
        if found is None or waits or not self._is_plain():
            super().on_headers_complete()
            # The rest is read when there is room for it.
            self.flow.pause_reading()
        else:
            self.cycle = Exchange(self, *found, query)

    def on_message_complete(self) -> None:
        """Begin with a request that has arrived as a whole."""
        super().on_message_complete()
        if type(self.cycle) is Exchange and not self.cycle.response_complete:
            self.cycle.begin()

    def _is_plain(self) -> bool:
        """Tell whether a request is a POST like most, with a short body."""
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return False
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            return False
        length = 0
        for name, value in self.headers:
            if name == b"content-length":
                length = int(value)
            elif name in _ODD:
                return False
        return length <= LONGEST_BODY

    def common_headers(self) -> bytes:
        """Return the headers of every reply; uvicorn renews the date among them."""
        current = self.server_state.default_headers
        held, encoded = EventProtocol._common
        if held is not current:
            encoded = b"".join(b"%b: %b\r\n" % header for header in current)
            encoded += b"content-type: application/json\r\n"
            EventProtocol._common = (current, encoded)
        return encoded


def event_protocol(door: Door) -> type[EventProtocol]:
    """Return uvicorn's protocol with the shorter way to the event routes of an application."""
    members = {"door": door, "routes": door.event_routes()}
    return type("BoundEventProtocol", (EventProtocol,), members)
