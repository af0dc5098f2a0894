"""Steps of aggregate_metrics."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from schemas.clock import day_number, moment
from tasks.opening import opened
from tasks.policies import io_task
from warehouse import blocks, metrics, recount, tallies
from warehouse.blocks import Block
from warehouse.leases import Lease
from warehouse.recount import Reconciled


@io_task
def seal(url: SecretStr, lease: Lease, smallest: int, as_of: int) -> list[Block]:
    """Seal every block of finished days that is complete."""
    with opened(url) as engine:
        return blocks.seal(engine, lease, day_number(moment(as_of)), smallest, as_of)


@io_task
def count_people(url: SecretStr, lease: Lease, as_of: int) -> dict[str, int]:
    """Count who allows what, and who took it back."""
    with opened(url) as engine:
        return tallies.count_people(engine, lease, as_of)


@io_task
def reconcile(url: SecretStr, kept_days: int, as_of: int) -> Reconciled:
    """Compare the running sums with a recount of all matches that are kept."""
    with opened(url) as engine:
        return recount.reconcile(engine, day_number(moment(as_of)) - kept_days + 1)


@io_task
def read_published(url: SecretStr, days: int, as_of: int) -> dict[str, Any]:
    """Read the figures that may be published."""
    with opened(url) as engine:
        return {
            "acceptance": metrics.acceptance(engine, days, moment(as_of), published=True),
            "satisfaction": metrics.satisfaction(engine, days, moment(as_of), published=True),
        }
