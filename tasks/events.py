"""Steps of process_events."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from expectations import staged_events
from expectations.validation import broken_rules
from schemas.clock import moment
from tasks.policies import io_task
from tasks.texts import redact_texts
from warehouse import batches, staging, subtraction
from warehouse.batch_frame import Partition
from warehouse.batches import Counts
from warehouse.engine import connect, writing
from warehouse.leases import Lease
from warehouse.subtraction import Settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine


@io_task
def plan(url: SecretStr, size: int, limit: int | None) -> list[Partition]:
    """Cut what is staged now into partitions."""
    with _opened(url) as engine:
        return batches.plan(engine, size, limit)


@io_task
def process_partition(
    url: SecretStr, keys: Path, partition: Partition, lease: Lease, as_of: int
) -> Counts:
    """Validate, anonymise and commit one partition where it is."""
    with _opened(url) as engine:
        batch = batches.read(engine, partition, as_of)
        broken = broken_rules(batch.frame, staged_events.SUITE)
        texts = redact_texts(batches.read_sealed(engine, partition), keys, batch)
        return batches.commit(
            engine, lease, batch, {**broken, **texts.broken}, texts.redacted, as_of=as_of
        )


@io_task
def settle_consents(url: SecretStr, lease: Lease) -> Settled:
    """Let the sums follow the changes of consent since the last run."""
    total = Settled(0, 0)
    with _opened(url) as engine:
        while True:
            with writing(engine) as connection:
                lease.check(connection)
                settled = subtraction.settle(connection, subtraction.unsettled(connection))
            if settled == Settled(0, 0):
                return total
            total += settled


@io_task
def destroy_day_keys(url: SecretStr, keys: Path, as_of: int) -> int:
    """Destroy the keys of past days under which no sealed text is left."""
    with _opened(url) as engine:
        return len(staging.destroy_idle_day_keys(engine, keys, moment(as_of)))


@contextmanager
def _opened(url: SecretStr) -> Iterator[Engine]:
    """Connect for one step, so that a step can run in any process."""
    engine = connect(url)
    try:
        yield engine
    finally:
        engine.dispose()
