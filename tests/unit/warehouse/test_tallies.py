"""People are counted by purpose, withdrawals by day, and counting again changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from schemas.clock import MICROS_PER_DAY
from schemas.errors import LeaseLost
from schemas.tables import tallies as counted
from tests.histories import NOW, TODAY, make_row, stage
from tests.population import answer
from tests.population import process as fold
from warehouse import blocks, tallies
from warehouse.engine import reading
from warehouse.leases import AGGREGATE_METRICS, lease

if TYPE_CHECKING:
    from sqlalchemy import Engine


def count(engine: Engine, at: int = NOW) -> dict[str, int]:
    with lease(engine, AGGREGATE_METRICS, 60) as held:
        return tallies.count_people(engine, held, at)


def withdrawn(engine: Engine) -> dict[str, int]:
    with reading(engine) as connection:
        return tallies.summed(connection, tallies.WITHDRAWN, TODAY - 30, TODAY + 1)


def test_people_are_counted_by_what_they_allow_now(engine: Engine) -> None:
    answer(engine, "a", "analytics", "improvement")
    answer(engine, "b", "analytics")
    answer(engine, "c")

    assert count(engine) == {"analytics": 2, "improvement": 1, "preferences": 0}
    with reading(engine) as connection:
        assert tallies.newest(connection, tallies.PEOPLE) == (TODAY, {"": 3})


def test_a_run_that_was_overtaken_counts_nobody(engine: Engine) -> None:
    with lease(engine, AGGREGATE_METRICS, 60) as old:
        pass

    with lease(engine, AGGREGATE_METRICS, 60), pytest.raises(LeaseLost):
        tallies.count_people(engine, old, NOW)

    with reading(engine) as connection:
        assert tallies.newest(connection, tallies.PEOPLE) == (None, {})


def test_of_the_counts_of_people_the_last_alone_is_kept(engine: Engine) -> None:
    answer(engine, "a", "analytics", at=NOW - MICROS_PER_DAY)
    for at in (NOW - MICROS_PER_DAY, NOW):
        count(engine, at)

    with reading(engine) as connection:
        kept = connection.execute(select(counted.c.day, counted.c.figure)).all()
    assert {tuple(row) for row in kept} == {
        (TODAY, tallies.PEOPLE),
        (TODAY, tallies.CONSENTING),
    }


def test_a_purpose_taken_back_counts_on_its_day_and_a_refusal_from_the_start_does_not(
    engine: Engine,
) -> None:
    answer(engine, "a", "analytics", "improvement", at=NOW - 3 * MICROS_PER_DAY)
    answer(engine, "a", "analytics", at=NOW - 2 * MICROS_PER_DAY)
    answer(engine, "b", at=NOW - 2 * MICROS_PER_DAY)
    count(engine, NOW - 2 * MICROS_PER_DAY)
    assert withdrawn(engine) == {"improvement": 1}

    answer(engine, "a", at=NOW - 2 * MICROS_PER_DAY + 1_000)
    answer(engine, "a", "analytics", at=NOW)
    for _ in range(2):
        count(engine)

    assert withdrawn(engine) == {"analytics": 1, "improvement": 1}
    with reading(engine) as connection:
        today = tallies.summed(connection, tallies.WITHDRAWN, TODAY, TODAY + 1)
    assert today == {}


def test_slices_that_were_left_out_of_a_block_are_counted(engine: Engine) -> None:
    people = [answer(engine, f"u{number}", "analytics") for number in range(12)]
    early = NOW - 5 * MICROS_PER_DAY
    version = {"model_version": "rare"}
    stage(
        engine,
        [
            make_row(
                "match_proposed",
                subject=subject,
                match_key=number,
                occurred_at=early,
                figures={"constraint_satisfaction": {}} | (version if number == 0 else {}),
            )
            for number, subject in enumerate(people)
        ],
    )
    fold(engine)

    with lease(engine, AGGREGATE_METRICS, 60) as held:
        sealed = blocks.seal(engine, held, TODAY, 10, NOW)

    assert [block.subjects for block in sealed] == [12]
    with reading(engine) as connection:
        # The proposals of the version that only one person saw.
        assert tallies.newest(connection, tallies.WITHHELD) == (sealed[0].until - 1, {"": 1})
