"""SIGKILL under load: what was acknowledged is there, and nothing is there twice."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
import uuid
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

import httpx
from sqlalchemy import func, select

from schemas.tables import staged
from tests.serving import Server, allow, proposed
from warehouse.audit import balance, stored_event_ids
from warehouse.engine import reading

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from sqlalchemy import Engine

    from schemas.settings import Settings

KILLS = 3
WRITERS = 6


class Writer(threading.Thread):
    """Sends events one by one and in batches, and sends again what was not answered."""

    def __init__(self, port: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._random = random.Random(seed)
        self._stop_now = threading.Event()
        self.acknowledged: set[uuid.UUID] = set()

    def stop(self) -> None:
        self._stop_now.set()
        self.join()

    def run(self) -> None:
        unanswered: list[dict[str, Any]] = []
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._stop_now.is_set():
            events = unanswered or [
                {"type": "match_proposed", **proposed(match_id=str(number))}
                for number in range(self._random.choice((1, 1, 1, 40)))
            ]
            unanswered = [] if self._send(connection, events) else events

    def _send(self, connection: HTTPConnection, events: list[dict[str, Any]]) -> bool:
        path, body = "/api/tracking/events", json.dumps(events)
        if len(events) == 1:
            path, body = "/api/tracking/event/match-proposed", json.dumps(events[0])
        try:
            connection.request("POST", path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException):
            connection.close()
            time.sleep(0.02)
            return False
        if answer.status == 200 and b'"partial"' not in content:
            self.acknowledged |= {uuid.UUID(event["event_id"]) for event in events}
            return True
        return False


def lose_power(server: Server, kills: int) -> set[uuid.UUID]:
    """Kill a server again and again under load, and return what it acknowledged."""
    server.start()
    with httpx.Client(base_url=server.url) as client:
        allow(client)
    writers = [Writer(server.port, seed) for seed in range(WRITERS)]
    for writer in writers:
        writer.start()
    chance = random.Random(kills)
    for _ in range(kills):
        time.sleep(chance.uniform(0.2, 0.6))
        server.kill()
        server.start()
    time.sleep(0.3)
    server.kill()
    for writer in writers:
        writer.stop()
    server.start()
    server.stop()
    return set().union(*(writer.acknowledged for writer in writers))


def test_every_acknowledged_event_survives_kills_and_none_is_there_twice(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    server = Server(settings, tmp_path / "server.log")

    acknowledged = lose_power(server, KILLS)

    stored = list(stored_event_ids(engine))
    with reading(engine) as connection:
        rows = connection.execute(select(func.count()).select_from(staged)).scalar_one()
    assert len(acknowledged) > 50
    assert acknowledged - set(stored) == set()
    assert len(stored) == len(set(stored)) == rows
    assert balance(engine).agrees


def test_same_loop_catches_a_server_that_acknowledges_first(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(settings, tmp_path / "server.log")
    monkeypatch.setattr(server, "command", [sys.executable, "-m", "tests.e2e.early_server"])

    acknowledged = lose_power(server, KILLS)

    assert acknowledged - set(stored_event_ids(engine)) != set()
