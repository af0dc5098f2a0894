"""One request of a connection at a time: its turns, and what waits for them.

The parser is given one request at a time. What a client sends without waiting for its answers
stays as bytes until those before are answered and the client reads them, and is not read from
the network meanwhile; and a connection has one turn between two looks of the loop at the others.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ingest.replies import HEAD_TOO_LARGE, TOO_SLOW

if TYPE_CHECKING:
    from ingest.door import Door
    from ingest.replies import Refusal

MOST_HEAD_BYTES = 65_536
"""Length of a URL with all headers. A text of the greatest length fits into a query."""

_TURN_BYTES = 4_096
"""So much of a body in chunks is parsed in one turn; each of its bytes may be a chunk."""

_BLANK = b"\r\n\r\n"
"""Ends a head, and a body in chunks; the parser takes nothing else for it."""


_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: (\d{1,5})\r\n")
"""The header that says how long a body is, as nearly all clients write it."""


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


BETWEEN, ELSEWHERE, HEAD, BODY, TRAILERS = range(5)
"""What has begun and is not whole. Bodies read elsewhere are accounted for there."""


class TurnProtocol(HttpToolsProtocol, ABC):
    """uvicorn's protocol, one request after the other; see the module."""

    door: ClassVar[Door]
    cycle: Any
    flow: _Flow

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._stage = BETWEEN
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
        if self._waiting or self._is_busy():
            self._keep(self._waiting + data)
        else:
            self._read(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request under way, and forget everything, so that nothing refers in a circle."""
        super().connection_lost(exc)
        self._waiting = b""
        self._let_go()
        self.cycle = None

    def resume_writing(self) -> None:
        """Go on when the client has read what it was sent."""
        super().resume_writing()
        if self._waiting:
            self.loop.call_soon(self._go_on)

    @property
    def is_idle(self) -> bool:
        """Whether a request was answered and nothing has come of the next one."""
        cycle = self.cycle
        return (
            self._stage is BETWEEN
            and not self._waiting
            and cycle is not None
            and cycle.response_complete
        )

    def _is_busy(self) -> bool:
        """Tell whether the next request has to wait for an answer, or for its being read."""
        if self._stage is not BETWEEN:
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
        self._may_begin = self._stage is BETWEEN
        if self._may_begin and data[0] in _BLANK:
            data = data.lstrip(_BLANK)
        while at < len(data):
            end = self._end(data, at)
            self._feed(data[at:end])
            at = end
            if self.parser is None:
                return
            if self._stage is BETWEEN or (at >= _TURN_BYTES and not self._left):
                break
        if at < len(data):
            self._keep(data[at:])
            if not self._is_busy():
                self.loop.call_soon(self._go_on)
        elif self._stage > ELSEWHERE:
            self._hold()
        elif self._is_held:
            self._let_go()

    def _end(self, data: bytes, at: int) -> int:
        """Return where to pause at the latest, so that no request is read beyond its end."""
        if self._left:
            end = min(len(data), at + self._left)
            self._left -= end - at
            return end
        if at < len(_BLANK) - 1 and self._stage is not BETWEEN:
            # The first bytes of what ends it may have come before.
            return at + 1
        found = data.find(_BLANK, max(0, at - len(_BLANK) + 1))
        end = len(data) if found < 0 else found + len(_BLANK)
        if self._stage is BETWEEN and end < len(data):
            length = _LENGTH.search(data, 0, end)
            if length and end + int(length[1]) == len(data):
                return len(data)
        return end if self._stage in (BETWEEN, HEAD) else min(end, at + _TURN_BYTES)

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
        if self._stage in (HEAD, TRAILERS):
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
        self.url = b""
        self.headers = []
        self._stage = HEAD
        self._head = 0

    def make_scope(self) -> None:
        """Make the scope of a request of which the head was read."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.headers += headers
        # Whoever speaks HTTP/1.0 does not know interim replies.
        self.expect_100_continue = self.parser.get_http_version() != "1.0" and any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in headers
        )

    @abstractmethod
    def _refuse(self, refusal: Refusal) -> None:
        """Refuse a request that is not whole and will not be read on."""

    def turn_out(self) -> None:
        """Make room for others: close the connection, at the latest after the next answer."""
        self._is_held = False
        if self._stage is BETWEEN:
            self._waiting = b""
            self.shutdown()
        else:
            self._refuse(TOO_SLOW)

    def on_response_complete(self) -> None:
        """Drop what came of a body that was not read, and go on."""
        self.server_state.total_requests += 1
        self.cycle.body = bytearray()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._waiting:
            self.loop.call_soon(self._go_on)

    def _hold(self) -> None:
        """Account for what has come of a request that is not whole."""
        if self._stage is BODY:
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
