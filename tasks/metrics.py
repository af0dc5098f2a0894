"""Steps of aggregate_metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr

from schemas.clock import day_number, moment
from schemas.tables import matches
from tasks.opening import opened
from tasks.policies import io_task
from warehouse import blocks, metrics, recount, tallies
from warehouse.blocks import Block
from warehouse.engine import shared_snapshot
from warehouse.leases import Lease
from warehouse.recount import Reconciled, Recounted, Stretch


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


@contextmanager
def one_snapshot(url: SecretStr) -> Iterator[str | None]:
    """Hold the state of the database of now, for all steps that are given its name."""
    with opened(url) as engine, shared_snapshot(engine, whole=[matches]) as snapshot:
        yield snapshot


@io_task
def plan_recount(url: SecretStr, parts: int, snapshot: str | None) -> list[Stretch]:
    """Cut the matches into stretches."""
    with opened(url) as engine:
        return recount.stretches(engine, parts, snapshot)


@io_task
def recount_stretch(
    url: SecretStr, stretch: Stretch, since_day: int, snapshot: str | None
) -> Recounted:
    """Count the matches of one stretch anew where it is."""
    with opened(url) as engine:
        return recount.recount_stretch(engine, since_day, stretch, snapshot)


@io_task
def compare(
    url: SecretStr, recounted: list[Recounted], since_day: int, snapshot: str | None
) -> Reconciled:
    """Compare the running sums with the recount of all stretches."""
    with opened(url) as engine:
        return recount.compare(engine, recounted, since_day, snapshot)


@io_task
def read_published(url: SecretStr, days: int, as_of: int) -> dict[str, Any]:
    """Read the figures that may be published."""
    with opened(url) as engine:
        return {
            "acceptance": metrics.acceptance(engine, days, moment(as_of), published=True),
            "satisfaction": metrics.satisfaction(engine, days, moment(as_of), published=True),
        }
