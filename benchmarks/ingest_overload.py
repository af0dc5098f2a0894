"""What a flood and slow clients do to everybody else's requests, in one run.

``python -m benchmarks.ingest_overload [--size small]`` starts a server on loopback in a
directory of its own and sends normal traffic: 16 connections, each pausing 50 ms on average
between requests. Its p99 is measured alone, beside floods that never pause, of single events
over 160 connections and of batches of 1,000 over 20, and beside 500 connections that never
finish their request; rounds are interleaved and medians taken.

Then the traffic itself is too much: the rated load, 64 connections that never pause, and ten times
as many. Of these the p99 is that of the requests that were accepted.

All processes share the machine, so that a flood also takes processor time from the client that
measures. How much that alone costs is measured as well: beside the same flood of a server of
its own that does nothing. Both ratios are printed, to normal traffic alone and to normal traffic
beside that flood; the second is what the server has to answer for. Ten times the normal traffic,
beside slow clients, leaves the processors idle at times: there the first ratio counts.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks.ingest import Target, serve_ours, serve_peer
from benchmarks.ingest_load import BEGUN, singles
from benchmarks.publishing import Cell, Result, Rows, Size, add_size, bars, publish
from schemas.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NORMAL_CONNECTIONS, NORMAL_PAUSE = 16, 0.05
FLOOD_CONNECTIONS, SLOW_CONNECTIONS = 160, 500
RATED_CONNECTIONS = 64
BATCH_CONNECTIONS, BATCH_EVENTS = 20, 1_000
_TENTH = 10
_DIFFERENT = 4_000
"""Single requests that a load makes before it begins; it sends them again and again."""
_DIFFERENT_BATCHES = 20
_LONGER_SECONDS = 2.0
"""A flood lasts so much longer than the normal traffic beside it, whose start takes a while."""
_RESET_PEAK = "5"
_UNFINISHED = (
    b"POST ",
    b"POST /api/tracking/event/match-viewed HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
    b"POST /api/tracking/event/match-viewed HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n{",
)


@dataclass(frozen=True)
class Situation:
    """What traffic met, normal traffic beside something else: medians of the rounds.

    ``first_ms`` is the median of a connection's first request, which comes after the others of
    its caller and is in neither of the two; ``refused`` counts requests that were not
    acknowledged, in all rounds; ``acknowledged`` and ``shed`` requests of the flood.
    """

    p50_ms: float
    p99_ms: float
    first_ms: float
    refused: int
    acknowledged: int = 0
    shed: int = 0


@dataclass(frozen=True)
class Overload:
    """What a server did under floods and slow clients.

    Attributes:
        alone: Normal traffic and nothing else.
        idle_flood: Beside a flood of another server that does nothing.
        flood: Beside a flood of single events.
        batch_flood: Beside a flood of batches.
        slow: Beside connections that never finish their request.
        busy: Beside those and ten times as much normal traffic.
        rated: The rated load; its ``p99_ms`` is of what was accepted.
        tenfold: Ten times the rated load, likewise.
        memory_growth: Largest resident memory in any situation, to that at a tenth of the floods.
        healthy_seconds: From the end of a flood until the server calls itself ready and
            acknowledges an event; the longest.
    """

    alone: Situation
    idle_flood: Situation
    flood: Situation
    batch_flood: Situation
    slow: Situation
    busy: Situation
    rated: Situation
    tenfold: Situation
    memory_growth: float
    healthy_seconds: float

    @property
    def worst_to_alone(self) -> float:
        """Largest p99 beside anything, to that alone."""
        return self._worst / self.alone.p99_ms

    @property
    def worst_to_idle_flood(self) -> float:
        """Largest p99 beside anything, to that beside a flood of a server that does nothing."""
        return self._worst / self.idle_flood.p99_ms

    @property
    def busy_to_alone(self) -> float:
        """The p99 beside ten times the traffic and slow clients, to that alone."""
        return self.busy.p99_ms / self.alone.p99_ms

    @property
    def tenfold_to_rated(self) -> float:
        """The p99 of what is accepted of ten times the rated load, to that at the rated load."""
        return self.tenfold.p99_ms / self.rated.p99_ms

    @property
    def _worst(self) -> float:
        return max(one.p99_ms for one in (self.flood, self.batch_flood, self.slow))


def overload(home: Path, url: str | None = None, *, seconds: float, rounds: int) -> Overload:
    """Serve in a new home on loopback, overload the server, and return what normal traffic met.

    It takes about ``rounds * (8 * seconds + 16)`` seconds, and leaves no process behind.

    Args:
        home: Where the server keeps everything; made.
        url: Of its database; SQLite in the home when None.
        seconds: Of normal traffic in each situation and round.
        rounds: How often each situation is measured.

    Raises:
        SystemExit: The server did not start.
    """
    with (
        serve_ours("SmartMatch", home, url) as target,
        serve_peer("sink", home) as sink,
    ):
        return _measure(target, sink, seconds, rounds)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_size(parser)
    size = parser.parse_args().size
    seconds, rounds = (2.0, 1) if size == "small" else (6.0, 5)
    with tempfile.TemporaryDirectory(prefix="bench-overload-") as directory:
        found = overload(Path(directory) / "home", seconds=seconds, rounds=rounds)
    publish(_result(found, size))


def _measure(target: Target, sink: Target, seconds: float, rounds: int) -> Overload:
    _warm_up(target, seconds)
    before = _peak_kib(target.pid)
    beside: dict[str, Callable[[int], Any]] = {
        "alone": lambda _seed: nullcontext(dict[str, int]()),
        "idle_flood": lambda seed: _flood(sink, seconds, seed),
        "flood": lambda seed: _flood(target, seconds, seed),
        "batch_flood": lambda seed: _flood(target, seconds, seed, batch=BATCH_EVENTS),
        "slow": lambda _seed: _slow(target),
        "busy": lambda seed: _busy(target, seconds, seed),
    }
    loads = {"rated": RATED_CONNECTIONS, "tenfold": _TENTH * RATED_CONNECTIONS}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*beside, *loads)}
    healthy = peak = 0.0
    for number in range(rounds):
        for place, (name, others) in enumerate(beside.items()):
            Path(f"/proc/{target.pid}/clear_refs").write_text(_RESET_PEAK)
            with others(100 + number) as statuses:
                normal = _start(
                    target,
                    NORMAL_CONNECTIONS,
                    seconds,
                    pause=NORMAL_PAUSE,
                    seed=10 * number + place,
                )
                figures = json.loads(normal.communicate()[0])
            healthy = max(healthy, _seconds_to_health(target))
            peak = max(peak, _peak_kib(target.pid))
            found[name].append(figures | {"flood": statuses})
        for name, connections in loads.items():
            load = _start(target, connections, seconds, seed=number)
            figures = json.loads(load.communicate()[0])
            healthy = max(healthy, _seconds_to_health(target))
            peak = max(peak, _peak_kib(target.pid))
            figures["p99_ms"] = figures["accepted_p99_ms"]
            found[name].append(figures | {"flood": {}})
    situations = {name: _situation(rows) for name, rows in found.items()}
    return Overload(**situations, memory_growth=peak / before, healthy_seconds=healthy)


def _situation(rows: list[dict[str, Any]]) -> Situation:
    floods = [row["flood"] for row in rows]
    acknowledged = sum(flood.get("200", 0) for flood in floods)
    return Situation(
        p50_ms=statistics.median(row["p50_ms"] for row in rows),
        p99_ms=statistics.median(row["p99_ms"] for row in rows),
        first_ms=statistics.median(row["first_ms"] for row in rows),
        refused=sum(row["requests"] - row["statuses"].get("200", 0) for row in rows),
        acknowledged=acknowledged,
        shed=sum(sum(flood.values()) for flood in floods) - acknowledged,
    )


def _warm_up(target: Target, seconds: float) -> None:
    """Send a tenth of both floods."""
    loads = [
        _start(target, FLOOD_CONNECTIONS // _TENTH, seconds),
        _start(target, BATCH_CONNECTIONS // _TENTH, seconds, batch=BATCH_EVENTS),
    ]
    for load in loads:
        load.communicate()


def _start(
    target: Target,
    connections: int,
    seconds: float,
    *,
    pause: float = 0.0,
    batch: int = 0,
    seed: int = 0,
) -> subprocess.Popen[str]:
    """Start a load, and return when it begins to send."""
    requests = _DIFFERENT_BATCHES if batch else _DIFFERENT
    command = [sys.executable, "-m", "benchmarks.ingest_load", "--port", str(target.port)]
    command += ["--connections", str(connections), "--seconds", str(seconds), "--again"]
    command += ["--pause", str(pause), "--seed", str(seed), "--batch", str(batch)]
    command += ["--requests", str(requests), "--tell"]
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    if process.stdout is None or process.stdout.readline().strip() != BEGUN:
        raise SystemExit("a load did not begin")
    return process


@contextmanager
def _flood(
    target: Target, seconds: float, seed: int, *, batch: int = 0, pause: float = 0.0
) -> Iterator[dict[str, int]]:
    """Flood a server; afterwards there are in what is yielded the flood's replies by status."""
    connections = BATCH_CONNECTIONS if batch else FLOOD_CONNECTIONS
    longer = seconds + _LONGER_SECONDS
    process = _start(target, connections, longer, pause=pause, batch=batch, seed=seed)
    statuses: dict[str, int] = {}
    try:
        yield statuses
    finally:
        statuses.update(json.loads(process.communicate()[0])["statuses"])


@contextmanager
def _slow(target: Target) -> Iterator[dict[str, int]]:
    with ExitStack() as held:
        for number in range(SLOW_CONNECTIONS):
            connection = socket.create_connection(("127.0.0.1", target.port))
            held.enter_context(connection)
            connection.sendall(_UNFINISHED[number % len(_UNFINISHED)])
        yield {}


@contextmanager
def _busy(target: Target, seconds: float, seed: int) -> Iterator[dict[str, int]]:
    with _slow(target), _flood(target, seconds, seed, pause=NORMAL_PAUSE) as statuses:
        yield statuses


def _seconds_to_health(target: Target) -> float:
    """Return how long it takes until the server is ready and acknowledges an event."""
    begun = time.perf_counter()
    event = singles(1, 0)[0]
    path, content = event.split(b" ", 2)[1].decode(), event.partition(b"\r\n\r\n")[2]
    headers = {"content-type": "application/json"}
    with httpx.Client(base_url=f"http://127.0.0.1:{target.port}", timeout=30) as client:
        while True:
            with suppress(httpx.HTTPError):
                ready = client.get("/ready").is_success
                if ready and client.post(path, content=content, headers=headers).is_success:
                    return time.perf_counter() - begun
            time.sleep(0.05)


def _peak_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


_HONEST = (
    "A flood takes processor time from the client that measures, too: see the ratio to normal "
    "traffic beside the same flood of another server that does nothing."
)
_NAMES = {
    "alone": "alone",
    "idle_flood": "beside a flood of another, idle server",
    "flood": "beside a flood of single events",
    "batch_flood": "beside a flood of batches",
    "slow": "beside slow clients",
    "busy": "beside slow clients and ten times the traffic",
}
_LOADS = {"rated": "the rated load", "tenfold": "ten times the rated load"}


def _result(found: Overload, size: Size) -> Result:
    situations: dict[str, Situation] = {
        name: getattr(found, field) for field, name in _NAMES.items()
    }
    rows: list[dict[str, Cell]] = [
        {
            "normal traffic": name,
            "p50 ms": one.p50_ms,
            "p99 ms": one.p99_ms,
            "first ms": one.first_ms,
            "p99 to alone": one.p99_ms / found.alone.p99_ms,
            "to idle flood": one.p99_ms / found.idle_flood.p99_ms,
            "refused": one.refused,
            "flood": one.acknowledged,
            "shed": one.shed,
        }
        for name, one in situations.items()
    ]
    loads: list[dict[str, Cell]] = [
        {
            "load": name,
            "p50 ms": one.p50_ms,
            "p99 ms of accepted": one.p99_ms,
            "to the rated load": one.p99_ms / found.rated.p99_ms,
            "refused": one.refused,
        }
        for name, one in ((name, getattr(found, field)) for field, name in _LOADS.items())
    ]
    ratios = {name: one.p99_ms / found.alone.p99_ms for name, one in situations.items()}
    return Result(
        name="ingest_overload",
        title="Ingest beside floods and beside slow clients",
        size=size,
        tables=[Rows(rows), Rows(loads, "More than can be taken:")],
        draw=bars(ratios, "p99 of normal traffic, to its p99 alone"),
        notes=[
            _HONEST,
            f"Memory grew at most {found.memory_growth:.3f} times.",
            f"Healthy at most {found.healthy_seconds:.2f} s after a flood.",
        ],
        packages=("fastapi", "uvicorn", "msgspec"),
    )


if __name__ == "__main__":
    main()
