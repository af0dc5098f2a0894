"""A shorter way for single events: from the parser to the writer, without a task a request.

uvicorn's protocol makes a scope, a task and two writes of each request, which costs as much as
the rest of it. Here a POST to one of the five event routes with a short, announced body is
answered by callbacks, in one write; every other request, and every odd one, takes uvicorn's
way to the same code.

The parser is given one request at a time. What a client sends without waiting for its answers
stays as bytes until those before are answered and the client reads them, and is not read from
the network meanwhile; and a connection has one turn between two looks of the loop at the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
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

_TURN_BYTES = 4_096
"""So much of a body in chunks is parsed in one turn; each of its bytes may be a chunk."""

_BLANK = b"\r\n\r\n"
"""Ends a head, and a body in chunks; the parser takes nothing else for it."""

_ODD = frozenset({b"origin", b"expect", b"transfer-encoding"})
"""Headers of requests that take the other way."""


class _HeadTooLarge(Exception):
    """A request has more headers, or longer ones, than it may have."""


class _OutOfTurn(Exception):
    """A request ended where none was expected to, and the next began."""


class _Flow(FlowControl):
    """Reads from the network when uvicorn wants to and nothing waits that was read before."""

    _is_held = False

    def hold(self) -> None:
        """Read nothing until the release."""
        self._is_held = True
        self._transport.pause_reading()

    def release(self) -> None:
        """Read on, unless uvicorn does not want to."""
        self._is_held = False
        if not self.read_paused:
            self._transport.resume_reading()

    def resume_reading(self) -> None:
        if self._is_held:
            self.read_paused = False
        else:
            super().resume_reading()


_BETWEEN, _ELSEWHERE, _HEAD, _BODY, _TRAILERS = range(5)
"""What has begun and is not whole. Bodies read elsewhere are accounted for there."""


class EventProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the shorter way; see the module."""

    door: ClassVar[Door]
    routes: ClassVar[dict[bytes, tuple[str, EventRoute]]]
    _common: ClassVar[tuple[Any, bytes]] = (None, b"")
    cycle: Any
    flow: _Flow

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.turn = Turn()
        self._most_at_once, self.limit_concurrency = self.limit_concurrency, None
        self._whole_app = self.app
        self._stage = _BETWEEN
        self._may_begin = False
        self._is_held = False
        # Bytes of a head or of trailers that came before those that are being read.
        self._head = 0
        self._reading = 0
        # Bytes of an announced body that are still to come.
        self._left = 0
        # What came and waits for its turn.
        self._waiting = b""

    def connection_made(self, transport: Any) -> None:
        """Begin with a client."""
        super().connection_made(transport)
        self.flow = _Flow(transport)

    def data_received(self, data: bytes) -> None:
        """Read on, or keep what came for later."""
        self._unset_keepalive_if_required()
        if self._waiting or self._is_busy():
            self._keep(self._waiting + data)
        else:
            self._read(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request under way, and forget everything, so that nothing refers in a circle."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._waiting = b""
        self._let_go()
        self.cycle = None

    def resume_writing(self) -> None:
        """Go on when the client has read what it was sent."""
        super().resume_writing()
        if self._waiting:
            self.loop.call_soon(self._go_on)

    def _is_busy(self) -> bool:
        """Tell whether the next request has to wait for an answer, or for its being read."""
        if self._stage is not _BETWEEN:
            return False
        cycle = self.cycle
        return (cycle is not None and not cycle.response_complete) or self.flow.write_paused

    def _keep(self, data: bytes) -> None:
        """Let what came wait for its turn."""
        self._waiting = data
        self._is_held = True
        self.flow.hold()
        self.door.unfinished.let_go(self)
        self.door.unfinished.hold(self, self._head + len(data))

    def _go_on(self) -> None:
        """Take a turn with what waited for it."""
        data = self._waiting
        if not data or self._is_busy():
            return
        self._waiting = b""
        self._let_go()
        if self.transport.is_closing():
            return
        self._read(data)
        if not (self._waiting or self.transport.is_closing()):
            self.flow.release()

    def _read(self, data: bytes) -> None:
        """Parse up to the end of a request or of a turn, and account for what is not whole."""
        at = 0
        self._may_begin = self._stage is _BETWEEN
        if self._may_begin and data[0] in _BLANK:
            data = data.lstrip(_BLANK)
        while at < len(data):
            end = self._end(data, at)
            self._feed(data[at:end])
            at = end
            if self.parser is None:
                return
            if self._stage is _BETWEEN or (at >= _TURN_BYTES and not self._left):
                break
        if at < len(data):
            self._keep(data[at:])
            if not self._is_busy():
                self.loop.call_soon(self._go_on)
        elif self._stage > _ELSEWHERE:
            self._hold()
        elif self._is_held:
            self._let_go()

    def _end(self, data: bytes, at: int) -> int:
        """Return where to pause at the latest, so that no request is read beyond its end."""
        if self._left:
            end = min(len(data), at + self._left)
            self._left -= end - at
            return end
        if at < len(_BLANK) - 1 and self._stage is not _BETWEEN:
            # The first bytes of what ends it may have come before.
            return at + 1
        found = data.find(_BLANK, max(0, at - len(_BLANK) + 1))
        end = len(data) if found < 0 else found + len(_BLANK)
        return end if self._stage in (_BETWEEN, _HEAD) else min(end, at + _TURN_BYTES)

    def _feed(self, data: bytes) -> None:
        """Hand a piece to the parser."""
        self._reading = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_plain(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._stage in (_HEAD, _TRAILERS):
            self._head += len(data)

    def _read_plain(self, rest: bytes) -> None:
        """Read a head again without the wish for another protocol, and what follows it.

        This is for whoever does not speak that protocol to ignore; the parser would take the body
        for the other protocol's, and then for requests.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self.send_400_response("Invalid HTTP request received.")
            return
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self._may_begin = True
        self._feed(b"\r\n".join([*lines, b"", rest]))

    def on_message_begin(self) -> None:
        """Begin with a request."""
        if not self._may_begin:
            raise _OutOfTurn
        self._may_begin = False
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
        if self.parser.should_upgrade():
            return
        self._stage = _ELSEWHERE
        path, _, query = self.url.partition(b"?")
        found = self.routes.get(path)
        is_full = self._is_full()
        if not self._is_plain() or found is None or is_full:
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
            self._stage = _ELSEWHERE
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Begin with a request that has arrived as a whole."""
        if self._stage is _HEAD:
            # It is read again.
            return
        self._stage = _BETWEEN
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
            is_due = not self._is_busy()
            self.parser = None  # type: ignore[assignment]
            if is_due:
                super().send_400_response(msg)
            else:
                self.transport.close()

    def turn_out(self) -> None:
        """Make room for others: close the connection, at the latest after the next answer."""
        self._is_held = False
        if self._stage is _BETWEEN:
            self._waiting = b""
            self.shutdown()
        else:
            self._refuse(TOO_SLOW)

    def on_response_complete(self) -> None:
        """Drop what came of a body that was not read, and go on."""
        if self.cycle is not None:
            self.cycle.body = bytearray()
        super().on_response_complete()
        if self._waiting and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.loop.call_soon(self._go_on)

    def _hold(self) -> None:
        """Account for what has come of a request that is not whole."""
        if self._stage is _BODY:
            self._head = len(self.cycle.body)
        elif self._head > MOST_HEAD_BYTES + _TURN_BYTES:
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
        self._waiting = b""
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
        is_odd, length = False, 0
        for name, value in self.headers:
            if name == b"content-length":
                length = int(value)
            elif name in _ODD:
                is_odd = True
        self._left = length
        if is_odd or self.parser.get_method() != b"POST":
            return False
        return length <= SHORT_BYTES and self.parser.get_http_version() == "1.1"

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
