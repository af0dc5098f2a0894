"""One request at a time: what is sent without waiting is bounded, and answered in its order."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import re
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ingest import service as service_module
from ingest.exchange import Exchange
from ingest.hot import EventRoute
from ingest.protocol import EventProtocol
from tests.committing import held_up
from tests.serving import allow, client_of, count_stored, proposed
from tests.wire import Wire, until, wires
from warehouse import api_keys
from warehouse.api_keys import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from schemas.settings import Settings

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ROUTE = b"/api/tracking/event/match-proposed"
HOST = b"Host: 127.0.0.1\r\n"
GET = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
FLOOD = b"GET /api/tracking/events HTTP/1.1\r\nHost: a\r\n\r\n" * 1_500
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARA\r\n"
BLANKS = b'{"a":"\r\n\r\n\r\n\r\n"}'


def post(body: bytes, *, path: bytes = ROUTE, more: bytes = b"") -> bytes:
    head = b"POST %b HTTP/1.1\r\n%b%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (path, HOST, more, len(body)) + body


def chunked(*chunks: bytes, trailers: bytes = b"", more: bytes = b"") -> bytes:
    head = b"POST %b HTTP/1.1\r\n%b%bTransfer-Encoding: chunked\r\n\r\n" % (ROUTE, HOST, more)
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
        before = alive()
        async with wires(settings) as connect:
            for _ in range(3):
                flooding = [connect() for _ in range(10)]
                for wire in flooding:
                    await wire.receive(flood)
                for _ in range(300):
                    parsed.clear()
                    await asyncio.sleep(0)
                    assert max(parsed.values(), default=0) <= 1
                assert alive() <= before + 3 * len(flooding)
                for wire in flooding:
                    await until(lambda: bool(wire.statuses))  # noqa: B023
                for wire in flooding:
                    wire.close()
                await until(lambda: alive() == before)  # what was refused waits for its commit

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
        (GET.replace(b"/health", b"http://127.0.0.1/health"), 200),
        (post(b"[" + b" " * 20_000 + b"]", path=b"/api/tracking/events"), 200),
        (post(b""), 422),
        (post(event(), more=UPGRADE), 200),
        (post(GET * 3, more=UPGRADE), 422),
        (chunked(event(), more=UPGRADE), 200),
        (chunked(GET, b"\r\n\r\n", more=UPGRADE, trailers=b"Upgrade: x\r\n"), 422),
        (GET.replace(b"\r\n\r\n", b"\r\n" + UPGRADE + b"\r\n"), 200),
    ]


def whole(sent: bytes) -> list[bytes]:
    return [sent]


def bytewise(sent: bytes) -> list[bytes]:
    return [sent[at : at + 1] for at in range(len(sent))]


def at_random(sent: bytes) -> list[bytes]:
    return cut(sent, random.Random(len(sent)).choices(range(1, len(sent)), k=200))


def around_blanks(sent: bytes) -> list[bytes]:
    """Cut before, within and after what ends heads and bodies in chunks."""
    ends = [match.start() for match in re.finditer(b"\r\n\r\n", sent)]
    drawn = random.Random(len(sent))
    return cut(sent, [end + drawn.randrange(-1, 6) for end in ends])


def cut(sent: bytes, places: list[int]) -> list[bytes]:
    found = sorted(place for place in {0, *places, len(sent)} if 0 <= place <= len(sent))
    return [sent[a:b] for a, b in pairwise(found)]


@pytest.mark.parametrize("split", [whole, bytewise, at_random, around_blanks])
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
    read_again = sum(UPGRADE in sent for sent, _ in requests)
    assert parsed.total() == len(requests) + read_again


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


DECIDED = b"/api/tracking/event/match-decision"
SMUGGLED = post(b"", path=b"/api/tracking/consent?user_id=u1&improvement=true")


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0, anything"])
@pytest.mark.parametrize("at_once", [True, False])
def test_wish_for_another_protocol_is_ignored_and_the_body_counts(
    settings: Settings, parsed: Counter[Any], *, protocol: bytes, at_once: bool
) -> None:
    upgrade = UPGRADE.replace(b"h2c", protocol)
    known = proposed()
    batch = [json.dumps({**proposed(), "type": "match_proposed"}).encode() for _ in range(3)]
    consent = b"/api/tracking/consent?user_id=u2&analytics=true"
    events = b"/api/tracking/events"
    requests = [
        post(json.dumps(known).encode(), more=upgrade),
        post(json.dumps(known).encode(), path=ROUTE + b"?match_score=0.9"),
        post(json.dumps(known).encode(), path=ROUTE + b"?match_score=0.9", more=upgrade),
        post(b"\n".join(batch), path=events, more=upgrade).replace(b"/json", b"/x-ndjson"),
        post(b"[" + b",".join(batch) + b"]", path=events, more=upgrade),
        post(b'{"analytics":false}', path=consent, more=upgrade),
        post(SMUGGLED, more=upgrade),
        post(GET[:20], more=upgrade),
        GET,
    ]

    async def trial() -> Wire:
        async with wires(settings) as connect:
            wire = connect()
            for count, sent in enumerate(requests, 1):
                head, _, body = sent.partition(b"\r\n\r\n")
                await wire.receive(*([sent] if at_once else [head + b"\r\n\r\n", body or b"\r\n"]))
                await until(lambda count=count: len(wire.statuses) == count)  # type: ignore[misc]
            return wire

    with client_of(settings) as client:
        allow(client)
    wire = asyncio.run(trial())

    assert wire.statuses == [200, 200, 200, 200, 200, 200, 422, 422, 200]
    assert [json.loads(wire.answers[n].partition(b"\r\n\r\n")[2])["stored"] for n in (3, 4)] == [
        3,
        0,
    ]
    assert b'"analytics":false' in wire.answers[5]
    with client_of(settings) as client:
        options = client.get("/api/tracking/consent/u1").json()["options"]
    assert options == {"analytics": True, "preferences": False, "improvement": False}


@pytest.mark.parametrize("target", [b"a.example:80", b"/health"])
def test_tunnel_is_refused_and_nothing_of_it_is_read(settings: Settings, target: bytes) -> None:
    async def trial() -> list[int]:
        async with wires(settings) as connect:
            wire = connect()
            await wire.receive(b"CONNECT %b HTTP/1.1\r\n%b" % (target, HOST) + b"\r\n" + GET, GET)
            await until(wire.is_closing)
            return wire.statuses

    assert asyncio.run(trial()) == [400]


def test_key_that_is_revoked_while_a_body_comes_stores_nothing(
    settings: Settings, engine: Engine
) -> None:
    batch = json.dumps([{**proposed(), "type": "match_proposed"}]).encode()
    grant = b'{"user_id":"u1","improvement":true}'
    bodies = {
        ROUTE: event(),
        b"/api/tracking/events": batch,
        b"/api/tracking/consent": grant,
    }
    with client_of(settings) as client:
        allow(client)
    key, secret = api_keys.create(engine, settings.keys, "one", {Scope.INGEST}, datetime.now(UTC))
    header = b"X-API-Key: %b\r\n" % secret.encode()

    async def trial() -> None:
        async with wires(settings) as connect:
            begun = []
            for path, body in bodies.items():
                begun.append(connect())
                await begun[-1].receive(post(body, path=path, more=header)[:-1])
            known = connect()
            await known.receive(post(event(), more=header))
            await until(lambda: known.statuses == [200])
            api_keys.revoke(engine, settings.keys, key.key_id, datetime.now(UTC))
            while known.statuses[-1] != 401:
                asked = len(known.statuses)
                await known.receive(post(b"{}", more=header))
                await until(lambda: len(known.statuses) > asked)  # noqa: B023
            for wire, body in zip(begun, bodies.values(), strict=True):
                await wire.receive(body[-1:])
            await until(lambda: all(wire.statuses for wire in begun))
            assert [wire.statuses for wire in begun] == [[401]] * 3

    asyncio.run(trial())
    assert count_stored(engine) == (1, 1)


def test_event_that_fails_unforeseen_is_answered_and_keeps_no_place(settings: Settings) -> None:
    def fail(*_: Any) -> Any:
        raise KeyError("canary")

    async def trial() -> list[int]:
        async with wires(settings) as connect:
            wire = connect()
            patch = pytest.MonkeyPatch()
            patch.setattr(EventRoute, "prepare", fail)
            for number in range(100):
                if number == 99:
                    patch.undo()
                await wire.receive(post(event()))
                await until(lambda number=number: len(wire.statuses) > number)  # type: ignore[misc]
            return wire.statuses

    with client_of(settings) as client:
        allow(client)
    assert asyncio.run(trial()) == [503] * 99 + [200]


def test_event_whose_body_took_long_is_not_told_that_the_database_did(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "DEADLINE_SECONDS", 30.0)

    async def trial() -> list[int]:
        async with wires(settings) as connect:
            wire, sent = connect(), post(event())
            await wire.receive(sent[:-1])
            wire.protocol.cycle._begun -= 60.0
            with held_up(wire.protocol.door.service.committer):
                await wire.receive(sent[-1:])
                await asyncio.sleep(0.3)
            await until(lambda: bool(wire.statuses))
            return wire.statuses

    with client_of(settings) as client:
        allow(client)
    assert asyncio.run(trial()) == [200]
