"""Writers that send what was not answered again, and a server that dies under them."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

import httpx

from tests.serving import allow, proposed

if TYPE_CHECKING:
    from tests.faults.processes import ForkedServer

WRITERS = 8


class Writer(threading.Thread):
    """Sends events one by one and in batches, and sends again what was not answered."""

    def __init__(self, port: int, seed: int, pause_seconds: float = 0.0) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._pause_seconds = pause_seconds
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
            if self._pause_seconds:
                self._stop_now.wait(self._pause_seconds)

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


def started(server: ForkedServer, count: int = WRITERS, pause_seconds: float = 0.0) -> list[Writer]:
    """Start a server, let its one person consent, and start writers."""
    server.start()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        allow(client)
    writers = [Writer(server.port, seed, pause_seconds) for seed in range(count)]
    for writer in writers:
        writer.start()
    return writers


def stopped(writers: list[Writer]) -> set[uuid.UUID]:
    """Stop writers, and return what was acknowledged to them."""
    for writer in writers:
        writer.stop()
    return set().union(*(writer.acknowledged for writer in writers))


def lose_power(server: ForkedServer, kills: int) -> set[uuid.UUID]:
    """Kill a server again and again under load, and return what it acknowledged."""
    writers = started(server)
    chance = random.Random(kills)
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 0.5))
        server.kill()
        server.start()
    time.sleep(0.2)
    server.kill()
    return stopped(writers)
