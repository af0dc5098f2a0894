"""Flows that are about to be killed or stopped, in a process of their own."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import tempfile
import threading
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event

from expectations import staged_events  # noqa: F401  # imports Great Expectations, which takes seconds
from tests.faults.bare_flows import run_bare
from tests.faults.breakpoints import Boundaries
from tests.faults.worlds import STATES
from warehouse import batches, leases
from warehouse.engine import writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection

    from warehouse.batches import Counts

_WRITES = re.compile(
    r"\s*(?:INSERT\s+(?:OR\s+\w+\s+)?INTO|UPDATE|DELETE\s+FROM|COPY)\s+(\w+)", re.IGNORECASE
)

for _name in STATES:
    import_module(f"flows.{_name}")


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
        before: Call of the registry's client before which it gets one.
        call: At which call of that name.
        between: Count only the beginnings of transactions, where nothing is locked.
        mutant: A planted fault: ``unfenced`` lets a run write that lost its lease, ``torn``
            books what it moved after the commit, ``forgetful`` names in the
            registry only a champion that it made itself, ``blind`` never looks at its fence,
            ``told once`` names versions as it was told before and never again.
        fitted: Beginning of files that keep what a retrain's first fit against each champion
            found, so that others need not fit.
    """

    flow: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    passed: Path
    bare: bool = True
    at: int = 0
    after_seconds: float = 0.0
    before: str = ""
    call: int = 1
    number: signal.Signals = signal.SIGKILL
    between: bool = False
    mutant: str = ""
    fitted: Path | None = None


def run(job: Job) -> None:
    """Run a flow, and send this process a signal at a step boundary or a moment."""
    os.environ.update(job.environment)
    tempfile.tempdir = None  # asked for before the fork
    act = partial(os.kill, os.getpid(), job.number)
    fences = Fences()
    boundaries = Boundaries(job.at, act, between=job.between, hear=fences.hear)
    boundaries.watch()
    _plant(job.mutant)
    if job.fitted is not None:
        _fit_once(job.fitted)
    taken = last_fenced = late_writes = 0
    take, check, extend = leases._take, leases.Lease.check, leases.Lease.extend

    def noted_take(*arguments: Any, **more: Any) -> Any:
        nonlocal taken
        fence = take(*arguments, **more)
        taken = taken or boundaries.passed
        return fence

    def noted_check(lease: leases.Lease, connection: Connection) -> None:
        nonlocal last_fenced, late_writes
        last_fenced = boundaries.passed
        check(lease, connection)
        fences.look(connection)
        late_writes += 0 < job.at <= boundaries.passed

    def noted_extend(lease: leases.Lease, connection: Connection) -> None:
        extend(lease, connection)
        fences.look(connection)

    leases._take = noted_take
    leases.Lease.check = noted_check  # type: ignore[method-assign]
    leases.Lease.extend = noted_extend  # type: ignore[method-assign]
    if job.mutant == "blind":
        leases.Lease.check = leases.Lease.extend = _always  # type: ignore[method-assign]
    if job.before:
        _act_before(job.before, job.call, act)
    if job.after_seconds:
        threading.Timer(job.after_seconds, act).start()
    module = import_module(f"flows.{job.flow}")
    if job.bare:
        run_bare(module, job.flow, job.arguments)
    else:
        getattr(module, job.flow)(*job.arguments)
    passed = (boundaries.passed, taken, last_fenced, late_writes, ",".join(sorted(fences.unfenced)))
    job.passed.write_text(json.dumps(passed))
    # Its timer must not kill what is done.
    os._exit(0)


class Fences:
    """Collects the tables that a transaction wrote without a look at its fence.

    Told of every statement by the driver's connection, as no library in between hears of all.
    """

    def __init__(self) -> None:
        self.unfenced: set[str] = set()
        self._looked: set[Any] = set()
        self._wrote: dict[Any, set[str]] = {}
        event.listen(Engine, "begin", self._begin)
        event.listen(Engine, "commit", self._commit)

    def hear(self, driver: Any, statement: str) -> None:
        """Note what a statement writes."""
        if found := _WRITES.match(statement):
            self._wrote.setdefault(driver, set()).add(found[1])

    def look(self, connection: Connection) -> None:
        """Note that a transaction looked at its fence."""
        self._looked.add(_driver(connection))

    def _begin(self, connection: Connection) -> None:
        self._looked.discard(_driver(connection))
        self._wrote.pop(_driver(connection), None)

    def _commit(self, connection: Connection) -> None:
        ours = connection.engine.url.database in os.environ["SMARTMATCH_DATABASE_URL"]
        if ours and _driver(connection) not in self._looked:
            self.unfenced |= self._wrote.get(_driver(connection), set())


def _driver(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


def _plant(mutant: str) -> None:
    if mutant == "unfenced":
        leases.Lease.check = _always  # type: ignore[method-assign]
        leases.Lease.extend = _always  # type: ignore[method-assign]
    elif mutant == "torn":
        commit, book = batches.commit, batches._book

        def commit_first(engine: Engine, *arguments: Any, **more: Any) -> Counts:
            counts = commit(engine, *arguments, **more)
            with writing(engine) as connection:
                book(connection, counts)
            return counts

        batches._book = lambda *_: None
        batches.commit = commit_first
    elif mutant == "forgetful":
        registry = import_module("matching.registry").Registry
        record, follow = registry.record, registry.follow

        def record_and_remember(*arguments: Any, **more: Any) -> Any:
            recorded = record(*arguments, **more)
            if recorded.promoted:
                registry.follow = follow
            return recorded

        registry.record, registry.follow = record_and_remember, lambda *_: None
    elif mutant == "told once":
        registry = import_module("matching.registry").Registry
        registry.follow = lambda registry, told: registry._name(told())


def _act_before(name: str, number: int, act: Callable[[], None]) -> None:
    client = import_module("mlflow").MlflowClient
    call, numbers = getattr(client, name), count(1)

    def acting(*arguments: Any, **more: Any) -> Any:
        if next(numbers) == number:
            act()
        return call(*arguments, **more)

    setattr(client, name, acting)


def _fit_once(file: Path) -> None:
    training = import_module("tasks.training")
    fit = training.fit.fn

    def remembered(rows: Any, champion: Any, *rest: int) -> Any:
        kept = file.with_name(f"{file.name}-{champion.digest}")
        if not kept.exists():
            kept.write_bytes(pickle.dumps(fit(rows, champion, *rest)))
        return pickle.loads(kept.read_bytes())  # written just here

    training.fit.fn = remembered


def _always(_lease: leases.Lease, _connection: Connection) -> None:
    return None
