"""What a flood and slow clients do to everybody else's requests, in one run.

``python -m benchmarks.ingest_overload [--small]`` starts a server on loopback in a directory of
its own and sends normal traffic: 16 connections, each pausing 50 ms on average between requests.
Its p99 is measured alone, beside a flood of 160 connections that never pause, and beside 500
connections that never finish their request; rounds are interleaved and medians taken. It prints
the ratios to the p99 alone, and by how much the server's memory grew during the floods.

All three processes share the machine: on two cores a flood also takes processor time from the
client that measures, so that the ratio says more than the server is to blame for.
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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.ingest import RESULTS, Target, serve_ours
from schemas.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NORMAL_CONNECTIONS, NORMAL_PAUSE = 16, 0.05
FLOOD_CONNECTIONS, SLOW_CONNECTIONS = 160, 500
_UNFINISHED = (
    b"POST ",
    b"POST /api/tracking/event/match-viewed HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
    b"POST /api/tracking/event/match-viewed HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n{",
)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="Seconds instead of minutes.")
    given = parser.parse_args()
    seconds, rounds = (2.0, 3) if given.small else (6.0, 5)
    with (
        tempfile.TemporaryDirectory(prefix="bench-overload-") as directory,
        serve_ours("SmartMatch on SQLite", Path(directory) / "home", None) as target,
    ):
        figures = _measure(target, seconds, rounds)
    report = _report(figures)
    print(report)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "ingest_overload.md").write_text(report)
    (RESULTS / "ingest_overload.json").write_text(json.dumps(figures, indent=1) + "\n")


def _measure(target: Target, seconds: float, rounds: int) -> dict[str, Any]:
    _start(target, FLOOD_CONNECTIONS, seconds, pause=0.0, seed=0).communicate()  # it warms up
    beside: dict[str, Callable[[int], Any]] = {
        "alone": lambda _seed: ExitStack(),
        "beside the flood": lambda seed: _flood(target, seconds, seed),
        "beside slow clients": lambda _seed: _slow(target),
    }
    times: dict[str, list[dict[str, Any]]] = {name: [] for name in beside}
    growth = []
    for number in range(rounds):
        for place, (name, others) in enumerate(beside.items()):
            with others(100 + number):
                before = _resident_kib(target.pid)
                normal = _start(
                    target, NORMAL_CONNECTIONS, seconds, NORMAL_PAUSE, 10 * number + place
                )
                times[name].append(json.loads(normal.communicate()[0]))
                growth.append(_resident_kib(target.pid) / before)
    medians = {
        name: {key: statistics.median(one[key] for one in found) for key in ("p50_ms", "p99_ms")}
        for name, found in times.items()
    }
    refused = {
        name: sum(one["requests"] - one["statuses"].get("200", 0) for one in found)
        for name, found in times.items()
    }
    return {"medians": medians, "refused": refused, "memory_growth": max(growth)}


def _start(
    target: Target, connections: int, seconds: float, pause: float, seed: int
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.ingest_load", "--port", str(target.port)]
    command += ["--connections", str(connections), "--seconds", str(seconds)]
    command += ["--pause", str(pause), "--seed", str(seed)]
    command += ["--requests", str(int(seconds * 20_000))]
    return subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)


@contextmanager
def _flood(target: Target, seconds: float, seed: int) -> Iterator[None]:
    process = _start(target, FLOOD_CONNECTIONS, seconds + 4, pause=0.0, seed=seed)
    time.sleep(3)  # it makes its requests before it sends the first
    try:
        yield
    finally:
        process.communicate()


@contextmanager
def _slow(target: Target) -> Iterator[None]:
    with ExitStack() as held:
        for number in range(SLOW_CONNECTIONS):
            connection = socket.create_connection(("127.0.0.1", target.port))
            held.enter_context(connection)
            connection.sendall(_UNFINISHED[number % len(_UNFINISHED)])
        yield


def _resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def _report(figures: dict[str, Any]) -> str:
    alone = figures["medians"]["alone"]["p99_ms"]
    lines = [
        "# Ingest beside a flood and beside slow clients",
        "",
        "| normal traffic | p50 ms | p99 ms | p99 to alone | refused |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {one['p50_ms']:.1f} | {one['p99_ms']:.1f} | {one['p99_ms'] / alone:.2f} |"
        f" {figures['refused'][name]} |"
        for name, one in figures["medians"].items()
    ]
    lines += ["", f"* Memory grew at most {figures['memory_growth']:.3f} times in a trial.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
