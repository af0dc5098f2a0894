"""Flows that are about to be killed or stopped, in a process of their own."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import flows  # noqa: F401  # sets our defaults before Prefect reads its own
from expectations import staged_events  # noqa: F401  # imports Great Expectations, which takes seconds
from flows.aggregate_metrics import aggregate_metrics
from flows.erase_subject import erase_subject
from flows.process_events import process_events
from flows.purge_expired import purge_expired
from tests.faults.breakpoints import Boundaries
from warehouse import leases

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

FLOWS = {
    "process_events": process_events,
    "aggregate_metrics": aggregate_metrics,
    "purge_expired": purge_expired,
    "erase_subject": erase_subject,
}


@dataclass(frozen=True)
class Job:
    """What to run, and what happens to it.

    Attributes:
        flow: Name of the flow.
        arguments: Of the flow.
        environment: Settings, by the names of their variables.
        passed: File that gets, when the flow ends, the number of boundaries and that of the
            last one before its fence was looked at.
        at: Number of the boundary at which the process gets a signal; 0 for none.
        number: The signal.
        between: Count only the beginnings of transactions, where nothing is locked.
        mutant: A planted fault: ``unfenced`` lets a run write that lost its lease.
    """

    flow: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    passed: Path
    at: int = 0
    number: signal.Signals = signal.SIGKILL
    between: bool = False
    mutant: str = ""


def run(job: Job) -> None:
    """Run a flow, and send this process a signal at a step boundary."""
    os.environ.update(job.environment)
    act = partial(os.kill, os.getpid(), job.number)
    boundaries = Boundaries(job.at, act, between=job.between)
    boundaries.watch()
    last_fenced = 0
    check = _always if job.mutant == "unfenced" else leases.Lease.check

    def noted(lease: leases.Lease, connection: Connection) -> None:
        nonlocal last_fenced
        last_fenced = boundaries.passed
        check(lease, connection)

    leases.Lease.check = noted  # type: ignore[method-assign]
    if job.mutant == "unfenced":
        leases.Lease.renew = _always  # type: ignore[method-assign,assignment]
    FLOWS[job.flow](*job.arguments)
    job.passed.write_text(f"{boundaries.passed} {last_fenced}")


def _always(_lease: leases.Lease, _connection: Connection) -> None:
    return None
