"""One partition of events, from staging to the matches.

Apart from the steps of its flow, because it loads Great Expectations, which takes seconds: who
registers or asks for a run need not wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from expectations import anonymised_events, staged_events
from expectations.validation import rules_of
from tasks.opening import opened
from tasks.texts import UNREADABLE, redact_texts
from warehouse import batches
from warehouse.validations import Checked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sized
    from pathlib import Path

    from pydantic import SecretStr

    from warehouse.batch_frame import Partition
    from warehouse.batches import Counts
    from warehouse.leases import Lease

RULES = rules_of(staged_events.SUITE)
TEXT_RULES = (UNREADABLE, *rules_of(anonymised_events.SUITE))


@dataclass(frozen=True)
class Moved:
    """What became of a partition, and what its validation found; nothing but counts."""

    counts: Counts
    checked: tuple[Checked, ...]


def process(url: SecretStr, keys: Path, partition: Partition, lease: Lease, as_of: int) -> Moved:
    """Validate, anonymise and commit one partition where it is."""
    with opened(url) as engine:
        batch = batches.read(engine, partition, as_of)
        broken = staged_events.broken_events(batch.seq, batch.columns)
        texts = redact_texts(batches.read_sealed(engine, partition), keys, batch)
        reasons = {**broken, **texts.broken}
        counts = batches.commit(engine, lease, batch, reasons, texts.redacted, as_of=as_of)
        checked = (
            _checked(staged_events.SUITE.name, len(batch.seq), RULES, broken),
            _checked(anonymised_events.SUITE.name, texts.rows, TEXT_RULES, texts.broken),
        )
        return Moved(counts, checked)


def _checked(suite: str, rows: int, rules: tuple[str, ...], broken: Mapping[str, Sized]) -> Checked:
    return Checked(suite, rows, rules, {rule: len(found) for rule, found in broken.items()})
