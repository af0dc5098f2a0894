"""Steps of the purge."""

from __future__ import annotations

from pydantic import SecretStr

from schemas.clock import moment
from schemas.retention import Rule
from tasks.policies import io_task
from warehouse import retention
from warehouse.engine import connect
from warehouse.leases import Lease


@io_task
def count(url: SecretStr, rule: Rule) -> int:
    """Count what a purge would delete of one class."""
    return retention.count_expired(connect(url), rule)


@io_task
def delete(url: SecretStr, rule: Rule, lease: Lease) -> int:
    """Delete what is past its retention of one class, in chunks."""
    return retention.delete_expired(connect(url), rule, lease)


@io_task
def record(url: SecretStr, run: str, deleted: dict[str, tuple[int, int]], now: int) -> None:
    """Keep the evidence."""
    retention.record_purge(connect(url), run, deleted, moment(now))


@io_task
def forget(url: SecretStr) -> bool:
    """Overwrite the deleted bytes."""
    return retention.forget_bytes(connect(url))
