"""A shorter way for single events: from the parser to the writer, without a task a request.

uvicorn's protocol makes a scope, a task and two writes of each request, which costs as much as
the rest of it. Here a POST to one of the five event routes with a short, announced body is
answered by callbacks, in one write; every other request, and every odd one, takes uvicorn's
way to the same code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ingest.bodies import SHORT_BYTES
from ingest.exchange import Exchange
from ingest.replies import CLOSING, HEAD_TOO_LARGE, MALFORMED
from ingest.turns import BETWEEN, BODY, ELSEWHERE, HEAD, MOST_HEAD_BYTES, TRAILERS, TurnProtocol
from ingest.turnstile import Turn

if TYPE_CHECKING:
    from ingest.door import Door
    from ingest.hot import EventRoute
    from ingest.replies import Refusal

MOST_HEADERS = 100

_VERSIONS = frozenset({"1.0", "1.1"})

_ABSOLUTE = re.compile(rb"[a-z][a-z0-9+.-]*://([^/?#]+)(.*)", re.IGNORECASE)
"""A target that names a host itself."""

_ODD = frozenset({b"origin", b"expect", b"transfer-encoding"})
"""Headers of requests that take the other way."""


class _HeadTooLarge(Exception):
    """A request has more headers, or longer ones, than it may have."""


class _HostUnknown(Exception):
    """A request does not name its host, or names several."""


class _VersionUnknown(Exception):
    """A request says that it is of another HTTP, which has another form."""


class EventProtocol(TurnProtocol):
    """uvicorn's protocol with the shorter way; see the module."""

    routes: ClassVar[dict[bytes, tuple[str, EventRoute]]]
    _common: ClassVar[tuple[Any, bytes]] = (None, b"")

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.turn = Turn()
        self._most_at_once, self.limit_concurrency = self.limit_concurrency, None
        self._whole_app = self.app

    def connection_made(self, transport: Any) -> None:
        """Begin with a client."""
        super().connection_made(transport)
        self.way = self.door.ways().singles

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what comes after the body is none, whatever it is called."""
        if self._stage is not HEAD:
            return
        headers = self.headers
        if len(headers) >= MOST_HEADERS:
            raise _HeadTooLarge
        headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Choose the way that a request takes."""
        if self._head + self._reading > MOST_HEAD_BYTES and self._head_bytes() > MOST_HEAD_BYTES:
            raise _HeadTooLarge
        if self.parser.should_upgrade():
            return
        is_plain = self._is_plain()
        if not self.url.startswith(b"/"):
            self._make_relative()
        path, _, query = self.url.partition(b"?")
        found = self.routes.get(path)
        is_full = self._is_full()
        if not is_plain or found is None or is_full:
            self.app = self.door.shed if is_full else self._whole_app
            self.make_scope()
            super().on_headers_complete()
            self._stage = ELSEWHERE
            # The rest is read when there is room for it.
            self.flow.pause_reading()
        else:
            cycle = self.cycle = Exchange(self, *found, query)
            self._stage = BODY
            cycle.admit()

    def on_chunk_header(self) -> None:
        """Expect trailers, until there is something of a body."""
        self._stage = TRAILERS
        self._head = 0

    def on_body(self, body: bytes) -> None:
        """Keep a part of a body."""
        cycle = self.cycle
        if type(cycle) is Exchange:
            if cycle.is_admitted and not cycle.response_complete:
                cycle.body += body
        else:
            self._stage = ELSEWHERE
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Begin with a request that has arrived as a whole."""
        if self._stage is HEAD:
            # It is read again.
            return
        self._stage = BETWEEN
        self._left = 0
        cycle = self.cycle
        if type(cycle) is not Exchange:
            super().on_message_complete()
        elif not cycle.response_complete:
            cycle.begin()

    def send_400_response(self, _message: str) -> None:
        """Refuse what could not be parsed, or was too much to go on."""
        is_too_much = self._stage is HEAD and self._has_too_much()
        self._refuse(HEAD_TOO_LARGE if is_too_much else MALFORMED)

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
        is_answered = cycle is None or cycle.response_complete
        if type(cycle) is Exchange and cycle.more_body and not is_answered:
            cycle.give_up(refusal)
        elif self._stage is HEAD and is_answered:
            self._reply_at_once(refusal)
        elif self._stage > BETWEEN and not is_answered and not cycle.response_started:
            cycle.disconnected = True
            cycle.message_event.set()
            self._reply_at_once(refusal)
        else:
            self.transport.close()

    def _reply_at_once(self, refusal: Refusal) -> None:
        self.door.note("-", "-", refusal.status, 0.0)
        self.write_reply(*refusal, keep_alive=False)

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
        is_odd, length, hosts = False, 0, 0
        for name, value in self.headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"host":
                hosts += 1
            elif name in _ODD:
                is_odd = True
        version = self.parser.get_http_version()
        if version not in _VERSIONS:
            raise _VersionUnknown
        if hosts > 1 or (not hosts and version == "1.1"):
            raise _HostUnknown
        self._left = length
        if is_odd or self.parser.get_method() != b"POST":
            return False
        return length <= SHORT_BYTES and version == "1.1"

    def _make_relative(self) -> None:
        """Let the host within a target count, and no other."""
        if absolute := _ABSOLUTE.fullmatch(self.url):
            host, target = absolute.groups()
            self.url = target if target.startswith(b"/") else b"/" + target
            self.headers[:] = [header for header in self.headers if header[0] != b"host"]
            self.headers.append((b"host", host))

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
