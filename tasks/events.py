"""Steps of process_events."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from expectations import anonymised_events, staged_events
from expectations.staged_events import broken_events
from expectations.validation import rules_of
from schemas.clock import moment
from tasks.opening import opened
from tasks.policies import io_task
from tasks.texts import UNREADABLE, redact_texts
from warehouse import batches, decisions, staging, subtraction
from warehouse.batch_frame import Partition
from warehouse.batches import Counts
from warehouse.engine import writing
from warehouse.leases import Lease
from warehouse.subtraction import Settled
from warehouse.validations import Checked

RULES = rules_of(staged_events.SUITE)
TEXT_RULES = (UNREADABLE, *rules_of(anonymised_events.SUITE))


@dataclass(frozen=True)
class Moved:
    """What became of a partition, and what its validation found; nothing but counts."""

    counts: Counts
    checked: tuple[Checked, ...]


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
    with opened(url) as engine:
        batch = batches.read(engine, partition, as_of)
        broken = broken_events(batch.seq, batch.columns)
        texts = redact_texts(batches.read_sealed(engine, partition), keys, batch)
        reasons = {**broken, **texts.broken}
        counts = batches.commit(engine, lease, batch, reasons, texts.redacted, as_of=as_of)
        lease.renew(engine)
        checked = (
            _checked(staged_events.SUITE.name, len(batch.seq), RULES, broken),
            _checked(anonymised_events.SUITE.name, texts.rows, TEXT_RULES, texts.broken),
        )
        return Moved(counts, checked)


def _checked(suite: str, rows: int, rules: tuple[str, ...], broken: Mapping[str, Sized]) -> Checked:
    return Checked(suite, rows, rules, {rule: len(found) for rule, found in broken.items()})


@io_task
def settle_consents(url: SecretStr, lease: Lease) -> Settled:
    """Let the sums follow the changes of consent since the last run."""
    total = Settled(0, 0)
    with opened(url) as engine:
        while True:
            with writing(engine) as connection:
                lease.check(connection)
                settled = subtraction.settle(connection, subtraction.unsettled(connection))
            if settled == Settled(0, 0):
                return total
            total += settled


@io_task
def count_new_decisions(url: SecretStr) -> int:
    """Count the decisions that have come since the model last learned."""
    with opened(url) as engine:
        return decisions.count_new(engine)


@io_task
def destroy_day_keys(url: SecretStr, keys: Path, as_of: int) -> int:
    """Destroy the keys of past days under which no sealed text is left."""
    with opened(url) as engine:
        return len(staging.destroy_idle_day_keys(engine, keys, moment(as_of)))
