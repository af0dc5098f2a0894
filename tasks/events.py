"""Steps of process_events."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from schemas.clock import moment
from tasks.opening import opened
from tasks.policies import io_task
from warehouse import batches, decisions, staging, subtraction
from warehouse.batch_frame import Partition
from warehouse.engine import writing
from warehouse.leases import Lease
from warehouse.subtraction import Settled

if TYPE_CHECKING:
    from tasks.partition import Moved


@io_task
def plan(url: SecretStr, size: int, limit: int | None) -> list[Partition]:
    """Cut what is staged now into partitions."""
    with opened(url) as engine:
        return batches.plan(engine, size, limit)


@io_task
def process_partition(
    url: SecretStr, keys: Path, partition: Partition, lease: Lease, as_of: int
) -> Moved:
    """Validate, anonymise and commit one partition where it is."""
    from tasks import partition as work  # imports Great Expectations, which takes seconds

    return work.process(url, keys, partition, lease, as_of)


@io_task
def settle_consents(url: SecretStr, lease: Lease) -> Settled:
    """Let the sums follow the changes of consent since the last run."""
    total, last = Settled(0, 0), 0
    with opened(url) as engine:
        while True:
            with writing(engine) as connection:
                lease.check(connection)
                subjects = subtraction.unsettled(connection, last)
                if not subjects:
                    return total
                total += subtraction.settle(connection, subjects)
                lease.extend(connection)
            last = subjects[-1]


@io_task
def count_untold_decisions(url: SecretStr) -> int:
    """Count the decisions that have come since the model last learned, or was asked to."""
    with opened(url) as engine:
        return decisions.count_untold(engine)


@io_task
def note_told_decisions(url: SecretStr) -> None:
    """Note that it was told how many there are now."""
    with opened(url) as engine:
        decisions.note_told(engine)


@io_task
def destroy_day_keys(url: SecretStr, keys: Path, as_of: int) -> int:
    """Destroy the keys of past days under which no sealed text is left."""
    with opened(url) as engine:
        return len(staging.destroy_idle_day_keys(engine, keys, moment(as_of)))
