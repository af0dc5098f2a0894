"""Who connects after many is served among them, not after them."""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.serving import server_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.serving import Server

MANY = 300
PAGE = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.fixture
def server(settings: Settings, engine: Engine, tmp_path: Path) -> Iterator[Server]:
    engine.dispose()
    with server_of(settings, tmp_path / "log") as server:
        yield server


def test_who_connects_after_many_that_ask_for_pages_does_not_wait_for_all_of_them(
    server: Server,
) -> None:
    httpx.get(f"{server.url}/openapi.json", timeout=30)
    with ExitStack() as held:
        flood = []
        for _ in range(MANY):
            one = held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            one.sendall(PAGE)
            flood.append(one)

        assert httpx.get(f"{server.url}/health", timeout=30).status_code == 200

        poll = select.poll()
        for one in flood:
            poll.register(one, select.POLLIN)
        answered = len(poll.poll(0))
    assert answered < MANY * 2 / 3
