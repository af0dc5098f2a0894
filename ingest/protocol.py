"""A shorter way for single events: from the parser to the writer, without a task a request.

uvicorn's protocol makes a scope, a task and two writes of each request, which costs as much as
the rest of it. Here a POST to one of the five event routes with a short, announced body is
answered by callbacks, in one write; every other request, and every odd one, takes uvicorn's
way to the same code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ingest.bodies import SHORT_BYTES
from ingest.exchange import Exchange
from ingest.replies import CLOSING, HEAD_TOO_LARGE, TOO_SLOW
from ingest.turnstile import Turn

if TYPE_CHECKING:
    from ingest.door import Door
    from ingest.hot import EventRoute
    from ingest.replies import Refusal

MOST_HEADERS = 100
MOST_HEAD_BYTES = 65_536
"""Length of a URL with all headers. A text of the greatest length fits into a query."""

_READ_BYTES = 65_536
"""So much comes at once: at the end of requests that do not wait for their replies the next one
may have begun, nobody knows where."""

_ODD = frozenset({b"origin", b"expect", b"transfer-encoding", b"upgrade"})
"""Headers of requests that take the other way."""


class _HeadTooLarge(Exception):
    """A request has more headers, or longer ones, than it may have."""


_NONE, _HEAD, _BODY, _TRAILERS = range(4)
"""What has begun and is not whole; what is of none of these is accounted for by who reads it."""


class EventProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the shorter way; see the module."""

    door: ClassVar[Door]
    routes: ClassVar[dict[bytes, tuple[str, EventRoute]]]
    _common: ClassVar[tuple[Any, bytes]] = (None, b"")
    cycle: Any

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.turn = Turn()
        self._most_at_once, self.limit_concurrency = self.limit_concurrency, None
        self._whole_app = self.app
        self._running: Any = None
        self._stage = _NONE
        self._is_held = False
        # Bytes of a head or of trailers that came before those that are being read.
        self._head = 0
        self._reading = 0

    def data_received(self, data: bytes) -> None:
        """Read on, and account for what is not whole afterwards."""
        self._reading = len(data)
        super().data_received(data)
        if self._stage:
            self._hold(len(data))
        elif self._is_held:
            self._let_go()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what had come, and tell the request under way, which need not be the newest."""
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)
        self._let_go()

    def on_message_begin(self) -> None:
        """Begin with a request."""
        super().on_message_begin()
        self._stage = _HEAD
        self._head = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what comes after the body is none, whatever it is called."""
        if self._stage is not _HEAD:
            return
        headers = self.headers
        if len(headers) >= MOST_HEADERS:
            raise _HeadTooLarge
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Choose the way that a request takes."""
        if self._head + self._reading > MOST_HEAD_BYTES and self._head_bytes() > MOST_HEAD_BYTES:
            raise _HeadTooLarge
        self._stage = _NONE
        path, _, query = self.url.partition(b"?")
        found = self.routes.get(path)
        waits = self.cycle is not None and not self.cycle.response_complete
        is_full = self._is_full()
        if found is None or waits or is_full or not self._is_plain():
            self.app = self.door.shed if is_full else self._whole_app
            super().on_headers_complete()
            # The rest is read when there is room for it.
            self.flow.pause_reading()
        else:
            cycle = self.cycle = Exchange(self, *found, query)
            self._stage = _BODY
            cycle.admit()

    def on_chunk_header(self) -> None:
        """Expect trailers, until there is something of a body."""
        self._stage = _TRAILERS
        self._head = 0

    def on_body(self, body: bytes) -> None:
        """Keep a part of a body."""
        cycle = self.cycle
        if type(cycle) is Exchange:
            if cycle.is_admitted and not cycle.response_complete:
                cycle.body += body
        else:
            self._stage = _NONE
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Begin with a request that has arrived as a whole."""
        self._stage = _NONE
        cycle = self.cycle
        if type(cycle) is not Exchange:
            super().on_message_complete()
        elif not cycle.response_complete:
            cycle.begin()

    def send_400_response(self, msg: str) -> None:
        """Refuse what could not be parsed, or was too much to go on."""
        if self._stage is _HEAD and self._has_too_much():
            self._refuse(HEAD_TOO_LARGE)
        else:
            super().send_400_response(msg)
        self._stage = _NONE

    def turn_out(self) -> None:
        """Close the connection of a request that does not get whole, for others to have room."""
        self._is_held = False
        self._refuse(TOO_SLOW)

    def on_response_complete(self) -> None:
        """Drop what came of a body that was not read, and go on."""
        if self._running is not None:
            self._running.body = bytearray()
            self._running = None
        super().on_response_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _hold(self, size: int) -> None:
        """Account for what has come of a request that is not whole."""
        if self._stage is _BODY:
            self._head = len(self.cycle.body)
        else:
            self._head += size
            if self._head > MOST_HEAD_BYTES + _READ_BYTES:
                self._let_go()
                self._refuse(HEAD_TOO_LARGE)
                return
        self._is_held = True
        self.door.unfinished.hold(self, self._head)

    def _let_go(self) -> None:
        self._is_held = False
        self.door.unfinished.let_go(self)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _has_too_much(self) -> bool:
        return len(self.headers) >= MOST_HEADERS or self._head_bytes() > MOST_HEAD_BYTES

    def _refuse(self, refusal: Refusal) -> None:
        """Refuse a request that is not whole and will not be read on, if a reply is due."""
        self._stage = _NONE
        # With what it holds of a header that is not whole.
        self.parser = None  # type: ignore[assignment]
        cycle = self.cycle
        if type(cycle) is Exchange and cycle.more_body and not cycle.response_complete:
            cycle.give_up(refusal)
        elif cycle is None or cycle.response_complete:
            self.door.note("-", "-", refusal.status, 0.0)
            self.write_reply(*refusal, keep_alive=False)
        else:
            self.transport.close()

    def write_reply(self, status: int, body: bytes, headers: Any, *, keep_alive: bool) -> None:
        """Send a reply in one write."""
        lines = [
            STATUS_LINE[status],
            self.common_headers(),
            b"content-length: %d\r\n" % len(body),
            *(b"%b: %b\r\n" % header for header in headers),
        ]
        if not keep_alive and CLOSING not in headers:
            lines.append(b"connection: close\r\n")
        self.transport.write(b"".join([*lines, b"\r\n", body]))
        if not keep_alive:
            self.transport.close()

    def _is_full(self) -> bool:
        """Tell whether there are as many connections as there are files for."""
        most = self._most_at_once
        return most is not None and (len(self.connections) >= most or len(self.tasks) >= most)

    def _is_plain(self) -> bool:
        """Tell whether a request is a POST like most, with a short body."""
        if self.parser.get_method() != b"POST" or self.parser.get_http_version() != "1.1":
            return False
        length = 0
        for name, value in self.headers:
            if name == b"content-length":
                length = int(value)
            elif name in _ODD:
                return False
        return length <= SHORT_BYTES

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
