"""What a stranger or a slow client can make the server hold: heads, trailers, bodies."""

from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from schemas.settings import Settings
from tests.serving import Server, allow, proposed, server_of
from warehouse import api_keys
from warehouse.api_keys import Scope
from warehouse.engine import connect, create_tables
from warehouse.keyfile import make_ring

if TYPE_CHECKING:
    from collections.abc import Iterator

PROPOSED = "/api/tracking/event/match-proposed"
HEAD = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\n" % PROPOSED.encode()
BATCH = b"POST /api/tracking/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LINES = b"".join(b"x%d: \r\n" % number for number in range(8_000))
FEW_MIB = 12


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    """One server without keys."""
    with server_of(_settings(home), home / "server.log") as running:
        allow(httpx.Client(base_url=running.url))
        _resident_mib(running)
        yield running


def _settings(home: Path) -> Settings:
    settings = Settings(home=home)
    engine = connect(settings.url)
    create_tables(engine)
    engine.dispose()
    return settings


def _resident_mib(server: Server) -> float:
    assert server.process is not None
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def _connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def raw(server: Server, sent: bytes) -> bytes:
    """Send bytes as they are and return the reply, or nothing when the connection was reset."""
    with _connect(server) as connection:
        try:
            connection.sendall(sent)
            received = b""
            while not received.endswith(b"}") and (some := connection.recv(65_536)):
                received += some
        except ConnectionError:
            return b""
        return received


def status(reply: bytes) -> int:
    return int(reply[9:12] or 0)


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ", b"a" * 65_536),
        (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n", LINES),
        (b"GET /", b"a" * 65_536),
        (CHUNKED + b"0\r\n", LINES),
        (CHUNKED + b"0\r\nX-A: ", b"a" * 65_536),
        (CHUNKED + b"2\r\n{}\r\n0\r\n" + b"x" * 9, b"x" * 65_536),
    ],
    ids=["header", "headers", "url", "trailers", "trailer", "name of a trailer"],
)
def test_endless_head_or_trailer_is_closed_early(server: Server, begun: bytes, more: bytes) -> None:
    before = _resident_mib(server)
    sent = 0
    with _connect(server) as connection, suppress(ConnectionError):
        connection.sendall(begun)
        while sent < 30_000_000:
            connection.sendall(more)
            sent += len(more)

    assert sent < 30_000_000
    assert _resident_mib(server) < before + FEW_MIB


@pytest.mark.parametrize(
    ("head", "answered"),
    [
        (b"GET /%b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % (b"a" * 60_000), 404),
        (b"GET /%b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % (b"a" * 66_000), 431),
        (b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 99 + b"\r\n", 200),
        (b"GET /health HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 100 + b"\r\n", 431),
        (b"GET /health HTTP/1.1\r\nX: %b\r\n\r\n" % (b"a" * 66_000), 431),
        (b"NONSENSE\r\n\r\n", 400),
    ],
)
def test_head_may_be_so_large(server: Server, head: bytes, answered: int) -> None:
    assert status(raw(server, head)) in (answered, 0 if answered == 431 else answered)


def test_reply_to_a_head_that_is_too_large_is_json_and_closes(server: Server) -> None:
    reply = raw(server, b"GET /health HTTP/1.1\r\n" + b"X: a\r\n" * 101 + b"\r\n")

    assert reply.startswith(b"HTTP/1.1 431 ")
    assert b"connection: close\r\n" in reply
    assert b'{"detail":' in reply


def test_requests_in_one_breath_are_not_taken_for_a_head_that_is_too_large(
    server: Server,
) -> None:
    body = json.dumps(proposed()).encode()
    one = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    count = 600
    with _connect(server) as connection:
        connection.sendall(one * count)
        received = b""
        while received.count(b"HTTP/1.1 ") < count and (some := connection.recv(65_536)):
            received += some

    assert received.count(b"HTTP/1.1 200 ") == count


def test_floods_of_requests_ahead_keep_nobody_waiting_and_leave_nothing_behind(
    server: Server,
) -> None:
    before, slowest = _resident_mib(server), 0.0
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for _ in range(3):
            with ExitStack() as held:
                for connection in [held.enter_context(_connect(server)) for _ in range(71)]:
                    connection.setblocking(False)
                    with suppress(OSError):
                        connection.send(b"GET / HTTP/1.1\r\nHost:\r\n\r\n" * 2_600)
                for _ in range(20):
                    begun = time.monotonic()
                    assert client.post(PROPOSED, json=proposed()).status_code == 200
                    slowest = max(slowest, time.monotonic() - begun)

    assert slowest < 2
    assert _resident_mib(server) < before + FEW_MIB


def test_trailers_are_no_headers(server: Server) -> None:
    body = json.dumps(proposed()).encode()
    chunk = CHUNKED + b"%x\r\n%b\r\n0\r\n" % (len(body), body)

    assert status(raw(server, chunk + b"X-Forwarded-For: 192.0.2.1\r\n\r\n")) == 200


@contextmanager
def _many(server: Server, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    with ExitStack() as held:
        client = held.enter_context(httpx.Client(base_url=server.url, timeout=30))
        connections = [held.enter_context(_connect(server)) for _ in range(count)]
        for number, connection in enumerate(connections):
            with suppress(ConnectionError):
                connection.sendall(sent)
            if sent and not number % 10:
                client.get("/health")  # what was sent before is read by now
        time.sleep(0.5)
        yield connections


@pytest.mark.parametrize(
    "part",
    [
        HEAD + b"Content-Length: 16000\r\n\r\n" + b" " * 15_990,
        HEAD + b"X-A: " + b"a" * 40_000,
        HEAD + b"Content-Length: 60000\r\n\r\n" + b" " * 59_990,
        BATCH + b"Content-Length: 60000\r\n\r\n" + b" " * 59_990,
    ],
    ids=["short body", "head", "body", "batch"],
)
def test_unfinished_requests_of_many_are_bounded_together(server: Server, part: bytes) -> None:
    before = _resident_mib(server)

    with _many(server, 800, part):
        assert _resident_mib(server) < before + FEW_MIB
        answer = httpx.post(f"{server.url}{PROPOSED}", json=proposed(), timeout=10)

    assert answer.status_code == 200


def test_first_of_many_unfinished_requests_is_told_that_it_was_too_slow(server: Server) -> None:
    part = HEAD + b"Content-Length: 16000\r\n\r\n" + b" " * 15_990
    with _many(server, 200, part) as connections:
        reply = connections[0].recv(65_536)
        connections[-1].sendall(b" " * 10)
        last = connections[-1].recv(65_536)

    assert status(reply) == 408
    assert b"retry-after: 1\r\n" in reply
    assert reply.count(b"connection: close\r\n") == 1
    assert status(last) == 422


def test_slow_uploads_do_not_keep_batches_out(server: Server) -> None:
    batch = [proposed(type="match_proposed") for _ in range(400)]
    head = BATCH + b"Content-Length: 8000000\r\n\r\n["
    with _many(server, 1, head + b" " * 1_200_000), _many(server, 20, head + b" " * 200_000):
        statuses = [
            httpx.post(f"{server.url}/api/tracking/events", json=batch, timeout=30).status_code
            for _ in range(20)
        ]

    assert statuses == [200] * 20


def test_body_of_a_stranger_is_not_kept_and_a_key_in_a_trailer_opens_nothing(
    tmp_path: Path,
) -> None:
    settings = _settings(tmp_path)
    engine = connect(settings.url)
    make_ring(settings.keys, 0)
    _, key = api_keys.create(engine, settings.keys, "one", {Scope.INGEST}, datetime.now(UTC))
    engine.dispose()
    body = json.dumps(proposed()).encode()
    chunk = CHUNKED + b"%x\r\n%b\r\n0\r\n" % (len(body), body)
    with server_of(settings, tmp_path / "server.log") as server:
        httpx.get(f"{server.url}/docs", headers={"x-api-key": key})
        trailer = raw(server, chunk + f"X-API-Key: {key}\r\n\r\n".encode())
        before = _resident_mib(server)
        part = HEAD + b"Content-Length: 16000\r\n\r\n" + b" " * 15_990
        with _many(server, 800, part) as connections:
            grown = _resident_mib(server) - before
            connections[0].sendall(b" " * 10)
            stranger = connections[0].recv(65_536)

    assert status(trailer) == 401
    assert grown < FEW_MIB
    assert status(stranger) == 401


def test_without_a_connection_left_health_is_told_and_all_else_is_asked_to_come_back(
    tmp_path: Path,
) -> None:
    server = Server(_settings(tmp_path), tmp_path / "server.log")
    server.command = ["/bin/sh", "-c", 'ulimit -n 300; exec "$@"', "sh", *server.command]
    server.start()
    try:
        with _many(server, 180, b""):
            health = httpx.get(f"{server.url}/health")
            event = httpx.post(f"{server.url}{PROPOSED}", json=proposed())
    finally:
        server.stop()

    assert health.status_code == 200
    assert event.status_code == 503
    assert event.headers["retry-after"] == "1"
    assert event.headers["connection"] == "close"
    assert event.json() == {"detail": "Not ready, try again"}


def test_stopping_is_quiet_beside_clients_that_do_not_read(tmp_path: Path) -> None:
    settings = _settings(tmp_path).model_copy(update={"drain_seconds": 4})
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 60
    with ExitStack() as held, server_of(settings, tmp_path / "server.log") as server:
        for _ in range(4):
            connection = held.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(asked)
        answered = -1
        while answered < (answered := server.log.read_text().count("access")):
            time.sleep(1)
        server.stop()

        assert "Exception" not in server.log.read_text()
