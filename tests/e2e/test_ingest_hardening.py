"""The server as a process: slow clients, huge and broken bodies, a locked database, signals."""

from __future__ import annotations

import gzip
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from schemas.events import ROUTES
from schemas.settings import Settings
from tests.serving import Server, allow, proposed, server_of
from warehouse.engine import connect, create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator


PROPOSED = "/api/tracking/event/match-proposed"
BATCH = "/api/tracking/events"
BODIES = [
    "/api/tracking/consent",
    *(f"/api/tracking/event/{name}" for name in ROUTES),
    BATCH,
    "/api/privacy/erasure",
    "/api/privacy/export",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with short deadlines, for trials that leave it as it was."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(
        home=home, header_timeout_seconds=1, body_timeout_seconds=1, max_body_bytes=1 << 20
    )
    engine = connect(settings.url)
    create_tables(engine)
    engine.dispose()
    with server_of(settings, home / "server.log") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as called:
        allow(called)
        yield called


def raw(server: Server, *parts: bytes, wait: float = 5.0) -> bytes:
    """Send bytes as they are and return what comes back until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait) as connection:
        received = b""
        try:
            for part in parts:
                connection.sendall(part)
            while chunk := connection.recv(65_536):
                received += chunk
                if b"\r\n\r\n" in received and b"detail" in received:
                    break
        except OSError:
            pass
        return received


def test_slow_clients_are_closed_and_do_not_disturb_others(
    server: Server, client: httpx.Client
) -> None:
    heads = [b"POST ", b"POST /x HTTP/1.1\r\nHost: a\r\nX-Slow: ", _head(PROPOSED, 1_000), b""]
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    for number, connection in enumerate(slow):
        connection.sendall(heads[number % len(heads)])

    begun = time.monotonic()
    statuses = {client.post(PROPOSED, json=proposed()).status_code for _ in range(50)}
    open_until = time.monotonic() + 15
    dribbled = 0
    while slow and time.monotonic() < open_until:
        time.sleep(0.2)
        dribbled += 1
        slow = [connection for connection in slow if _is_open(connection)]

    assert statuses == {200}
    assert slow == []
    assert time.monotonic() - begun < 15


def _is_open(connection: socket.socket) -> bool:
    """Send one more byte, as a slow client does, and tell whether the server still listens."""
    connection.settimeout(0.001)
    try:
        connection.sendall(b"a")
        if connection.recv(1) == b"":
            return False
    except TimeoutError:
        return True
    except OSError:
        return False
    return True


def _head(path: str, length: int, extra: str = "") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n{extra}\r\n"
    ).encode()


@pytest.mark.parametrize("path", BODIES)
def test_body_beyond_the_limit_is_413_announced_or_not(server: Server, path: str) -> None:
    announced = raw(server, _head(path, (1 << 20) + 1))
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    head = _head(path, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    chunked = raw(server, head, *[chunk] * 17)

    assert announced.startswith(b"HTTP/1.1 413 ")
    assert chunked.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("path", BODIES)
def test_compressed_bodies_are_refused_unopened(client: httpx.Client, path: str) -> None:
    bomb = gzip.compress(b"0" * 10_000_000)

    answer = client.post(
        path,
        content=bomb,
        headers={"content-encoding": "gzip", "content-type": "application/json"},
    )

    assert answer.status_code == 415


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_body_that_a_foreign_page_could_send_is_refused(
    client: httpx.Client, path: str, kind: str
) -> None:
    answer = client.post(path, content=b'{"user_id":"u1"}', headers={"content-type": kind})

    assert answer.status_code == 415


BROKEN = [
    b"{",
    b"[",
    b"]",
    b'"',
    b"nul",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"-",
    b"01",
    b"0x1",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"{}{}",
    b'{"a":1,}',
    b'{"user_id":"\\ud800"}',
    b'{"user_id":"\\udc00\\ud800"}',
    b'{"user_id":"\xed\xa0\x80"}',
    b'{"user_id":"\xc0\x80"}',
    b'{"user_id":"\\u0000"}',
    b'{"user_id":NaN}',
    b'{"match_score":1e400}',
    b'{"alternatives_count":18446744073709551616}',
    b'{"rating":1' + b"0" * 10_000 + b"}",
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000,
    b'{"user_id":' + b"[" * 100_000,
    b'{"match_parameters":' + b'{"a":' * 100_000,
    b"[[[]]]",
    b'[{"type":[]}]',
    b'[{"type":"match_proposed","user_id":{}}]',
    b"[null]",
    b"null",
    b"1",
    b"true",
    b'"text"',
    b"[1,2,3]",
    b'{"user_id":null}',
    b'{"user_id":["u1"]}',
    b'{"user_id":"u1","analytics":"yes please"}',
    b'{"user_id":"' + b"x" * 500_000 + b'"}',
]


@pytest.mark.parametrize("path", BODIES)
def test_broken_bodies_are_4xx_and_their_content_is_never_repeated(
    client: httpx.Client, path: str
) -> None:
    for body in BROKEN:
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        known = path == BATCH and answer.status_code == 200
        assert known or 400 <= answer.status_code < 500, (body[:40], answer.status_code)
        assert "\x00" not in answer.text
        assert len(answer.content) < 2_000


def test_query_is_bounded_and_its_nonsense_is_4xx(client: httpx.Client) -> None:
    for query in (
        "user_id=%ff",
        "user_id=%&a=1",
        "user_id=a&user_id=b",
        "match_score=nan",
        "match_score=1e999",
        "match_score=1_0",
        "match_parameters=[",
        "match_parameters=" + "[" * 20_000,
        "reasons=[",
        "=1",
        "&&&",
        "a=1",
        "&".join(f"user_id={n}" for n in range(2_000)),
        "occurred_at=now",
        "alternatives_count=٣",
        "\xe9=1",
    ):
        for path in BODIES[:-2]:
            answer = client.post(f"{path}?{query}", json={})
            assert 400 <= answer.status_code < 500, (path, query[:40], answer.status_code)


def test_logs_hold_no_id_no_query_and_no_forged_line(server: Server, client: httpx.Client) -> None:
    canary = "canary-8472"
    for path in (*BODIES, f"/api/tracking/consent/{canary}", f"/{canary}", f"/api/runs/{canary}"):
        client.post(path, params={"user_id": canary}, json={"user_id": canary, "match_id": canary})
        client.get(path, params={"user_id": canary}, headers={"user-agent": canary})
    raw(server, f"{canary} / HTTP/1.1\r\n\r\n".encode(), wait=1)
    raw(server, f"GET /{canary}\r\n{canary}\r\n\r\n".encode(), wait=1)
    time.sleep(0.5)

    lines = server.log.read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    assert canary not in server.log.read_text()
    assert len(logged) > 20
    assert {line["log"] for line in logged} <= {
        "access",
        "smartmatch",
        "smartmatch.committer",
        "uvicorn.error",
    }


def _request(body: dict[str, Any], extra: str = "") -> bytes:
    content = json.dumps(body).encode()
    return _head(PROPOSED, len(content), extra) + content


def test_requests_sent_without_waiting_are_answered_in_their_order(
    server: Server, client: httpx.Client
) -> None:
    bodies = [proposed() for _ in range(5)]
    bodies[2]["match_score"] = 7
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"".join(_request(body) for body in bodies))
        received = b""
        while received.count(b"HTTP/1.1 ") < 5 or not received.endswith(b"}"):
            received += connection.recv(65_536)

    answers = received.split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"200", b"422", b"200", b"200"]
    for number in (0, 1, 3, 4):
        assert bodies[number]["event_id"].encode() in answers[number]


def test_connection_is_closed_when_the_client_asks_for_it(
    server: Server, client: httpx.Client
) -> None:
    received = raw(server, _request(proposed(), "Connection: close\r\n"))

    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in received


@pytest.mark.parametrize("extra", ["Expect: 100-continue\r\n", "Transfer-Encoding: identity\r\n"])
def test_odd_requests_take_the_longer_way_to_the_same_reply(
    server: Server, client: httpx.Client, extra: str
) -> None:
    received = raw(server, _request(proposed(), extra), wait=2)

    assert b"HTTP/1.1 200 OK" in received or received.startswith(b"HTTP/1.1 400")


def test_both_ways_to_an_event_route_give_the_same_replies(
    server: Server, client: httpx.Client
) -> None:
    long_way = {"origin": server.url}  # a page of this server itself: not the short way
    stored = proposed()
    for body in (
        stored,
        stored,
        {**stored, "match_score": 0.9},
        {"x": 1},
        proposed(user_id="nobody"),
    ):
        short = client.post(PROPOSED, json=body)
        again = client.post(PROPOSED, json=body, headers=long_way)
        assert (short.status_code, short.content) == (again.status_code, again.content)
        assert short.headers["content-type"] == again.headers["content-type"]
