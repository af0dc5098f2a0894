"""p50 and p99 of each metric route through HTTP, beside few events and beside many.

``python -m benchmarks.metrics [--size small]``. Two servers run side by side on databases that the
flow's own steps filled, with ten thousand events and with ten million (small: 300 thousand); a
third holds few events of twenty versions of the model. Requests are interleaved, over one
connection each, so that what neighbours take is taken from all. A route that reads daily sums
takes as long beside many events as beside few.
"""

from __future__ import annotations

import argparse
import http.client
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.pipeline_market import fill
from benchmarks.publishing import Cell, Result, Rows, add_size, bars, publish
from benchmarks.serving import cpu_seconds, free_port, own_environment, started
from schemas.settings import Settings
from tasks import events as steps
from warehouse.engine import connect
from warehouse.leases import PROCESS_EVENTS, lease
from warehouse.setup import set_up_database

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUTES = ("acceptance", "satisfaction", "constraints", "funnel", "trend", "models")
FEW, MANY, VERSIONS = 10_000, {"small": 300_000, "full": 10_000_000}, 20
PARTITION = 50_000
WARM_UP = 20
REACH_RATIO, REACH_MS = 1.2, 3.0


class Served(NamedTuple):
    """A server that answers from a database of some events."""

    name: str
    pid: int
    connection: http.client.HTTPConnection

    def get(self, route: str) -> float:
        """Read a metric of 30 days; give the milliseconds that it took."""
        begun = time.perf_counter()
        self.connection.request("GET", f"/api/metrics/{route}?days=30")
        answer = self.connection.getresponse()
        answer.read()
        taken = (time.perf_counter() - begun) * 1_000
        if answer.status != http.client.OK:
            raise SystemExit(f"{route}: status {answer.status}")
        return taken


def make(home: Path, events: int, versions: int) -> None:
    """Make an installation whose events were all processed."""
    settings = Settings(home=home, database_url=None)
    set_up_database(settings)
    now = time.time_ns() // 1_000
    engine = connect(settings.url)
    fill(engine, events, now, versions=versions)
    with lease(engine, PROCESS_EVENTS, 3_600) as held:
        steps.settle_consents.fn(settings.url, held)
        for part in steps.plan.fn(settings.url, PARTITION, None):
            steps.process_partition.fn(settings.url, settings.keys, part, held, now)
    engine.dispose()


@contextmanager
def serving(name: str, home: Path) -> Iterator[Served]:
    """Serve an installation on loopback."""
    port = free_port()
    command = [sys.executable, "-m", "cli", "serve"]
    with started(command, port, own_environment(home, port)) as pid:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        yield Served(name, pid, connection)
        connection.close()


def measure(servers: list[Served], requests: int) -> dict[tuple[str, str], dict[str, float]]:
    """Ask every server for every metric in turns; give p50, p99 and CPU, milliseconds."""
    found = {}
    for route in ROUTES:
        times: dict[str, list[float]] = {server.name: [] for server in servers}
        for _ in range(WARM_UP):
            for server in servers:
                server.get(route)
        before = {server.name: cpu_seconds(server.pid) for server in servers}
        for _ in range(requests):
            for server in servers:
                times[server.name].append(server.get(route))
        for server in servers:
            cuts = statistics.quantiles(times[server.name], n=100)
            spent = cpu_seconds(server.pid) - before[server.name]
            found[route, server.name] = {
                "p50": cuts[49],
                "p99": cuts[98],
                "cpu": 1_000 * spent / requests,
            }
    return found


def result(
    found: dict[tuple[str, str], dict[str, float]], names: tuple[str, str, str]
) -> tuple[list[dict[str, Cell]], dict[str, float]]:
    """Lay the figures out: a row a route; and the ratios of many to few."""
    few, many, _ = names
    ratios = {route: found[route, many]["p50"] / found[route, few]["p50"] for route in ROUTES}
    rows: list[dict[str, Cell]] = []
    for route in ROUTES:
        row: dict[str, Cell] = {"route": route}
        for name in names:
            one = found[route, name]
            row[f"{name}: p50 / p99 ms"] = f"{one['p50']:.2f} / {one['p99']:.2f}"
            row[f"{name}: CPU ms"] = one["cpu"]
        by_cpu = found[route, many]["cpu"] / found[route, few]["cpu"]
        rows.append(row | {"p50, many to few": ratios[route], "CPU, many to few": by_cpu})
    return rows, ratios


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_size(parser)
    size = parser.parse_args().size
    many = MANY[size]
    plans = {
        f"{FEW:,} events": (FEW, 1),
        f"{many:,} events": (many, 1),
        f"{FEW:,} of {VERSIONS} versions": (FEW, VERSIONS),
    }
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-metrics-")))
        servers = []
        for place, (name, (events, versions)) in enumerate(plans.items()):
            home = directory / str(place)
            make(home, events, versions)
            servers.append(stack.enter_context(serving(name, home)))
        found = measure(servers, 300 if size == "small" else 1_000)
    few, more, versioned = plans
    rows, ratios = result(found, (few, more, versioned))
    slowest = max(found[route, more]["p50"] for route in ROUTES)
    publish(
        Result(
            name="metrics",
            title="Metric routes through HTTP: p50 beside many events, to that beside few",
            size=size,
            tables=[Rows(rows)],
            draw=bars(ratios, f"p50 at {more} / at {few}", reach=REACH_RATIO),
            notes=[
                f"The slowest route's p50 at {more}: {slowest:.2f} ms (to reach: {REACH_MS} ms).",
                "CPU is the server's, for one answer; neighbours disturb it less than a p50.",
                f"Of {VERSIONS} versions each proposes every day: days times versions are read.",
            ],
            packages=("fastapi", "uvicorn", "sqlalchemy"),
        )
    )


if __name__ == "__main__":
    main()
