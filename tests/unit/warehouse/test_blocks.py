"""Published blocks never change, and nothing in them or between them isolates fewer than k."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, select, text
from sqlalchemy.exc import DBAPIError

from schemas.clock import LATE_DAYS, MICROS_PER_DAY, iso_day, moment
from schemas.errors import LeaseLost
from schemas.events import EventKind
from schemas.tables import block_sums, blocks, leases
from tests.histories import NOW, TODAY, admit, consent, make_row, process, stage
from warehouse import blocks as sealing
from warehouse import metrics
from warehouse.blocks import MOST_DAYS, Block, seal
from warehouse.engine import is_postgres, reading, writing
from warehouse.leases import AGGREGATE_METRICS, lease

if TYPE_CHECKING:
    from sqlalchemy import Engine

K = 10
AS_OF = moment(NOW)


def _propose(
    engine: Engine, people: range, day: int, *, names: tuple[str, ...] = (), version: str = "1"
) -> None:
    rows = []
    for subject in people:
        at = {
            "subject": subject,
            "match_key": day * 1_000 + subject,
            "occurred_at": day * MICROS_PER_DAY + 1,
        }
        figures = {"constraint_satisfaction": dict.fromkeys(names, 0.5), "model_version": version}
        rows += [
            make_row(EventKind.PROPOSED, figures=figures, **at),
            make_row(EventKind.ACCEPTED if subject % 2 else EventKind.REJECTED, **at),
        ]
    stage(engine, rows)
    process(engine, validate=False)


def _seal(engine: Engine, today: int = TODAY) -> list[Block]:
    with lease(engine, AGGREGATE_METRICS, 60) as held:
        return seal(engine, held, today, K, NOW)


def _published(engine: Engine) -> list[tuple[Any, ...]]:
    with reading(engine) as connection:
        query = select(block_sums).order_by(*block_sums.primary_key)
        return [tuple(row) for row in connection.execute(query)]


def test_days_are_merged_until_enough_people_stand_behind(engine: Engine) -> None:
    admit(engine, range(1, 31))
    for day, people in ((-9, range(1, 9)), (-8, range(7, 15)), (-6, range(15, 22))):
        _propose(engine, people, TODAY + day)
    _propose(engine, range(1, 21), TODAY - 5)
    _propose(engine, range(1, 10), TODAY - 4)
    assert _seal(engine) == [Block(TODAY - 9, TODAY - 5, 21), Block(TODAY - 5, TODAY - 4, 20)]


def test_block_waits_a_week_for_decisions_that_can_be_told(engine: Engine) -> None:
    admit(engine, range(1, 31))
    _propose(engine, range(1, 16), TODAY - MOST_DAYS - LATE_DAYS)
    assert _seal(engine, TODAY - 1) == []
    assert _seal(engine) == [Block(TODAY - MOST_DAYS - LATE_DAYS, TODAY - LATE_DAYS, 15)]
    found = metrics.acceptance(engine, 30, AS_OF, published=True)
    told = (found["total_proposed"], found["total_decided"], found["total_undecided"])
    assert told == (15, None, None)
    _propose(engine, range(1, 21), TODAY - LATE_DAYS)
    assert _seal(engine, TODAY + 1) == [Block(TODAY - LATE_DAYS, TODAY - LATE_DAYS + 1, 20)]
    found = metrics.acceptance(engine, 30, AS_OF, published=True)
    assert (found["total_proposed"], found["total_decided"], found["total_undecided"]) == (
        35,
        20,
        0,
    )
    assert found["acceptance_rate"] == 0.5


def test_unfinished_days_wait(engine: Engine) -> None:
    admit(engine, range(1, 21))
    _propose(engine, range(1, 21), TODAY - LATE_DAYS)
    assert _seal(engine) == []
    assert _seal(engine, TODAY + 1) == [Block(TODAY - LATE_DAYS, TODAY - LATE_DAYS + 1, 20)]


def test_sealed_block_never_changes(engine: Engine) -> None:
    admit(engine, range(1, 31))
    _propose(engine, range(1, 21), TODAY - 5)
    _seal(engine)
    before = _published(engine)
    _propose(engine, range(21, 31), TODAY - 5)
    assert _seal(engine) == []
    assert _published(engine) == before
    exact = metrics.acceptance(engine, 30, AS_OF, published=False)
    published = metrics.acceptance(engine, 30, AS_OF, published=True)
    assert (exact["total_proposed"], published["total_proposed"]) == (30, 20)


def test_small_slice_is_left_out(engine: Engine) -> None:
    admit(engine, range(1, 31))
    _propose(engine, range(1, 21), TODAY - 5, version="1")
    _propose(engine, range(21, 30), TODAY - 5, version="2")
    _seal(engine)
    found = metrics.models(engine, 30, AS_OF, published=True)["models"]
    assert list(found) == ["1"]
    assert metrics.acceptance(engine, 30, AS_OF, published=True)["total_proposed"] == 20


@pytest.mark.parametrize(("without", "told"), [(0, True), (1, False), (9, False), (20, True)])
def test_constraint_whose_complement_is_small_is_left_out(
    engine: Engine, without: int, told: bool
) -> None:
    admit(engine, range(1, 41))
    _propose(engine, range(1, 21), TODAY - 5, names=("near",))
    _propose(engine, range(21, 21 + without), TODAY - 5)
    _seal(engine)
    found = metrics.constraints(engine, 30, AS_OF, published=True)["constraints"]
    assert ("near" in found) is told


def test_constraint_of_few_people_is_left_out(engine: Engine) -> None:
    admit(engine, range(1, 41))
    _propose(engine, range(1, 10), TODAY - 5, names=("rare",))
    _propose(engine, range(10, 41), TODAY - 5, names=("near",))
    _seal(engine)
    assert list(metrics.constraints(engine, 30, AS_OF, published=True)["constraints"]) == []


def test_two_constraints_whose_overlap_is_small_are_not_both_told(engine: Engine) -> None:
    admit(engine, range(1, 81))
    # Every proposal names one of them: near + level - proposed is how many name both.
    _propose(engine, range(1, 41), TODAY - 5, names=("near",))
    _propose(engine, range(41, 45), TODAY - 5, names=("level", "near"))
    _propose(engine, range(45, 81), TODAY - 5, names=("level",))
    _seal(engine)
    assert list(metrics.constraints(engine, 30, AS_OF, published=True)["constraints"]) == ["near"]


def test_people_who_do_not_consent_stand_behind_nothing(engine: Engine) -> None:
    admit(engine, range(1, 10))
    admit(engine, range(10, 30), analytics=False)
    _propose(engine, range(1, 30), TODAY - 5)
    assert _seal(engine) == []


def test_block_leaves_out_who_has_withdrawn_before_the_sums_have_followed(engine: Engine) -> None:
    admit(engine, range(1, 31))
    _propose(engine, range(1, 31), TODAY - LATE_DAYS - 1)
    for number in range(1, 9):
        consent(engine, number, analytics=False)
    assert [block.subjects for block in _seal(engine)] == [22]
    found = metrics.acceptance(engine, 30, AS_OF, published=True)
    assert found["total_proposed"] == 22


def test_window_is_the_union_of_whole_blocks_and_says_which(engine: Engine) -> None:
    admit(engine, range(1, 31))
    for day in (-20, -12, -5):
        _propose(engine, range(1, 21), TODAY + day)
    _seal(engine)
    found = metrics.acceptance(engine, 14, AS_OF, published=True)
    # The second block began the day after the first one ended, before the window: it is left out.
    assert found["window"] == {
        "since": iso_day(TODAY - 11),
        "until": iso_day(TODAY - 4),
        "published": True,
        "days": 14,
    }
    assert found["total_proposed"] == 20
    assert metrics.acceptance(engine, 2, AS_OF, published=True)["window"]["since"] is None


def test_no_two_windows_differ_by_fewer_than_k_people(engine: Engine) -> None:
    draw = random.Random(4)
    admit(engine, range(1, 41))
    shown: dict[int, set[int]] = {}
    for day in range(TODAY - 25, TODAY - 3):
        first = draw.randrange(1, 38)
        people = range(first, first + draw.randrange(0, 4))
        shown[day] = set(people)
        if people:
            _propose(engine, people, day)
    _seal(engine)
    windows = set()
    for days in range(1, 40):
        window = metrics.acceptance(engine, days, AS_OF, published=True)["window"]
        if window["since"]:
            windows.add((window["since"], window["until"]))
    spans = [
        (int(since), int(until))
        for since, until in (
            (
                next(d for d in range(TODAY - 60, TODAY + 2) if iso_day(d) == a),
                next(d for d in range(TODAY - 60, TODAY + 2) if iso_day(d) == b),
            )
            for a, b in windows
        )
    ]
    assert len(spans) > 1
    for one in spans:
        for other in spans:
            days_apart = set(range(*one)) ^ set(range(*other))
            people_apart = set().union(*(shown.get(day, set()) for day in days_apart))
            assert not days_apart or len(people_apart) >= K


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE block_sums SET value = value + 1",
        "DELETE FROM block_sums",
        "DELETE FROM block_sums WHERE measure = 'decided'",
        "INSERT INTO block_sums VALUES (1, 'late', '', '', 1)",
        "UPDATE blocks SET until_day = until_day + 1",
        "UPDATE block_sums SET block = 7",
    ],
)
def test_the_database_refuses_to_change_a_sealed_block(engine: Engine, change: str) -> None:
    admit(engine, range(1, 21))
    _propose(engine, range(1, 21), TODAY - 5)
    _seal(engine)
    before = _published(engine)
    with pytest.raises(DBAPIError, match="sealed"), writing(engine) as connection:
        connection.execute(text(change))
    assert _published(engine) == before


def test_the_database_refuses_a_block_over_sealed_days_or_in_its_place(engine: Engine) -> None:
    admit(engine, range(1, 21))
    _propose(engine, range(1, 21), TODAY - 5)
    _seal(engine)
    again = {"block": 1, "since_day": TODAY - 9, "until_day": TODAY, "subjects": 1, "sealed_at": 1}
    verbs = ["INSERT"] if is_postgres(engine) else ["INSERT", "INSERT OR REPLACE"]
    for verb in verbs:
        for number in (1, 2):
            with pytest.raises(DBAPIError, match="sealed"), writing(engine) as connection:
                connection.execute(
                    text(
                        f"{verb} INTO blocks (block, since_day, until_day, subjects, sealed_at)"
                        " VALUES (:block, :since_day, :until_day, :subjects, :sealed_at)"
                    ),
                    again | {"block": number},
                )


def test_a_block_goes_whole(engine: Engine) -> None:
    admit(engine, range(1, 21))
    _propose(engine, range(1, 21), TODAY - 5)
    _seal(engine)
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM blocks"))
    assert _published(engine) == []


def test_zombie_cannot_seal(engine: Engine) -> None:
    admit(engine, range(1, 21))
    _propose(engine, range(1, 21), TODAY - 5)
    with lease(engine, AGGREGATE_METRICS, 60) as held:
        with writing(engine) as connection:
            connection.execute(
                leases.update()
                .where(leases.c.name == AGGREGATE_METRICS)
                .values(fence=leases.c.fence + 1)
            )
        with pytest.raises(LeaseLost):
            seal(engine, held, TODAY, K, NOW)
    with reading(engine) as connection:
        assert connection.execute(select(blocks)).all() == []


def test_what_was_sealed_once_is_not_sealed_again_whatever_becomes_of_its_block(
    engine: Engine,
) -> None:
    admit(engine, range(1, 31))
    _propose(engine, range(1, 21), TODAY - 9)
    assert _seal(engine) == [Block(TODAY - 9, TODAY - 8, 20)]

    with writing(engine) as connection:
        connection.execute(delete(blocks))

    assert _seal(engine) == []
    _propose(engine, range(1, 21), TODAY - 7)
    assert _seal(engine) == [Block(TODAY - 8, TODAY - 6, 20)]


def test_who_withdraws_while_a_block_is_being_made_is_not_in_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(engine, range(1, 31))
    _propose(engine, range(1, 25), TODAY - 5)
    make = sealing.publishable

    def withdraw(*made_of: Any) -> Any:
        monkeypatch.undo()
        consent(engine, 1, analytics=False)
        return make(*made_of)

    monkeypatch.setattr(sealing, "publishable", withdraw)

    assert [block.subjects for block in _seal(engine)] == [23]
    assert metrics.acceptance(engine, 30, AS_OF, published=True)["total_proposed"] == 23
