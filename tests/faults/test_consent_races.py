"""Consent withdrawn while an event, a flow or a training is on its way: nothing is seen afterwards.

Every step is the real one: the door, the reading and the commit of a partition, the reading of
the training set. What is drawn by chance is their order; beside that, somebody withdraws at every
single statement of the flow and of the reading.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from schemas.clock import micros
from schemas.errors import SumsDiffer
from schemas.tables import events, metric_sums, subjects
from tests.faults.breakpoints import Boundaries
from tests.serving import client_of, proposed
from warehouse import batches
from warehouse.engine import connect, reading, writing
from warehouse.leases import PROCESS_EVENTS, Lease, lease
from warehouse.recount import reconcile
from warehouse.subtraction import settle, unsettled
from warehouse.training import read_training

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.faults.conftest import Tally
    from warehouse.batch_frame import Batch

pytestmark = pytest.mark.promise("consent races: nothing is seen after a withdrawal")

STEPS = ("event", "event", "decision", "read", "commit", "train", "grant", "withdraw", "restrict")


def _now() -> int:
    return micros(datetime.now(UTC))


@dataclass
class Race:
    """One person, one proposal, and steps in any order.

    Attributes:
        engine: The database.
        client: The door.
        held: The flow's lease.
        name: The person's id.
        analytics: Whether they allow collection, as they were last told.
        improvement: Whether they allow learning, likewise.
        faults: What should not have happened.
    """

    engine: Engine
    client: Any
    held: Lease
    name: str
    analytics: bool = False
    improvement: bool = False
    faults: list[str] = field(default_factory=list)
    _batch: Batch | None = None

    def run(self, steps: list[str]) -> None:
        """Take steps, then let the flow come to its end."""
        for step in steps:
            getattr(self, step)()
        with writing(self.engine) as connection:
            settle(connection, unsettled(connection))
        self.commit()
        self.read()
        self.commit()

    def grant(self) -> None:
        self._answer(analytics=True, improvement=True)

    def withdraw(self) -> None:
        self._answer(analytics=False, improvement=False)

    def restrict(self) -> None:
        self._answer(analytics=True, improvement=False)

    def _answer(self, *, analytics: bool, improvement: bool) -> None:
        body = {"user_id": self.name, "analytics": analytics, "improvement": improvement}
        assert self.client.post("/api/tracking/consent", json=body).status_code == 200
        self.analytics, self.improvement = analytics, improvement

    def event(self) -> None:
        self._send("match-proposed", proposed(user_id=self.name, match_id=self.name))

    def decision(self) -> None:
        body = {"user_id": self.name, "match_id": self.name, "decision": True}
        self._send("match-decision", body)

    def _send(self, route: str, body: dict[str, Any]) -> None:
        status = self.client.post(f"/api/tracking/event/{route}", json=body).status_code
        if status != (200 if self.analytics else 403):
            self.faults.append(f"an event was answered {status}")

    def read(self) -> None:
        parts = batches.plan(self.engine, 1_000)
        self._batch = batches.read(self.engine, parts[0], _now()) if parts else None

    def commit(self) -> None:
        if self._batch is not None:
            batches.commit(self.engine, self.held, self._batch, {}, {}, as_of=_now())
            self._batch = None

    def flow(self) -> None:
        """Read and commit, on an engine that is watched."""
        self.read()
        self.commit()

    def training(self) -> None:
        """Read the training set, whatever comes of it."""
        read_training(self.engine, since_day=0, as_of=datetime.now(UTC))

    def train(self) -> None:
        now = datetime.now(UTC)
        rows = read_training(self.engine, since_day=0, as_of=now).frame["subject"]
        allowed = subjects.c.improvement & subjects.c.subject.in_(rows.tolist())
        with reading(self.engine) as connection:
            told = set(connection.execute(select(subjects.c.subject).where(allowed)).scalars())
        if set(rows) - told:
            self.faults.append("a row was learned from against a withdrawal")
        if len(rows) and not self.improvement:
            self.faults.append("somebody's row was learned from who does not allow it")


def race(settings: Settings, engine: Engine, trials: int, seed: int) -> list[str]:
    """Run races one after the other, each with a person of its own; return their faults."""
    draw = random.Random(seed)
    faults = []
    with client_of(settings) as client, lease(engine, PROCESS_EVENTS, 3_600) as held:
        for number in range(trials):
            steps = ["grant", *(draw.choice(STEPS) for _ in range(draw.randrange(4, 14)))]
            person = Race(engine, client, held, f"person-{number}")
            person.run(steps)
            if not person.analytics and _is_seen(engine):
                person.faults.append("the sums include who does not allow it")
            faults += [f"{' '.join(steps)}: {fault}" for fault in person.faults]
            person.withdraw()
            person.run([])
            if _is_seen(engine):
                faults.append(f"{' '.join(steps)}: a sum is left of who withdrew")
            _clear(engine)
    return faults


def withdraw_within(
    settings: Settings, engine: Engine, way: str, most: int = 1_000
) -> tuple[int, list[str]]:
    """Withdraw at every step boundary of what is under way, in turn; return how many, and faults.

    Args:
        settings: Of the installation.
        engine: Its database.
        way: What is under way: a ``flow`` that moves an event, or the ``training`` set's reading.
        most: Boundaries to try at most.
    """
    faults: list[str] = []
    at = 0
    with client_of(settings) as client, lease(engine, PROCESS_EVENTS, 3_600) as held:
        while at < most:
            at += 1
            person = Race(engine, client, held, f"{way}-{at}")
            person.run(["grant", "event", "decision"] if way == "training" else ["grant"])
            person.event()
            watched = connect(settings.url, busy_timeout_ms=30_000)
            withdrawing = Thread(target=person.withdraw)
            # Whether the withdrawal was answered before what is under way went on.
            answered: list[bool] = []
            boundaries = Boundaries(at, partial(_begin, withdrawing, answered))
            boundaries.watch(watched)
            getattr(replace(person, engine=watched), way)()
            watched.dispose()
            if boundaries.passed < at:
                at -= 1
                _clear(engine)
                break
            withdrawing.join()
            if way == "flow" and answered[0] and _is_seen(engine):
                faults.append(f"{way}, at boundary {at}: it counts who has withdrawn")
            person.run([])
            if _is_seen(engine):
                faults.append(f"{way}, at boundary {at}: a sum is left of who withdrew")
            person.train()
            faults += [f"{way}, at boundary {at}: {fault}" for fault in person.faults]
            _clear(engine)
    return at, faults


def _begin(withdrawing: Thread, answered: list[bool]) -> None:
    """Let somebody withdraw; who has to wait for what is under way goes on after it."""
    withdrawing.start()
    withdrawing.join(0.15)
    answered.append(not withdrawing.is_alive())


def _is_seen(engine: Engine) -> bool:
    """Tell whether any sum is left; only one person is there at a time."""
    with reading(engine) as connection:
        return connection.execute(select(metric_sums.c.value).limit(1)).first() is not None


def _clear(engine: Engine) -> None:
    """Delete the events, so that a trial costs the same however many came before."""
    reconcile(engine, 0)
    with writing(engine) as connection:
        connection.execute(events.delete())
        connection.exec_driver_sql("DELETE FROM matches")
        connection.exec_driver_sql("DELETE FROM staged")
        connection.exec_driver_sql("DELETE FROM metric_sums")


@pytest.mark.trials(short=25, full=5_000)
def test_nothing_is_seen_after_a_withdrawal(
    settings: Settings, engine: Engine, tally: Tally
) -> None:
    faults = race(settings, engine, tally.planned, seed=1)
    tally.count(trials=tally.planned)
    tally.failures += faults
    assert faults == []


@pytest.mark.parametrize("way", ["flow", "training"])
def test_nothing_is_seen_after_a_withdrawal_at_any_statement(
    settings: Settings, engine: Engine, tally: Tally, way: str
) -> None:
    points, faults = withdraw_within(settings, engine, way)
    tally.count(trials=points)
    tally.failures += faults
    assert points > 1
    assert faults == []


def test_flow_that_trusts_what_it_read_is_caught(
    settings: Settings, engine: Engine, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = batches._consents

    def trust(*arguments: Any, **more: Any) -> Any:
        found = ask(*arguments, **more)
        found[:, 1] = 1
        return found

    monkeypatch.setattr(batches, "_consents", trust)
    try:
        _, at_points = withdraw_within(settings, engine, "flow", most=6)
        tally.mutant_caught = at_points != [] and race(settings, engine, 40, seed=1) != []
    except SumsDiffer:
        tally.mutant_caught = True
    assert tally.mutant_caught
