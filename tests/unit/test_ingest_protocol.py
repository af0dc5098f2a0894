"""One request at a time: what is sent without waiting is bounded, and answered in its order."""

from __future__ import annotations

import asyncio
import gc
import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ingest.exchange import Exchange
from ingest.protocol import EventProtocol
from tests.serving import allow, client_of, proposed
from tests.wire import Wire, until, wires

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.settings import Settings

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ROUTE = b"/api/tracking/event/match-proposed"
HOST = b"Host: 127.0.0.1\r\n"
GET = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
FLOOD = b"GET /api/tracking/events HTTP/1.1\r\n\r\n" * 1_500
BLANKS = b'{"a":"\r\n\r\n\r\n\r\n"}'


def post(body: bytes, *, path: bytes = ROUTE, more: bytes = b"") -> bytes:
    head = b"POST %b HTTP/1.1\r\n%b%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (path, HOST, more, len(body)) + body


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    head = b"POST %b HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (ROUTE, HOST)
    parts = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return head + b"".join(parts) + b"0\r\n" + trailers + b"\r\n"


def event() -> bytes:
    return json.dumps(proposed()).encode()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[Any]:
    """Count the heads that are parsed of each connection."""
    counted: Counter[Any] = Counter()
    complete = EventProtocol.on_headers_complete

    def noted(protocol: EventProtocol) -> None:
        counted[id(protocol)] += 1
        complete(protocol)

    monkeypatch.setattr(EventProtocol, "on_headers_complete", noted)
    return counted


def alive() -> int:
    """Count what is held of connections and requests, found by no collector."""
    kinds = (EventProtocol, RequestResponseCycle, Exchange)
    return sum(isinstance(each, kinds) for each in gc.get_objects())


@pytest.mark.parametrize(
    "flood", [FLOOD, post(b"{") * 400, post(b"{", path=b"/api/tracking/events") * 400]
)
def test_connection_has_one_request_parsed_a_turn_and_leaves_nothing_behind(
    settings: Settings, parsed: Counter[Any], flood: bytes
) -> None:
    async def trial() -> None:
        async with wires(settings) as connect:
            for _ in range(3):
                flooding = [connect() for _ in range(10)]
                for wire in flooding:
                    await wire.receive(flood)
                for _ in range(300):
                    parsed.clear()
                    await asyncio.sleep(0)
                    assert max(parsed.values(), default=0) <= 1
                assert alive() <= 2 * len(flooding)
                assert all(wire.statuses for wire in flooding)
                for wire in flooding:
                    wire.close()
                await asyncio.sleep(0.1)
                assert alive() == 0

    gc.collect()
    gc.disable()
    try:
        asyncio.run(trial())
    finally:
        gc.enable()


def test_what_many_send_ahead_is_bounded_together_and_they_are_answered_what_they_may(
    settings: Settings,
) -> None:
    async def trial() -> None:
        async with wires(settings) as connect:
            flooding = [connect() for _ in range(100)]
            for wire in flooding:
                await wire.receive(FLOOD[:60_000])
                held = sum(len(each.protocol._waiting) for each in flooding if each.protocol)
                assert held <= (settings.max_body_bytes >> 3) + 60_000
            await until(lambda: sum(wire.is_closing() for wire in flooding) > 60)
            closed = [wire for wire in flooding if wire.is_closing()]
            assert all(wire.statuses for wire in closed)
            assert all(b"\r\nconnection: close\r\n" in wire.answers[-1] for wire in closed)

    asyncio.run(trial())


def test_answers_that_are_not_read_are_not_made(settings: Settings) -> None:
    async def trial() -> None:
        async with wires(settings) as connect:
            wire = connect()
            wire.protocol.pause_writing()
            await wire.receive(post(b"{}") * 3)
            await asyncio.sleep(0.05)
            assert (wire.statuses, wire.is_paused) == ([], True)
            wire.protocol.resume_writing()
            await until(lambda: len(wire.statuses) == 3)
            assert not wire.is_paused

    asyncio.run(trial())


def mixed() -> list[tuple[bytes, int]]:
    """Return requests of all ways, with their statuses; one body looks like a request."""
    return [
        (post(event()), 200),
        (GET, 200),
        (post(BLANKS), 422),
        (post(GET * 3), 422),
        (chunked(event()), 200),
        (chunked(BLANKS, b"\r\n\r\n"), 422),
        (chunked(GET, GET, trailers=b"X-A: b\r\n"), 422),
        (b"\r\n\r\n" + GET, 200),
        (post(b"{}", path=b"/nowhere"), 404),
        (post(event(), more=b"Origin: http://127.0.0.1\r\n"), 200),
        (b"GET /health HTTP/1.1\r\n\r\n", 200),
        (post(b"[" + b" " * 20_000 + b"]", path=b"/api/tracking/events"), 200),
        (post(b""), 422),
    ]


def whole(sent: bytes) -> list[bytes]:
    return [sent]


def bytewise(sent: bytes) -> list[bytes]:
    return [sent[at : at + 1] for at in range(len(sent))]


def at_random(sent: bytes) -> list[bytes]:
    cuts = sorted(random.Random(len(sent)).choices(range(1, len(sent)), k=200))
    return [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True) if a < b]


@pytest.mark.parametrize("split", [whole, bytewise, at_random])
@pytest.mark.parametrize("seed", range(3))
def test_requests_are_answered_in_their_order_however_they_are_split(
    settings: Settings, parsed: Counter[Any], split: Callable[[bytes], list[bytes]], seed: int
) -> None:
    requests = mixed() * 2
    random.Random(seed).shuffle(requests)

    async def trial() -> Wire:
        async with wires(settings) as connect:
            wire = connect()
            await wire.receive(*split(b"".join(sent for sent, _ in requests)))
            await until(lambda: len(wire.statuses) >= len(requests) or wire.is_closing())
            await asyncio.sleep(0.05)
            return wire

    with client_of(settings) as client:
        allow(client)
    wire = asyncio.run(trial())
    assert wire.statuses == [status for _, status in requests]
    assert parsed.total() == len(requests)


def test_chunks_are_parsed_in_turns(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0
    begin = EventProtocol.on_chunk_header

    def noted(protocol: EventProtocol) -> None:
        nonlocal counted
        counted += 1
        begin(protocol)

    monkeypatch.setattr(EventProtocol, "on_chunk_header", noted)

    async def trial() -> list[int]:
        nonlocal counted
        async with wires(settings) as connect:
            wire = connect()
            await wire.receive(chunked(*[b" "] * 10_000))
            most = counted
            while not wire.statuses:
                counted = 0
                await asyncio.sleep(0)
                most = max(most, counted)
            assert most < 1_500
            return wire.statuses

    assert asyncio.run(trial()) == [422]


def test_request_out_of_turn_closes_the_connection(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, parsed: Counter[Any]
) -> None:
    monkeypatch.setattr(EventProtocol, "_end", lambda _protocol, data, _at: len(data))

    async def trial() -> None:
        async with wires(settings) as connect:
            wire = connect()
            await wire.receive(GET * 3)
            await until(wire.is_closing)
            assert wire.statuses == []

    asyncio.run(trial())
    assert parsed.total() == 1
