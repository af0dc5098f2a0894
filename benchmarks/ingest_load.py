"""Load for the ingest benchmark, from a process of its own: prints one line of JSON.

Each connection keeps one request under way. Requests are made before the clock starts, so that
what is measured is the server.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import re
import statistics
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import uvloop

if TYPE_CHECKING:
    from collections.abc import Iterable

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
BEGUN = "begun"
ACCEPTED = 200
USERS = 1_000
"""People whose consent is recorded before a measurement."""


def singles(count: int, seed: int) -> list[bytes]:
    """Return requests for the five event routes as a user of the first module sends them."""
    rng = random.Random(seed)
    return [_single(rng, number) for number in range(count)]


def _single(rng: random.Random, number: int) -> bytes:
    who: dict[str, Any] = {"user_id": user(rng.randrange(USERS)), "match_id": f"match-{number}"}
    kind = rng.choices(range(5), (40, 30, 20, 5, 5))[0]
    body: dict[str, Any] = {}
    if kind == 0:
        route = "match-proposed"
        who |= {"match_score": 0.83, "alternatives_count": 5, "session_id": f"s-{number % 97}"}
        body = {
            "match_parameters": {"distance": 12.5, "side": 0},
            "constraint_satisfaction": {"skills": 0.9, "location": 0.7, "salary": 0.4},
        }
    elif kind == 1:
        route = "match-viewed"
        who |= {"view_duration_seconds": 12.4, "view_complete": True}
    elif kind == 2:
        route = "match-decision"
        who |= {"decision": rng.random() < 0.5, "decision_time_seconds": 40.5}
        body = {"reasons": ["close to home"]}
    elif kind == 3:
        route = "match-feedback"
        who |= {"rating": 4, "feedback_text": "A good conversation."}
        body = {"specific_aspects": {"communication": 5, "relevance": 4}}
    else:
        route = "match-completed"
        who |= {"completed": True, "duration_days": 90, "completion_rate": 1.0}
        body = {"success_indicators": {"goals": 3.0}}
    return _post(f"/api/tracking/event/{route}?{urlencode(who)}", body)


def batches(
    count: int, size: int, seed: int, *, ndjson: bool = False, named: bool = True
) -> list[bytes]:
    """Return requests with many events each, every event with an id of its own if ``named``."""
    rng = random.Random(seed)
    return [
        _batch([event(rng, named=named) for _ in range(size)], ndjson=ndjson) for _ in range(count)
    ]


def event(rng: random.Random, *, named: bool = True) -> dict[str, Any]:
    """Return an event of a batch: a view, a decision or a proposal."""
    number = rng.getrandbits(62)
    common = {"user_id": user(rng.randrange(USERS)), "match_id": f"match-{number}"}
    if named:
        common["event_id"] = str(_time_ordered(rng))
    kind = rng.randrange(3)
    if kind == 0:
        return {"type": "match_viewed", **common, "view_duration_seconds": 12.4}
    if kind == 1:
        return {"type": "match_decision", **common, "decision": True, "decision_time_seconds": 4.0}
    return {
        "type": "match_proposed",
        **common,
        "match_score": 0.83,
        "alternatives_count": 5,
        "match_parameters": {"distance": 12.5, "side": 0},
        "constraint_satisfaction": {"skills": 0.9, "location": 0.7, "salary": 0.4},
    }


def user(number: int) -> str:
    """Name a person of the benchmark."""
    return f"person-{number:04}"


def _time_ordered(rng: random.Random) -> uuid.UUID:
    number = (time.time_ns() // 1_000_000) << 80 | rng.getrandbits(80)
    number = number & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=number & ~(0x3 << 62) | 0x2 << 62)


def _batch(events: list[dict[str, Any]], *, ndjson: bool) -> bytes:
    if not ndjson:
        return _post("/api/tracking/events", events)
    lines = "\n".join(json.dumps(one) for one in events).encode()
    return _request("/api/tracking/events", lines, "application/x-ndjson")


def _post(path: str, body: Any) -> bytes:
    return _request(path, json.dumps(body).encode(), "application/json")


def _request(path: str, content: bytes, content_type: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: benchmark\r\nAccept: */*\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


@dataclass
class Tally:
    """What came back, and how long it took.

    ``first`` holds the seconds of each connection's first request where it pauses, ``accepted``
    those of all others that were answered 200, ``seconds`` those of all others.
    """

    statuses: dict[int, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)


class _Connection(asyncio.Protocol):
    def __init__(
        self, requests: Any, tally: Tally, deadline: float, pause: float, done: Any
    ) -> None:
        self._pause = pause
        self._requests = requests
        self._tally = tally
        self._deadline = deadline
        self._done = done
        self._buffer = b""
        self._sent_at = 0.0
        self._known = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        self._done.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = _LENGTH.search(self._buffer, 0, head)
        if length is None or len(self._buffer) < head + 4 + int(length.group(1)):
            return
        now = time.perf_counter()
        status = int(self._buffer[9:12])
        self._tally.statuses[status] = self._tally.statuses.get(status, 0) + 1
        # Traffic that pauses keeps its connections open for hours, not for a benchmark's seconds:
        # there the first requests would be the slowest hundredth.
        newcomer, self._known = self._pause and not self._known, True
        (self._tally.first if newcomer else self._tally.seconds).append(now - self._sent_at)
        if status == ACCEPTED and not newcomer:
            self._tally.accepted.append(now - self._sent_at)
        self._buffer = b""
        if self._pause:
            # Not all at once, and not in step with the server.
            pause = random.uniform(0, 2 * self._pause)
            asyncio.get_running_loop().call_later(pause, self._send)
        else:
            self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        request = next(self._requests, None) if self._sent_at < self._deadline else None
        if request is None:
            self._transport.close()
            return
        self._transport.write(request)


async def run(
    port: int, requests: Iterable[bytes], connections: int, seconds: float, pause: float = 0.0
) -> dict[str, Any]:
    """Send requests until they or the time run out, and return the figures.

    Args:
        port: On loopback.
        requests: As bytes.
        connections: Each has one request under way.
        seconds: Longest time.
        pause: Mean time between a reply and the next request of a connection, seconds.
    """
    loop = asyncio.get_running_loop()
    tally = Tally()
    supply = iter(requests)
    begun = time.perf_counter()
    waiting = []
    for _ in range(connections):
        done = asyncio.Event()
        waiting.append(done.wait())
        await loop.create_connection(
            lambda done=done: _Connection(supply, tally, begun + seconds, pause, done),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
    await asyncio.gather(*waiting)
    elapsed = time.perf_counter() - begun
    times, accepted = sorted(tally.seconds), sorted(tally.accepted)
    return {
        "seconds": elapsed,
        "requests": sum(tally.statuses.values()),
        "statuses": tally.statuses,
        "p50_ms": times[len(times) // 2] * 1_000,
        "p99_ms": times[int(len(times) * 0.99)] * 1_000,
        "accepted_p99_ms": accepted[int(len(accepted) * 0.99)] * 1_000 if accepted else 0.0,
        "first_ms": statistics.median(tally.first or [0.0]) * 1_000,
    }


def main() -> None:
    """Run one load as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--ndjson", action="store_true")
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument(
        "--again", action="store_true", help="Send the requests again and again, without ids."
    )
    parser.add_argument("--tell", action="store_true", help="Print a line before the first.")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.batch:
        requests = batches(
            given.requests, given.batch, given.seed, ndjson=given.ndjson, named=not given.again
        )
    else:
        requests = singles(given.requests, given.seed)
    if given.tell:
        print(BEGUN, flush=True)
    supply = itertools.cycle(requests) if given.again else requests
    load = run(given.port, supply, given.connections, given.seconds, given.pause)
    print(json.dumps(uvloop.run(load)))


if __name__ == "__main__":
    main()
