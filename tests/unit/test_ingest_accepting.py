"""Many who ask at once, strangers among them, keep nobody else waiting."""

from __future__ import annotations

import asyncio
import select
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import pytest

from ingest.service import Service
from schemas.errors import NotReady
from tests.serving import server_of
from warehouse import consents, queue
from warehouse.engine import reading
from warehouse.keyfile import make_ring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine

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


def test_many_who_ask_at_once_whether_the_server_is_ready_share_a_write(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ring(settings.keys, 0)
    service = Service(settings)

    async def ask() -> list[bool]:
        await asyncio.gather(*(service.check_ready() for _ in range(64)))
        monkeypatch.setattr(queue, "probe", _fail)
        asked = (service.check_ready() for _ in range(64))
        found = await asyncio.gather(*asked, return_exceptions=True)
        return [isinstance(error, NotReady) for error in found]

    told = asyncio.run(ask())
    service.close()

    with reading(engine) as connection:
        assert consents.counters(connection)["probe"] == 1
    assert told == [True] * 64


def _fail(_connection: Connection) -> None:
    raise NotReady("the database takes no writes")
