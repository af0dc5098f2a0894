"""Flows that are about to be killed or stopped, in a process of their own."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
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
    from collections.abc import Mapping

    from sqlalchemy import Connection

FLOWS = {
    "process_events": process_events,
    "aggregate_metrics": aggregate_metrics,
    "purge_expired": purge_expired,
    "erase_subject": erase_subject,
}


def run_flow(
    name: str,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    at: int,
    number: signal.Signals,
    passed: str,
    mutant: str,
) -> None:
    """Run a flow, and send this process a signal at a step boundary.

    Args:
        name: Of the flow.
        arguments: Of the flow.
        environment: Settings, by the names of their variables.
        at: Number of the boundary; 0 for none.
        number: The signal.
        passed: File that gets the number of boundaries, when the flow ends.
        mutant: A planted fault: ``unfenced`` lets a run write that lost its lease.
    """
    os.environ.update(environment)
    if mutant == "unfenced":
        leases.Lease.check = _always  # type: ignore[method-assign]
        leases.Lease.renew = _always  # type: ignore[method-assign,assignment]
    boundaries = Boundaries(at, partial(os.kill, os.getpid(), number))
    boundaries.watch()
    FLOWS[name](*arguments)
    Path(passed).write_text(str(boundaries.passed))


def _always(_lease: leases.Lease, _connection: Connection) -> None:
    return None
