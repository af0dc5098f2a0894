"""Clocks that jump purge nothing early; clocks that lag or change to summer time do no harm."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from schemas.clock import MICROS_PER_DAY, micros, moment
from schemas.errors import InvalidInput
from schemas.events import EventKind
from schemas.retention import Aged, not_later, rules
from schemas.settings import Settings
from schemas.tables import metadata
from tests.population import RUN, answer, arrive, days_before, event, process
from warehouse.clock_witness import MOST_DAYS, ClockJumped, check_clock
from warehouse.engine import reading
from warehouse.leases import lease
from warehouse.retention import begin_evidence, count_expired, delete_expired

if TYPE_CHECKING:
    from sqlalchemy import Engine

NOW = micros(RUN)
YEAR = 365 * MICROS_PER_DAY


def purged(engine: Engine, at: int) -> None:
    begin_evidence(engine, f"run-{at}", [Aged("events", 0)], moment(at))


@pytest.mark.parametrize("ahead", [MOST_DAYS * MICROS_PER_DAY + 1, 30 * MICROS_PER_DAY, 10 * YEAR])
def test_a_clock_ahead_of_the_last_purge_is_not_believed(engine: Engine, ahead: int) -> None:
    purged(engine, NOW)

    with pytest.raises(ClockJumped, match="--clock-is-right"):
        check_clock(engine, NOW + ahead)


@pytest.mark.parametrize("after", [-10 * YEAR, -1, 0, MICROS_PER_DAY, MOST_DAYS * MICROS_PER_DAY])
def test_a_clock_that_lags_or_goes_on_is_believed(engine: Engine, after: int) -> None:
    purged(engine, NOW)

    check_clock(engine, NOW + after)


@pytest.mark.parametrize("step", [1.3, 2.0, 2.9])
def test_a_clock_that_is_led_away_purge_after_purge_is_believed_once(
    engine: Engine, step: float
) -> None:
    purged(engine, NOW)
    told, believed = NOW, 0
    for _ in range(20):
        told += int(step * MICROS_PER_DAY)
        try:
            check_clock(engine, told)
        except ClockJumped:
            continue
        purged(engine, told)
        believed += 1

    # 1.75 days in all are believed beyond the day and a quarter of each night.
    assert believed == min(int(1.75 / (step - 1.25)), 20)


def test_every_weekend_may_be_missed(engine: Engine) -> None:
    for week in range(5):
        for day in range(5):
            at = NOW + (7 * week + day) * MICROS_PER_DAY
            check_clock(engine, at)
            purged(engine, at)


def test_a_night_after_a_persons_word_is_believed(engine: Engine) -> None:
    purged(engine, NOW)
    purged(engine, NOW + YEAR)  # by --clock-is-right

    check_clock(engine, NOW + YEAR + MICROS_PER_DAY + MICROS_PER_DAY // 4)
    with pytest.raises(ClockJumped):
        check_clock(engine, NOW + YEAR + 2 * MICROS_PER_DAY)


def test_a_night_on_time_gives_half_a_day_back(engine: Engine) -> None:
    purged(engine, NOW)
    purged(engine, NOW + MOST_DAYS * MICROS_PER_DAY)
    last = NOW + (MOST_DAYS + 1) * MICROS_PER_DAY
    purged(engine, last)

    night_and_half = (MICROS_PER_DAY * 5 // 4) + MICROS_PER_DAY // 2
    check_clock(engine, last + night_and_half)
    with pytest.raises(ClockJumped):
        check_clock(engine, last + night_and_half + 1)


def test_of_the_purges_of_a_day_the_last_counts(engine: Engine) -> None:
    midnight = NOW // MICROS_PER_DAY * MICROS_PER_DAY
    purged(engine, midnight)
    purged(engine, midnight + MICROS_PER_DAY - 1)

    check_clock(engine, midnight + (1 + MOST_DAYS) * MICROS_PER_DAY - 1)


def test_what_arrived_by_the_wrong_clock_does_not_vouch_for_it(engine: Engine) -> None:
    purged(engine, NOW)
    subject = answer(engine, "anybody", "analytics", at=NOW + YEAR)
    arrive(engine, [event(EventKind.PROPOSED, subject, 1, received_at=NOW + YEAR)])

    with pytest.raises(ClockJumped):
        check_clock(engine, NOW + YEAR)


def test_the_first_purge_is_held_against_what_arrived(engine: Engine) -> None:
    check_clock(engine, NOW)
    subject = answer(engine, "anybody", "analytics", at=NOW - MICROS_PER_DAY)
    arrive(engine, [event(EventKind.PROPOSED, subject, 1, received_at=NOW)])

    check_clock(engine, NOW + MICROS_PER_DAY)
    with pytest.raises(ClockJumped):
        check_clock(engine, NOW + 5 * YEAR)


def test_what_came_by_a_clock_that_jumped_does_not_vouch_for_it_at_the_first_purge(
    engine: Engine,
) -> None:
    answer(engine, "before", "analytics", at=NOW - 5 * MICROS_PER_DAY)
    answer(engine, "later", "analytics", at=NOW - 3 * MICROS_PER_DAY)
    for number in range(150):
        subject = answer(engine, f"ahead {number}", "analytics", at=NOW + YEAR)
    arrive(engine, [event(EventKind.PROPOSED, subject, 1, received_at=NOW + YEAR)])

    with lease(engine, "purge_expired", 60.0), pytest.raises(ClockJumped):
        check_clock(engine, NOW + YEAR)
    check_clock(engine, NOW)


def test_summer_time_moves_no_cutoff() -> None:
    paris = ZoneInfo("Europe/Paris")
    for year, month, day in ((2026, 3, 29), (2026, 10, 25)):
        for hour in (0, 1, 2, 3, 23):
            for fold in (0, 1):
                local = datetime(year, month, day, hour, 30, tzinfo=paris, fold=fold)
                for rule in rules(Settings(), local):
                    age = local.astimezone(UTC) - moment(rule.cutoff)
                    assert age >= timedelta(days=7), rule.data_class
                    same = {
                        r.data_class: r.cutoff for r in rules(Settings(), local.astimezone(UTC))
                    }
                    assert rule.cutoff == same[rule.data_class]


def test_age_is_told_by_a_time_that_has_come() -> None:
    assert not_later(None, RUN) == RUN
    assert not_later(RUN - timedelta(hours=1), RUN) == RUN - timedelta(hours=1)
    for wrong in (RUN + timedelta(seconds=1), RUN.replace(tzinfo=None)):
        with pytest.raises(InvalidInput):
            not_later(wrong, RUN)


@pytest.mark.parametrize("seed", range(3))
def test_what_a_dry_run_tells_is_exactly_what_goes(engine: Engine, seed: int) -> None:
    draw = random.Random(seed)
    subject = answer(engine, "anybody", "analytics", "improvement")
    ages = [draw.choice([0.1, 6.9, 7.1, 99.0, 101.0, 394.0, 396.0, 800.0]) for _ in range(60)]
    ages += [draw.uniform(390, 400) for _ in range(20)]
    arrive(
        engine,
        [
            event(EventKind.PROPOSED, subject, n, occurred_at=days_before(age), received_at=NOW)
            for n, age in enumerate(ages)
        ],
    )
    process(engine)
    late = [draw.uniform(5, 9) for _ in range(20)]
    arrive(
        engine, [event(EventKind.VIEWED, subject, 9, received_at=days_before(age)) for age in late]
    )
    classes = rules(Settings(), RUN)
    told = {rule.data_class: count_expired(engine, rule) for rule in classes}
    kept = {
        rule.data_class: _young(engine, rule.table.name) - told[rule.data_class] for rule in classes
    }

    with lease(engine, "purge_expired", 60) as held:
        gone = {rule.data_class: delete_expired(engine, rule, held, "run") for rule in classes}

    assert gone == told
    assert told["events"] > 0
    assert told["staged"] > 0
    assert {rule.data_class: _young(engine, rule.table.name) for rule in classes} == kept


def _young(engine: Engine, table: str) -> int:
    with reading(engine) as connection:
        query = select(func.count()).select_from(metadata.tables[table])
        return connection.execute(query).scalar_one()
