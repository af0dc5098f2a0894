"""Retrains that are killed or stopped at a statement to the database or to the registry.

A run that learns again has another version, so what is compared is what counts: which model is in
use and which one before, what is published of it, what insisting on a constraint costs, what is
still to do, and that every version in use is in the books.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from installation import set_up_model
from schemas.clock import moment
from schemas.settings import Settings
from tests.faults import retrain_jobs
from tests.faults.flow_runs import FlowRun, differences
from tests.faults.processes import Process, forked
from tests.faults.worlds import now
from tests.flows.conftest import stage_rounds
from tests.histories import process
from warehouse import runs as requests
from warehouse.engine import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("a killed retrain changes nothing but time")

BUDGET_SECONDS = 60.0
"""So long are boundaries tried in full, in random order and none twice."""

LATE = 5
"""Half of them lie in the last part of so many, behind the registry's long one."""

NAMING = "set_registered_model_alias"
"""The registry's client is called by this to name a champion, and the one before."""

FLOW, JOBS = "retrain_model", "tests.faults.retrain_jobs"


class School:
    """An installation with decisions to learn from, put back as it was for each trial."""

    def __init__(self, home: Path, run: Callable[..., FlowRun]) -> None:
        self._file = home / "school.db"
        self.settings = Settings(
            home=home / f"home_{self._file.name}",
            database_url=SecretStr(f"sqlite:///{self._file}"),
        )
        self._run = partial(run, FLOW, self.settings.url, fitted=home / "fitted")
        set_up_model(self.settings)
        engine = connect(self.settings.url)
        stage_rounds(engine, turns=4, last=moment(now()).date() - timedelta(days=1))
        process(engine, as_of=now())
        requests.queue(engine, FLOW, moment(now()), "enough new decisions")
        engine.dispose()
        self._kept = home / "kept"
        self._kept.mkdir()
        for path in (self._file, self.settings.home):
            shutil.move(path, self._kept / path.name)

    def renew(self) -> None:
        """Put everything back as it was."""
        shutil.rmtree(self.settings.home, ignore_errors=True)
        for left in self._file.parent.glob(f"{self._file.name}*"):
            left.unlink()
        shutil.copytree(self._kept, self._file.parent, dirs_exist_ok=True)

    def learn(self, **more: Any) -> FlowRun:
        """Run the retrain."""
        return self._run(**more)

    def roll_back(self) -> None:
        """Put the previous champion back, in a process of its own."""
        assert Process(forked(JOBS), retrain_jobs.put_back, self.settings).wait() == 0

    def left(self) -> dict[str, Any]:
        """Read what a retrain leaves that counts, in a process that kept nothing of it open."""
        file = self._file.with_name("left")
        assert Process(forked(JOBS), retrain_jobs.tell_left, self.settings, file).wait() == 0
        return dict(json.loads(file.read_text()))


@pytest.fixture
def school(tmp_path: Path) -> School:
    return School(tmp_path, partial(FlowRun, forked(JOBS), home=tmp_path))


def kill(school: School, expected: dict[str, Any], mutant: str = "", **when: Any) -> str | None:
    """Return what differs after a retrain that was killed and one that was not."""
    school.renew()
    killed = school.learn(mutant=mutant, **when).wait()
    assert killed == -signal.SIGKILL or "after_seconds" in when
    assert school.learn(mutant=mutant).wait() == 0
    different = differences(expected, school.left())
    return f"killed at {when}: {different} differ" if different else None


@pytest.mark.trials(short=1, full=5)
def test_rerun_after_a_kill_leaves_what_one_retrain_leaves(school: School, tally: Tally) -> None:
    school.renew()
    begun = time.monotonic()
    passed = school.learn().passed()
    boundaries, seconds = passed.boundaries, time.monotonic() - begun
    # Who asked is answered, and what was learned from counted, whoever did it.
    assert set(passed.unfenced.split(",")) <= {"leases", "runs", "versions"}
    expected = school.left()
    assert expected["champion"] != expected["previous"]
    draw = random.Random(FLOW)
    late = draw.sample(range(boundaries - boundaries // LATE, boundaries + 1), boundaries // LATE)
    any_ = draw.sample(range(1, boundaries + 1), boundaries)
    every = list(dict.fromkeys(chain.from_iterable(zip(late, any_, strict=False))))
    until = time.monotonic() + BUDGET_SECONDS
    for at in every if tally.full else every[: tally.planned]:
        if time.monotonic() > until:
            break
        tally.count(kill(school, expected, at=at))
    for _ in range(tally.planned if tally.full else 0):
        tally.count(kill(school, expected, after_seconds=draw.uniform(0.001, seconds)))
    assert tally.failures == []


@pytest.mark.trials(short=0, full=1)
def test_retrain_that_publishes_only_what_it_promoted_is_caught(
    school: School, tally: Tally
) -> None:
    school.renew()
    school.learn(mutant="forgetful").passed()
    expected = school.left()
    # By then the registry names the new champion, and not yet which one was before.
    halfway: dict[str, Any] = {"before": NAMING, "call": 2}
    assert kill(school, expected, **halfway) is None
    tally.mutant_caught = kill(school, expected, "forgetful", **halfway) is not None
    assert tally.mutant_caught


LEASE = {"SMARTMATCH_LEASE_SECONDS": "1"}


def wake_too_late(
    school: School, mutant: str = "", *, back: bool = False, **where: Any
) -> str | None:
    """Return what a retrain changed that was stopped, past its lease, until another one ended.

    Args:
        school: The installation.
        mutant: A planted fault.
        back: Whether the champion is rolled back, too, meanwhile.
        where: It is stopped.
    """
    school.renew()
    zombie = school.learn(settings=LEASE, number=signal.SIGSTOP, mutant=mutant, **where)
    assert zombie.wait_until_stopped()
    try:
        time.sleep(1.1)
        assert school.learn().wait() == 0
        if back:
            school.roll_back()
        left = school.left()
    finally:
        zombie.send(signal.SIGCONT)
    zombie.wait()
    # What the zombie was just registering goes when it finds itself overtaken.
    different = differences(left | {"without a version": []}, school.left())
    return f"stopped at {where}: {different} differ" if different else None


@pytest.mark.promise("a zombie cannot write")
@pytest.mark.trials(short=2, full=20)
def test_a_retrain_that_wakes_too_late_leaves_what_the_other_one_left(
    school: School, tally: Tally
) -> None:
    school.renew()
    passed = school.learn(between=True).passed()
    draw = random.Random(FLOW)
    stops = range(passed.taken + 1, passed.boundaries)
    for at in draw.sample(stops, tally.planned - 1):
        tally.count(wake_too_late(school, between=True, at=at))
    tally.count(wake_too_late(school, back=True, before=NAMING))
    assert tally.failures == []


@pytest.mark.promise("a zombie cannot write")
def test_a_retrain_that_names_what_it_was_told_once_is_caught(school: School, tally: Tally) -> None:
    school.renew()
    school.learn().passed()
    tally.mutant_caught = wake_too_late(school, "told once", back=True, before=NAMING) is not None
    assert tally.mutant_caught
