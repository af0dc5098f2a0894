"""Flows that are killed or stopped at their step boundaries, and what the next run makes of it.

A killed flow changes nothing but time; one that is stopped past its lease and wakes when another
has finished, a zombie, cannot write.
"""

from __future__ import annotations

import random
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from schemas.clock import day_number, moment
from schemas.tables import metadata
from tests.faults.flow_runs import FlowRun, differences
from tests.faults.worlds import MASKED, STATES, Worlds, left_by, now
from warehouse.engine import connect
from warehouse.months import make_months

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr

    from tests.faults.conftest import Tally


SHORT = {("process_events", "sqlite"), ("purge_expired", "postgresql")}
"""What the short form tries; each trial is two or three whole runs of a flow."""

BUDGET_SECONDS = {"sqlite": 25.0, "postgresql": 12.0}
"""So long are the boundaries of one flow tried, in random order and none twice."""

LEASE_SECONDS = 1
# One partition: beside a second thread a process could be stopped inside a transaction.
SETTINGS = {
    "SMARTMATCH_LEASE_SECONDS": str(LEASE_SECONDS),
    "SMARTMATCH_PARTITION_EVENTS": "10000",
}


def every_flow(short: int, full: int) -> pytest.MarkDecorator:
    """Ask for each flow on each engine, with so many trials; in short those of ``SHORT`` alone."""
    cases = [
        pytest.param(
            flow,
            kind,
            marks=pytest.mark.trials(short=short if (flow, kind) in SHORT else 0, full=full),
        )
        for flow in sorted(STATES)
        for kind in ("sqlite", "postgresql")
    ]
    return pytest.mark.parametrize(("flow", "kind"), cases)


KILLED = "a killed flow changes nothing but time"


class Mortuary:
    """Kills runs of one flow in copies of one world, and compares what the next run leaves."""

    def __init__(self, copies: Any, flow: str, run_flow: Callable[..., FlowRun]) -> None:
        self._copies = copies
        self._flow = flow
        self._run_flow = run_flow
        url = next(copies)
        run = run_flow(flow, url)
        self.boundaries = run.passed().boundaries
        self._expected = left_by(url) | {"keys": run.kept()}
        assert self._expected["balanced"]

    def seconds(self) -> float:
        """Return how long an undisturbed run takes, once all is imported."""
        begun = time.monotonic()
        self._run_flow(self._flow, next(self._copies)).passed()
        return time.monotonic() - begun

    def kill(self, **when: Any) -> str | None:
        """Return what differs after a run that was killed and one that was not."""
        url = next(self._copies)
        killed = self._run_flow(self._flow, url, **when).wait()
        assert killed == -signal.SIGKILL or "after_seconds" in when
        again = self._run_flow(self._flow, url)
        assert again.wait() == 0
        different = differences(self._expected, left_by(url) | {"keys": again.kept()})
        return f"{self._flow}, killed at {when}: {different} differ" if different else None


def test_what_is_compared_is_every_table_and_never_all_columns_masked(
    make_worlds: Callable[[str, Any], Worlds],
) -> None:
    left = left_by(next(make_worlds("sqlite", STATES["erase_subject"]).copies()))

    assert set(left) == {*metadata.tables, "balanced"}
    for table, masked in MASKED.items():
        assert masked.keys() < set(metadata.tables[table].c.keys()), table


@pytest.mark.promise(KILLED)
@every_flow(short=3, full=10)
def test_rerun_after_a_kill_leaves_what_one_run_leaves(
    flow: str,
    kind: str,
    tally: Tally,
    make_worlds: Callable[[str, Any], Worlds],
    run_flow: Callable[..., FlowRun],
) -> None:
    copies = make_worlds(kind, STATES[flow]).copies()
    mortuary = Mortuary(copies, flow, run_flow)
    draw = random.Random(flow)
    every = draw.sample(range(1, mortuary.boundaries + 1), mortuary.boundaries)
    until = time.monotonic() + BUDGET_SECONDS[kind]
    for at in every if tally.full else every[: tally.planned]:
        if time.monotonic() > until and tally.trials >= tally.planned:
            break
        tally.count(mortuary.kill(at=at))
    seconds = mortuary.seconds()
    for _ in range(tally.planned if tally.full else 1):
        tally.count(mortuary.kill(after_seconds=draw.uniform(0.001, seconds)))
    copies.close()
    assert tally.failures == []


@pytest.mark.promise(KILLED)
@pytest.mark.parametrize("flow", sorted(STATES))
@pytest.mark.trials(short=0, full=2)
def test_rerun_in_prefect_leaves_what_one_run_leaves(
    flow: str, tally: Tally, make_worlds: Callable[[str, Any], Worlds], request: Any
) -> None:
    copies = make_worlds("sqlite", STATES[flow]).copies()
    mortuary = Mortuary(copies, flow, request.getfixturevalue("run_in_prefect"))
    for at in random.Random(flow).sample(range(1, mortuary.boundaries + 1), tally.planned):
        tally.count(mortuary.kill(at=at))
    copies.close()
    assert tally.failures == []


@pytest.mark.promise(KILLED)
def test_flow_that_books_after_its_commit_is_caught(
    tally: Tally, make_worlds: Callable[[str, Any], Worlds], run_flow: Callable[..., FlowRun]
) -> None:
    copies = make_worlds("sqlite", STATES["process_events"]).copies()
    torn = partial(run_flow, mutant="torn")
    mortuary = Mortuary(copies, "process_events", torn)
    # From the end: there the last partition is stored, and not yet booked, for some boundaries.
    every = range(mortuary.boundaries, 0, -2)
    tally.mutant_caught = any(mortuary.kill(at=at) is not None for at in every)
    copies.close()
    assert tally.mutant_caught


class Graveyard:
    """Stops runs of one flow in copies of one world, and wakes them when it is too late."""

    def __init__(self, copies: Any, flow: str, run_flow: Callable[..., FlowRun]) -> None:
        self._copies = copies
        self._flow = flow
        self._run_flow = run_flow
        url = next(copies)
        passed = self._run(url).passed()
        # Before it has its lease a run is no zombie.
        self.stops = range(passed.taken + 1, passed.boundaries + 1)
        self.last_fenced = passed.fenced
        self._expected = left_by(url)

    def wake_too_late(self, at: int, mutant: str = "") -> str | None:
        """Return what a zombie that was stopped at a boundary did wrong."""
        url = next(self._copies)
        zombie = self._run(url, at=at, number=signal.SIGSTOP, mutant=mutant)
        assert zombie.wait_until_stopped()
        try:
            time.sleep(LEASE_SECONDS + 0.1)
            assert self._run(url).wait() == 0
        finally:
            zombie.send(signal.SIGCONT)
        if zombie.wait() == 0 and zombie.passed().late_writes:
            return f"{self._flow}, stopped at boundary {at}: wrote as if it held the lease"
        different = differences(self._expected, left_by(url))
        return f"{self._flow}, stopped at boundary {at}: {different} differ" if different else None

    def _run(self, url: SecretStr, **more: Any) -> FlowRun:
        return self._run_flow(self._flow, url, settings=SETTINGS, between=True, **more)


@pytest.mark.promise("a zombie cannot write")
@every_flow(short=1, full=0)  # in full: every stop
def test_fence_refuses_a_run_that_wakes_too_late(
    flow: str,
    kind: str,
    tally: Tally,
    make_worlds: Callable[[str, Any], Worlds],
    run_flow: Callable[..., FlowRun],
) -> None:
    graveyard = Graveyard(make_worlds(kind, STATES[flow]).copies(), flow, run_flow)
    stops = random.Random(flow).sample(graveyard.stops, len(graveyard.stops))
    for at in stops if tally.full else stops[: tally.planned]:
        tally.count(graveyard.wake_too_late(at))
    assert tally.failures == []


@pytest.mark.promise("a zombie cannot write")
def test_run_without_a_fence_is_caught(
    tally: Tally, make_worlds: Callable[[str, Any], Worlds], run_flow: Callable[..., FlowRun]
) -> None:
    copies = make_worlds("sqlite", STATES["purge_expired"]).copies()
    graveyard = Graveyard(copies, "purge_expired", run_flow)

    at = graveyard.last_fenced
    assert graveyard.wake_too_late(at) is None

    tally.mutant_caught = graveyard.wake_too_late(at, mutant="unfenced") is not None

    assert tally.mutant_caught


TODAY = day_number(moment(now()))
EVIDENCE = {"leases", "purges", "erasures"}
"""What a run writes of itself, by its own number, whoever holds the lease."""


def unfenced(run: FlowRun) -> set[str]:
    return set(run.passed().unfenced.split(",")) - EVIDENCE - {""}


@pytest.mark.promise("a zombie cannot write")
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("flow", sorted(STATES))
def test_every_transaction_that_writes_looks_at_its_fence(
    flow: str,
    kind: str,
    tally: Tally,
    make_worlds: Callable[[str, Any], Worlds],
    run_flow: Callable[..., FlowRun],
) -> None:
    url = next(make_worlds(kind, STATES[flow]).copies())
    # Rows move between partitions whoever holds the lease: nothing of them changes.
    engine = connect(url)
    make_months(engine, TODAY - 2_000, TODAY)
    engine.dispose()
    found = unfenced(run_flow(flow, url))
    tally.count(f"{flow} writes {found} without a look at its fence" if found else None)
    assert tally.failures == []


@pytest.mark.promise("a zombie cannot write")
def test_run_that_never_looks_at_its_fence_is_caught(
    tally: Tally, make_worlds: Callable[[str, Any], Worlds], run_flow: Callable[..., FlowRun]
) -> None:
    url = next(make_worlds("sqlite", STATES["process_events"]).copies())
    tally.mutant_caught = unfenced(run_flow("process_events", url, mutant="blind")) != set()
    assert tally.mutant_caught
