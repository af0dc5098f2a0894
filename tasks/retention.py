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
def begin_evidence(url: SecretStr, run: str, rules: tuple[Rule, ...], now: int) -> None:
    """Open the evidence: it grows with every chunk deleted."""
    retention.begin_evidence(connect(url), run, rules, moment(now))


@io_task
def delete(url: SecretStr, rule: Rule, lease: Lease, run: str) -> int:
    """Delete what is past its retention of one class, in chunks."""
    return retention.delete_expired(connect(url), rule, lease, run)


@io_task
def forget(url: SecretStr) -> bool:
    """Overwrite the deleted bytes."""
    return retention.forget_bytes(connect(url))
