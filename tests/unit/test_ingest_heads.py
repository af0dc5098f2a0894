"""What a request's head must be: a host, a path, a type and a coding that leave no doubt."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.serving import allow, client_of, proposed
from tests.wire import until, wires
from warehouse import api_keys
from warehouse.api_keys import Scope
from warehouse.keyfile import make_ring

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.settings import Settings

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ROUTE = b"/api/tracking/event/match-proposed"
BATCH = b"/api/tracking/events"
LOCAL = b"Host: 127.0.0.1\r\n"
EVIL = b"Host: evil.example\r\n"
MALFORMED = b'{"detail":"The request is not valid HTTP"}'


def get(path: bytes, hosts: bytes = LOCAL, version: bytes = b"1.1") -> bytes:
    return b"GET %b HTTP/%b\r\n%b\r\n" % (path, version, hosts)


def post(path: bytes, more: bytes = LOCAL, kind: bytes = b"application/json") -> bytes:
    body = json.dumps(proposed()).encode()
    head = b"POST %b HTTP/1.1\r\n%bContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (path, more, kind, len(body)) + body


def chunked(path: bytes, coding: bytes) -> bytes:
    body = json.dumps(proposed()).encode()
    head = b"POST %b HTTP/1.1\r\n%bTransfer-Encoding: %b\r\n\r\n" % (path, LOCAL, coding)
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


BEGUN = b"POST %b HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n" % (BATCH, LOCAL)


def answered(settings: Settings, sent: bytes) -> bytes:
    """Return the one answer to what is sent."""

    async def trial() -> bytes:
        async with wires(settings) as connect:
            wire = connect()
            await wire.receive(sent)
            await until(lambda: bool(wire.statuses))
            await asyncio.sleep(0.01)
            (answer,) = wire.answers
            assert (b"\r\nconnection: close\r\n" in answer) == wire.is_closing()
            return answer

    with client_of(settings) as client:
        allow(client)
    return asyncio.run(trial())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (get(b"/health"), 200),
        (get(b"/health", b""), 400),
        (get(b"/health", LOCAL * 2), 400),
        (get(b"/health", LOCAL + EVIL), 400),
        (get(b"/health", b"", b"1.0"), 200),
        (get(b"/health", LOCAL, b"2.0"), 400),
        (get(b"/health", LOCAL, b"0.9"), 400),
        (b"GET /health\r\n\r\n", 400),
        (post(ROUTE), 200),
        (post(ROUTE, b""), 400),
        (post(ROUTE, LOCAL * 2), 400),
        (post(b"http://127.0.0.1" + ROUTE), 200),
        (post(b"http://localhost:8001" + ROUTE, EVIL), 200),
        (post(b"HTTPS://evil.example" + ROUTE), 401),
        (post(b"http://127.0.0.1@evil.example" + ROUTE), 401),
        (post(b"http://evil.example" + BATCH), 401),
        (get(b"http://evil.example/metrics"), 401),
        (get(b"http://127.0.0.1/metrics", EVIL), 200),
        (get(b"http://127.0.0.1?days=1"), 404),
        (get(b"http:///metrics"), 400),
        (get(b"ftp://evil.example/metrics"), 401),
        (post(b"/api/tracking/event%2Fmatch-proposed"), 404),
        (post(b"/api/tracking%2fevent/match-proposed"), 404),
        (post(b"/api%2Ftracking/events"), 404),
        (get(b"/docs%2F"), 404),
        (get(b"/api/tracking/consent%2Fu1"), 404),
        (get(b"/api/tracking/consent/u1"), 200),
        (get(b"/api/tracking/consent/u%31"), 200),
        (get(b"/api/tracking/consent/u%2F1"), 404),
        (post(b"/api/tracking/event/match%2Dproposed"), 200),
        (chunked(ROUTE, b"chunked"), 200),
        (chunked(ROUTE, b"Chunked "), 200),
        (chunked(ROUTE, b"gzip, chunked"), 415),
        (chunked(BATCH, b"gzip, chunked"), 415),
        (chunked(b"/api/tracking/consent", b"gzip\r\nTransfer-Encoding: chunked"), 415),
        (chunked(ROUTE, b"gzip"), 400),
        (chunked(ROUTE, b"chunked, identity"), 400),
        (post(ROUTE, kind=b"Application/JSON ; charset=utf-8"), 200),
        (post(ROUTE, kind=b"application/jsonp"), 415),
        (post(ROUTE, kind=b"application/json-seq; charset=utf-8"), 415),
        (post(BATCH, kind=b"application/x-ndjsonX"), 415),
        (post(b"/api/tracking/consent", kind=b"application/json5"), 415),
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n", 400),
        (post(ROUTE, LOCAL + b"Content-Length: 3\r\n"), 400),
    ],
)
def test_head_is_taken_exactly_or_refused(settings: Settings, sent: bytes, status: int) -> None:
    answer = answered(settings, sent)
    head, _, body = answer.partition(b"\r\n\r\n")

    assert int(answer[:3]) == status
    assert b"\r\ncontent-type: text/plain" not in head or status == 200
    if status == 400:
        assert body == MALFORMED
        assert b"\r\ncontent-type: application/json\r\n" in head


@pytest.mark.parametrize(("version", "statuses"), [(b"1.1", [100, 200]), (b"1.0", [200])])
def test_who_knows_no_interim_reply_gets_none(
    settings: Settings, version: bytes, statuses: list[int]
) -> None:
    sent = post(ROUTE, LOCAL + b"Expect: 100-continue\r\n").replace(b"HTTP/1.1", b"HTTP/" + version)

    async def trial() -> list[int]:
        async with wires(settings) as connect:
            wire = connect()
            await wire.receive(sent)
            await until(lambda: 200 in wire.statuses)
            return wire.statuses

    with client_of(settings) as client:
        allow(client)
    assert asyncio.run(trial()) == statuses


def test_body_that_breaks_off_into_nonsense_is_refused_once(settings: Settings) -> None:
    assert answered(settings, BEGUN + b"nonsense\r\n")[:3] == b"400"


def test_nonsense_after_an_early_refusal_is_not_answered_again(
    settings: Settings, engine: Engine
) -> None:
    make_ring(settings.keys, 0)
    api_keys.create(engine, settings.keys, "one", {Scope.INGEST}, datetime.now(UTC))

    async def trial() -> list[int]:
        async with wires(settings) as connect:
            wire = connect()
            await wire.receive(BEGUN)
            await until(lambda: bool(wire.statuses))
            await wire.receive(b"nonsense")
            await until(wire.is_closing)
            return wire.statuses

    assert asyncio.run(trial()) == [401]
