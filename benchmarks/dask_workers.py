"""Measure two workers of Dask beside one, on one PostgreSQL.

``python -m benchmarks.dask_workers [--size small]`` stages the same events for one worker and for
two, in turns, and takes the median of the ratios of each turn. The workers stand and have imported
what they need: a cluster that stands is what is measured, not its start.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.pipeline import NOW, database, staged
from benchmarks.publishing import Cell, Result, Rows, Size, add_size, bars, publish

if TYPE_CHECKING:
    from pydantic import SecretStr

    from warehouse.batch_frame import Partition
    from warehouse.batches import Counts
    from warehouse.leases import Lease

PARTITION = 50_000
"""As the flow cuts by default."""


def rate(workers: int, events: int) -> float:
    """Process events on so many workers of one thread each.

    Returns:
        Events a second, from the first partition planned to the last one committed.
    """
    from distributed import Client, LocalCluster
    from pydantic import SecretStr

    from tasks import events as steps
    from warehouse.engine import connect
    from warehouse.leases import PROCESS_EVENTS, lease

    cluster: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1}
    with (
        database("postgresql") as url,
        LocalCluster(**cluster, host="127.0.0.1", dashboard_address=None) as started,  # type: ignore[no-untyped-call]
        Client(started) as client,  # type: ignore[no-untyped-call]
    ):
        secret = SecretStr(url)
        engine = connect(secret)
        staged(engine, events)
        client.run(_ready)
        with lease(engine, PROCESS_EVENTS, 3_600) as held:
            begun = time.perf_counter()
            steps.settle_consents.fn(secret, held)
            partitions = steps.plan.fn(secret, PARTITION, None)
            tasks = [client.submit(_process, secret, held, one, pure=False) for one in partitions]
            processed = sum(counts.processed for counts in client.gather(tasks))
            seconds = time.perf_counter() - begun
    if processed != events:
        raise SystemExit(f"{processed} of {events} events were processed")
    return events / seconds


def _ready() -> None:
    """Import what the first partition would wait for."""
    from tasks import events, partition

    del events, partition


def _process(secret: SecretStr, held: Lease, part: Partition) -> Counts:
    from tasks import events as steps

    folder = Path(tempfile.gettempdir())
    return steps.process_partition.fn(secret, folder, part, held, NOW).counts


def result(turns: list[tuple[float, float]], events: int, size: Size) -> Result:
    """Return the rates of one worker and of two, turn by turn, as they are published."""
    rows: list[dict[str, Cell]] = [
        {"turn": number, "one, events/s": one, "two, events/s": two, "two to one": two / one}
        for number, (one, two) in enumerate(turns, 1)
    ]
    ratio = statistics.median(two / one for one, two in turns)
    return Result(
        name="dask_workers",
        title="Two workers of Dask beside one",
        size=size,
        tables=[Rows(rows, f"{events:,} events on PostgreSQL:")],
        draw=bars(
            {
                "one worker": statistics.median(one for one, _ in turns),
                "two workers": statistics.median(two for _, two in turns),
            },
            f"events a second at {events:,} events",
        ),
        notes=[f"Two to one: {ratio:.2f}, the median of {len(turns)} turns."],
        packages=("dask", "distributed", "prefect-dask", "psycopg"),
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_size(parser)
    size = parser.parse_args().size
    events, turns = (200_000, 1) if size == "small" else (1_000_000, 5)
    found = [(rate(1, events), rate(2, events)) for _ in range(turns)]
    publish(result(found, events, size))


if __name__ == "__main__":
    main()
