"""Flows beside each other leave what flows in turn leave: pairs and triples of all five.

They begin at random offsets. The closing run of processing and purge is part of either: a
schedule has a next time, too. Sums of days past the retention of matches are left out, because
nothing recounts or corrects them. What is sealed is published as it stood, so it is not compared;
that sealing and recounting agree beside all others is.
"""

from __future__ import annotations

import itertools
import random
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from schemas.clock import MICROS_PER_DAY, moment
from schemas.errors import NotReady, SumsDiffer
from schemas.retention import rules
from schemas.settings import Settings
from tests.histories import NOW, TODAY, history, stage, tables
from tests.population import answer
from warehouse import batches, erasure
from warehouse.audit import balance
from warehouse.blocks import seal
from warehouse.engine import connect, writing
from warehouse.erasure import delete_subject
from warehouse.erasure_requests import begin, pending_erasures
from warehouse.leases import AGGREGATE_METRICS, PROCESS_EVENTS, lease
from warehouse.months import make_months
from warehouse.recount import reconcile
from warehouse.retention import begin_evidence, delete_expired
from warehouse.subtraction import settle, unsettled
from warehouse.training import read_training, record_training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import SecretStr
    from sqlalchemy import Engine

    from tests.faults.conftest import Tally
    from tests.faults.worlds import Worlds

    Job = Callable[[Engine], None]

pytestmark = pytest.mark.promise("flows beside each other leave what flows in turn leave")

PEOPLE, PARTITION, WAIT_SECONDS = 12, 23, 60.0
ERASED = 3
SMALLEST_GROUP = 3
OLD_DAYS = 500
SINCE = TODAY - Settings.model_fields["events_retention_days"].default
RETRIES = 3
"""As often as the flows' steps try again when the database does not answer."""


def busy_market(engine: Engine) -> None:
    """Stage events of old and of new matches, and let a person ask to be erased."""
    make_months(engine, TODAY - OLD_DAYS - 30, TODAY)
    people = [answer(engine, str(n), "analytics", "improvement") for n in range(PEOPLE)]
    rows = history(23, length=220, subjects=PEOPLE, matches=30)
    for row in rows:
        row["subject"] = people[row["subject"] - 1]
        if row["match_key"] % 3 == 0:
            row["occurred_at"] -= OLD_DAYS * MICROS_PER_DAY
    stage(engine, rows[:60])
    process(engine)
    stage(engine, rows[60:])
    begin(engine, people[ERASED], moment(NOW))


def process(engine: Engine) -> None:
    with lease(engine, PROCESS_EVENTS, WAIT_SECONDS, wait_seconds=WAIT_SECONDS) as held:
        again(partial(settle_all, engine))
        parts = batches.plan(engine, PARTITION)

        def move(part: batches.Partition) -> None:
            again(
                lambda: batches.commit(
                    engine, held, batches.read(engine, part, NOW), {}, {}, as_of=NOW
                )
            )

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(move, parts))


def settle_all(engine: Engine) -> None:
    with writing(engine) as connection:
        settle(connection, unsettled(connection))


def purge(engine: Engine) -> None:
    classes = rules(Settings(), moment(NOW))
    with lease(engine, "purge_expired", WAIT_SECONDS, wait_seconds=WAIT_SECONDS) as held:
        run = f"run-{held.fence}"
        begin_evidence(engine, run, classes, moment(NOW))
        for rule in classes:
            # What waits is left to the processing: it goes by the hour, not by this clock.
            if rule.data_class != "staged":
                again(partial(delete_expired, engine, rule, held, run))


def erase(engine: Engine) -> None:
    for request in pending_erasures(engine):
        with lease(engine, "erase_subject", WAIT_SECONDS, wait_seconds=WAIT_SECONDS) as held:
            again(partial(delete_subject, engine, request, held))


def retrain(engine: Engine) -> None:
    told = {"outcome": "refused", "reason": "a trial", "now": moment(NOW)}
    with lease(engine, "retrain_model", WAIT_SECONDS) as held:
        training = read_training(engine, since_day=0, as_of=moment(NOW))
        again(partial(record_training, engine, held, "7", training, **told))


def again(step: Callable[[], Any]) -> None:
    """Take a step, and take it again where the database did not answer, as a task does."""
    for left in reversed(range(RETRIES + 1)):
        try:
            step()
        except NotReady:
            if not left:
                raise
        else:
            return


def aggregate(engine: Engine) -> None:
    with lease(engine, AGGREGATE_METRICS, WAIT_SECONDS, wait_seconds=WAIT_SECONDS) as held:
        again(partial(seal, engine, held, TODAY, SMALLEST_GROUP, NOW))
        again(partial(reconcile, engine, SINCE))


FLOWS: tuple[Job, ...] = (process, aggregate, purge, erase, retrain)
MOST_OFFSET_SECONDS = 0.15
"""About as long as the longest of them takes here."""


def outcome(url: SecretStr, run: Callable[[list[Engine]], None]) -> tuple[Any, str | None]:
    """Run something on engines of its own; return what it left, and what is wrong with that."""
    engines = [connect(url, busy_timeout_ms=60_000) for _ in FLOWS]
    try:
        run(engines)
        process(engines[0])
        purge(engines[0])
        reconcile(engines[0], SINCE)
        wrong = None if balance(engines[0]).agrees else "the books do not balance"
        left = tables(engines[0])
    finally:
        for engine in engines:
            engine.dispose()
    sums = [row for row in left["sums"] if row[2] >= SINCE]
    return {**{name: left[name] for name in ("matches", "events", "rejected")}, "sums": sums}, wrong


def in_turn(order: tuple[Job, ...], engines: list[Engine]) -> None:
    for job in order:
        job(engines[0])


def beside(order: tuple[Job, ...], offsets: list[float], engines: list[Engine]) -> None:
    ready = Barrier(len(order))

    def start(job: Job, offset: float, engine: Engine) -> None:
        ready.wait()
        time.sleep(offset)
        job(engine)

    with ThreadPoolExecutor(len(order)) as pool:
        list(pool.map(start, order, offsets, engines))


def in_series(copies: Iterator[SecretStr], order: tuple[Job, ...]) -> Any:
    """Return what flows leave in turn: the same, whichever comes first."""
    one, _ = outcome(next(copies), partial(in_turn, order))
    other, _ = outcome(next(copies), partial(in_turn, order[::-1]))
    assert one == other
    assert one["matches"]
    assert one["sums"]
    return one


def combinations() -> list[tuple[Job, ...]]:
    """Return all pairs and triples, two of the processing, those with others, and all at once."""
    chosen = [*itertools.combinations(FLOWS, 2), *itertools.combinations(FLOWS, 3)]
    return [*chosen, (process, process), (process, process, purge, erase, retrain), FLOWS]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.trials(short=3, full=276)
def test_flows_beside_each_other_leave_what_flows_in_turn_leave(
    kind: str, tally: Tally, make_worlds: Callable[..., Worlds]
) -> None:
    copies = make_worlds(kind, busy_market).copies()
    draw = random.Random(kind)
    every = combinations() if tally.full else draw.sample(combinations(), 2)
    expected = {order: in_series(copies, order) for order in every}
    for _, order in zip(range(tally.planned), itertools.cycle(every), strict=False):
        offsets = [draw.uniform(0, MOST_OFFSET_SECONDS) for _ in order]
        left, wrong = outcome(next(copies), partial(beside, order, offsets))
        told = [name for name in left if left[name] != expected[order][name]]
        if wrong is None and told:
            wrong = "other than in turn: " + ", ".join(told)
        names = " and ".join(job.__name__ for job in order)
        tally.count(wrong and f"{names}: {wrong}")
    copies.close()
    assert tally.failures == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_erasure_that_leaves_the_sums_as_they_are_is_seen(
    kind: str,
    tally: Tally,
    make_worlds: Callable[..., Worlds],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies = make_worlds(kind, busy_market).copies()
    monkeypatch.setattr(erasure, "subtract_subject", lambda *_arguments: None)
    # First of all: a processing that comes before has taken the person out of the sums already.
    with pytest.raises(SumsDiffer):
        outcome(next(copies), partial(in_turn, (erase, process)))
    tally.mutant_caught = True
    tally.count()
    copies.close()
