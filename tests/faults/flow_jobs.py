"""Flows that are about to be killed or stopped, in a process of their own."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from expectations import staged_events  # noqa: F401  # imports Great Expectations, which takes seconds
from tests.faults.bare_flows import run_bare
from tests.faults.breakpoints import Boundaries
from tests.faults.worlds import STATES
from warehouse import batches, leases
from warehouse.engine import writing

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from warehouse.batches import Counts


FLOWS = {name: import_module(f"flows.{name}") for name in STATES}


@dataclass(frozen=True)
class Job:
    """What to run, and what happens to it.

    Attributes:
        flow: Name of the flow.
        arguments: Of the flow.
        environment: Settings, by the names of their variables.
        passed: File that gets, when the flow ends, what it passed: the fields of
            ``flow_runs.Passed``.
        bare: Without Prefect.
        at: Number of the boundary at which the process gets a signal; 0 for none.
        after_seconds: Time after which it gets one; 0 for never.
        number: The signal.
        between: Count only the beginnings of transactions, where nothing is locked.
        mutant: A planted fault: ``unfenced`` lets a run write that lost its lease, ``torn``
            books what it moved after the commit.
    """

    flow: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    passed: Path
    bare: bool = True
    at: int = 0
    after_seconds: float = 0.0
    number: signal.Signals = signal.SIGKILL
    between: bool = False
    mutant: str = ""


def run(job: Job) -> None:
    """Run a flow, and send this process a signal at a step boundary or a moment."""
    os.environ.update(job.environment)
    tempfile.tempdir = None  # asked for before the fork
    act = partial(os.kill, os.getpid(), job.number)
    boundaries = Boundaries(job.at, act, between=job.between)
    boundaries.watch()
    _plant(job.mutant)
    taken = last_fenced = late_writes = 0
    take, check = leases._take, leases.Lease.check

    def noted_take(*arguments: Any, **more: Any) -> Any:
        nonlocal taken
        fence = take(*arguments, **more)
        taken = taken or boundaries.passed
        return fence

    def noted_check(lease: leases.Lease, connection: Connection) -> None:
        nonlocal last_fenced, late_writes
        last_fenced = boundaries.passed
        check(lease, connection)
        late_writes += 0 < job.at <= boundaries.passed

    leases._take = noted_take
    leases.Lease.check = noted_check  # type: ignore[method-assign]
    if job.after_seconds:
        threading.Timer(job.after_seconds, act).start()
    if job.bare:
        run_bare(FLOWS[job.flow], job.flow, job.arguments)
    else:
        getattr(FLOWS[job.flow], job.flow)(*job.arguments)
    job.passed.write_text(f"{boundaries.passed} {taken} {last_fenced} {late_writes}")
    # Its timer must not kill what is done.
    os._exit(0)


def _plant(mutant: str) -> None:
    if mutant == "unfenced":
        leases.Lease.check = _always  # type: ignore[method-assign]
        leases.Lease.renew = _always  # type: ignore[method-assign,assignment]
    elif mutant == "torn":
        commit, book = batches.commit, batches._book

        def commit_first(engine: Engine, *arguments: Any, **more: Any) -> Counts:
            counts = commit(engine, *arguments, **more)
            with writing(engine) as connection:
                book(connection, counts)
            return counts

        batches._book = lambda *_: None
        batches.commit = commit_first


def _always(_lease: leases.Lease, _connection: Connection) -> None:
    return None
