"""Clocks may lie: nothing is purged early by one that jumps, and nothing stays by one that lags."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from schemas.clock import MICROS_PER_DAY, moment
from schemas.retention import rules
from schemas.settings import Settings
from schemas.tables import events, matches
from tests.faults.worlds import now
from tests.histories import admit, make_row, process, stage
from warehouse import clock_witness
from warehouse.audit import balance
from warehouse.engine import reading
from warehouse.leases import lease
from warehouse.retention import begin_evidence, delete_expired

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("clocks may lie: nothing is purged early, nothing stays")

HOUR = MICROS_PER_DAY // 24
LIES = (0, 0, 0, HOUR, -HOUR, -MICROS_PER_DAY, -400 * MICROS_PER_DAY)
JUMPS = (4 * MICROS_PER_DAY, 400 * MICROS_PER_DAY, 4_000 * MICROS_PER_DAY)
RETENTION_DAYS = 30
SETTINGS = Settings(events_retention_days=RETENTION_DAYS)
NIGHTS = 12
AGED = (events, matches)


def purge(engine: Engine, told: int, run: str, *, clock_is_right: bool = False) -> None:
    """Purge events by a clock that tells some time, as the flow does."""
    try:
        if not clock_is_right:
            clock_witness.check_clock(engine, told)
    except clock_witness.ClockJumped:
        return
    classes = [one for one in rules(SETTINGS, moment(told)) if one.table in AGED]
    with lease(engine, "purge_expired", 60) as held:
        begin_evidence(engine, run, classes, moment(told))
        for rule in classes:
            delete_expired(engine, rule, held, run)


def live(engine: Engine, draw: random.Random, name: str) -> list[str]:
    """Let nights pass by a clock that lies; return what was purged early or stayed."""
    begun = now()
    made = {
        number: begun - draw.randrange(20, 45) * MICROS_PER_DAY - draw.randrange(MICROS_PER_DAY)
        for number in range(1, 200)
    }
    # Age counts from when something happened, which may be long before it arrived.
    stage(
        engine,
        [
            make_row(
                "match_viewed",
                match_key=number,
                occurred_at=at,
                received_at=draw.randrange(at, begun),
            )
            for number, at in made.items()
        ],
    )
    process(engine, as_of=begun, validate=False)
    # The first purge comes on time: it is what later ones are held against.
    purge(engine, begun, f"{name}-first")
    faults = []
    for night in range(NIGHTS):
        right = begun + night * MICROS_PER_DAY
        lie = draw.choice(LIES + JUMPS)
        before = _kept(engine)
        purge(engine, right + lie, f"{name}-{night}")
        early = max(0, lie) if lie not in JUMPS else 0
        faults += [
            f"purged early by a clock that is off by {lie} us"
            for _, number in before - _kept(engine)
            if right + early - made[number] < RETENTION_DAYS * MICROS_PER_DAY
        ]
    last = begun + NIGHTS * MICROS_PER_DAY
    # After nights without a purge a person says that the clock is right.
    purge(engine, last, f"{name}-last", clock_is_right=True)
    left = {
        (table, number)
        for table, number in _kept(engine)
        if made[number] < last - (RETENTION_DAYS + 1) * MICROS_PER_DAY
    }
    if left:
        faults.append(f"{len(left)} rows stay past their time")
    return faults


def _kept(engine: Engine) -> set[tuple[str, int]]:
    """Return the table and number of each row that is there, one a match in either table."""
    with reading(engine) as connection:
        return {
            (table.name, number)
            for table in AGED
            for number in connection.execute(select(table.c.match_key)).scalars()
        }


@pytest.mark.trials(short=2, full=150)
def test_no_event_goes_early_and_none_stays(engine: Engine, tally: Tally) -> None:
    admit(engine, [1])
    for trial in range(tally.planned):
        faults = live(engine, random.Random(trial), str(trial))
        tally.count("; ".join(faults) or None)
        with engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM purges")
    assert balance(engine).agrees
    assert tally.failures == []


def lead_away(engine: Engine, name: str, days: float) -> int:
    """Return how many events of a minute ago a clock purges that is further ahead each time."""
    begun = now()
    young = [
        make_row("match_viewed", match_key=n, occurred_at=begun - 60_000_000, received_at=begun)
        for n in range(1, 50)
    ]
    stage(engine, young)
    process(engine, as_of=begun, validate=False)
    purge(engine, begun, f"{name}-first")
    before = len(_kept(engine))
    for step in range(1, 2 * RETENTION_DAYS):
        purge(engine, begun + int(step * days * MICROS_PER_DAY), f"{name}-{step}")
    return before - len(_kept(engine))


@pytest.mark.parametrize("days", [1.5, 2.0, 2.9])
def test_no_event_goes_early_by_a_clock_that_is_led_away(
    engine: Engine, tally: Tally, days: float
) -> None:
    admit(engine, [1])
    early = lead_away(engine, "led", days)
    tally.count(f"{early} purged early, {days} days at a time" if early else None)
    assert tally.failures == []


def test_purge_that_believes_each_jump_anew_is_caught(
    engine: Engine, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(engine, [1])
    monkeypatch.setattr(clock_witness, "_spare", lambda _ends: clock_witness._SPARE)
    tally.mutant_caught = lead_away(engine, "mutant", 2.9) != 0
    assert tally.mutant_caught


def test_purge_that_believes_every_clock_is_caught(
    engine: Engine, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(engine, [1])
    monkeypatch.setattr(clock_witness, "check_clock", lambda *_: None)
    tally.mutant_caught = live(engine, random.Random(3), "mutant") != []
    assert tally.mutant_caught
