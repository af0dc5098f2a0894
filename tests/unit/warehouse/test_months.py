"""Months on PostgreSQL: where rows lie, what a drop leaves, and who works beside it."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, table, text

from schemas.clock import MICROS_PER_DAY, first_day, moment, month_of
from schemas.errors import LeaseLost, SumsDiffer
from schemas.events import EventKind
from schemas.retention import Rule, rules
from schemas.settings import Settings
from schemas.tables import events, matches, metric_sums, purges, staged
from tests.histories import NOW, TODAY, admit, history, make_row, process, stage, tables
from warehouse import months
from warehouse.audit import balance
from warehouse.engine import connect, create_tables, reading, writing
from warehouse.erasure import delete_subject
from warehouse.erasure_requests import begin
from warehouse.leases import lease
from warehouse.months import MONTHS_AHEAD, make_months
from warehouse.recount import reconcile
from warehouse.retention import begin_evidence, count_expired, delete_expired

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

KEPT_DAYS = 100
OLDEST = TODAY - KEPT_DAYS
PEOPLE = 5


def rule(data_class: str) -> Rule:
    settings = Settings(events_retention_days=KEPT_DAYS)
    return next(one for one in rules(settings, moment(NOW)) if one.data_class == data_class)


def long_history(engine: Engine) -> None:
    """Process what five people did in seven months; matches have rows in several of them."""
    admit(engine, list(range(1, PEOPLE + 1)))
    rows = history(11, length=250, subjects=PEOPLE, matches=25)
    for row in rows:
        row["occurred_at"] = NOW - 45 * (NOW - row["occurred_at"])
    stage(engine, rows)
    process(engine, size=60, validate=False)


def proposed(match_key: int, day: int, subject: int = 1, kind: str = EventKind.PROPOSED) -> Any:
    at = day * MICROS_PER_DAY + 1
    return make_row(kind, subject=subject, match_key=match_key, occurred_at=at)


def purge(engine: Engine, *classes: str) -> dict[str, int]:
    with lease(engine, "purge_expired", 60.0) as held:
        run = f"run-{held.fence}"
        begin_evidence(engine, run, [rule(name) for name in classes], moment(NOW))
        return {name: delete_expired(engine, rule(name), held, run) for name in classes}


def rows_in(engine: Engine) -> dict[str, int]:
    """Return how many rows each partition of events and matches holds."""
    with reading(engine) as connection:
        names = connection.execute(
            text(
                "SELECT relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid"
                " WHERE relkind = 'r' ORDER BY relname"
            )
        ).scalars()
        return {
            name: connection.execute(select(func.count()).select_from(table(name))).scalar_one()
            for name in names.all()
        }


def filled(engine: Engine) -> dict[str, int]:
    return {name: rows for name, rows in rows_in(engine).items() if rows}


def evidence(engine: Engine) -> list[Any]:
    with reading(engine) as connection:
        query = select(purges.c.run, purges.c.data_class, purges.c.cutoff, purges.c.deleted)
        return list(connection.execute(query.order_by(purges.c.seq)).tuples())


@pytest.fixture
def unparted(tmp_path: Path) -> Iterator[Engine]:
    """A database without months: SQLite."""
    engine = connect(SecretStr(f"sqlite:///{tmp_path / 'unparted.db'}"))
    create_tables(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(months, "WAITS_MS", (20, 20))
    monkeypatch.setattr(months, "_PAUSE_SECONDS", 0.01)


def test_rows_land_in_their_month_and_what_has_none_finds_a_place(engine: Engine) -> None:
    made = make_months(engine, OLDEST, TODAY)
    assert len(made) == 2 * (month_of(TODAY) - month_of(OLDEST) + 1 + MONTHS_AHEAD)
    assert make_months(engine, OLDEST, TODAY) == []
    admit(engine, [1])
    days = [TODAY, TODAY - 34, OLDEST - 200, first_day(month_of(TODAY) + MONTHS_AHEAD + 1)]
    stage(engine, [proposed(day, day) for day in days])
    process(engine, validate=False)

    assert filled(engine) == {
        f"{table}_{part}": rows
        for table in ("events", "matches")
        for part, rows in (("2026_09", 1), ("2026_08", 1), ("default", 2))
    }


def test_a_drop_leaves_what_deleting_leaves(engine: Engine, unparted: Engine) -> None:
    make_months(engine, OLDEST - 200, TODAY)
    for one in (engine, unparted):
        long_history(one)
    assert tables(engine) == tables(unparted)
    counted = {name: count_expired(engine, rule(name)) for name in ("events", "matches")}
    before = set(rows_in(engine))

    deleted = purge(engine, "events", "matches")

    assert deleted == counted == purge(unparted, "events", "matches")
    gone = {name.rpartition("_")[0] for name in before - set(rows_in(engine))}
    assert gone == {"events_2025", "events_2026", "matches_2025", "matches_2026"}
    assert min(name for name in rows_in(engine) if name > "events_1") == "events_2026_05"
    assert tables(engine) == tables(unparted)
    assert evidence(engine) == evidence(unparted)
    assert balance(engine).agrees
    assert reconcile(engine, OLDEST) == reconcile(unparted, OLDEST)


def test_a_drop_parts_the_first_and_the_last_day_of_a_month_from_their_partners(
    engine: Engine, unparted: Engine
) -> None:
    make_months(engine, OLDEST - 200, TODAY)
    month = month_of(OLDEST) - 1
    days = [first_day(month), first_day(month + 1) - 1]
    for one in (engine, unparted):
        admit(one, [1, 2])
        for match_key, day in enumerate(days, 1):
            for subject, at in ((1, day), (2, TODAY)):
                for number, kind in enumerate((EventKind.PROPOSED, EventKind.ACCEPTED)):
                    row = proposed(match_key, at, subject, kind)
                    row["event_id"] = bytes([match_key, subject, number, *range(13)])
                    stage(one, [row])
        process(one, validate=False)

    assert purge(engine, "matches") == purge(unparted, "matches") == {"matches": 2}

    assert tables(engine) == tables(unparted)
    assert reconcile(engine, OLDEST) == reconcile(unparted, OLDEST)


def test_a_match_moves_with_its_day_to_another_month(engine: Engine, unparted: Engine) -> None:
    make_months(engine, OLDEST, TODAY)
    for one in (engine, unparted):
        admit(one, [1, 2])
        for row in (
            proposed(1, TODAY - 34, kind=EventKind.VIEWED),
            proposed(1, TODAY, subject=2),
            proposed(1, TODAY),
            proposed(1, TODAY - 70),
        ):
            row["event_id"] = row["occurred_at"].to_bytes(15, "big") + bytes([row["subject"]])
            stage(one, [row])
            process(one, validate=False)

    assert tables(engine) == tables(unparted)
    assert {name: n for name, n in filled(engine).items() if "matches" in name} == {
        "matches_2026_09": 2
    }


def test_new_and_known_matches_of_one_partition_are_stored_once_each(engine: Engine) -> None:
    admit(engine, [1])
    stage(engine, [proposed(5, TODAY)])
    process(engine)

    stage(engine, [proposed(5, TODAY, kind=EventKind.ACCEPTED), proposed(6, TODAY)])
    process(engine)

    columns = matches.c.match_key, matches.c.accepted
    with reading(engine) as connection:
        stored = connection.execute(select(*columns).order_by(matches.c.match_key)).tuples().all()
    assert stored == [(5, True), (6, None)]


def test_a_row_that_lies_in_two_months_is_seen_by_the_recount(engine: Engine) -> None:
    make_months(engine, OLDEST, TODAY)
    admit(engine, [1])
    stage(engine, [proposed(1, TODAY)])
    process(engine, validate=False)
    reconcile(engine, OLDEST)

    columns = ", ".join(column.name for column in matches.columns if column.name != "day")
    with writing(engine) as connection:
        connection.execute(
            text(f"INSERT INTO matches ({columns}, day) SELECT {columns}, day - 40 FROM matches")
        )

    with pytest.raises(SumsDiffer):
        reconcile(engine, OLDEST)


def test_what_came_before_its_month_moves_in_unless_it_is_too_much(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(months, "MOST_MOVED", 2)
    admit(engine, [1])
    stage(engine, [proposed(n, TODAY - 34) for n in range(3)] + [proposed(9, TODAY)])
    process(engine, validate=False)
    before = tables(engine)

    make_months(engine, OLDEST, TODAY)

    assert tables(engine) == before
    assert filled(engine) == {
        "events_2026_09": 1,
        "events_default": 3,
        "matches_2026_09": 1,
        "matches_default": 3,
    }
    assert "events_2026_08" not in rows_in(engine)


@pytest.mark.parametrize(
    "by_hand",
    [
        "CREATE TABLE {name} (x int)",
        "CREATE VIEW {name} AS SELECT 1 AS x",
        "CREATE TYPE {name} AS ENUM ('x')",
        "CREATE TABLE later PARTITION OF events FOR VALUES FROM ({first}) TO (MAXVALUE)",
    ],
    ids=["table", "view", "type", "partition"],
)
def test_a_month_that_somebody_took_by_hand_is_left_out_and_the_purge_goes_on(
    engine: Engine, by_hand: str, caplog: pytest.LogCaptureFixture
) -> None:
    last = month_of(TODAY) + MONTHS_AHEAD
    name = months.MONTHLY[0].name(last)
    with writing(engine) as connection:
        connection.execute(text(by_hand.format(name=name, first=first_day(last) * MICROS_PER_DAY)))
    admit(engine, [1])
    stage(engine, [proposed(1, first_day(last)), proposed(2, TODAY), proposed(3, OLDEST - 1)])
    process(engine, validate=False)
    before = tables(engine)

    made = make_months(engine, OLDEST, TODAY)

    assert len(made) == 2 * (month_of(TODAY) - month_of(OLDEST) + 1 + MONTHS_AHEAD) - 1
    assert name not in made
    assert tables(engine) == before
    assert name in caplog.text
    assert purge(engine, "events", "matches") == {"events": 1, "matches": 1}


@pytest.mark.usefixtures("impatient")
def test_a_month_that_somebody_reads_goes_in_chunks_and_is_dropped_the_next_time(
    engine: Engine,
) -> None:
    make_months(engine, OLDEST - 100, TODAY)
    long_history(engine)
    expired = count_expired(engine, rule("events"))

    with reading(engine, whole=[events]):
        assert purge(engine, "events") == {"events": expired}
        assert rows_in(engine)["events_2026_04"] == 0
    assert purge(engine, "events") == {"events": 0}

    assert "events_2026_04" not in rows_in(engine)
    assert [row[3] for row in evidence(engine)] == [expired, 0]
    assert balance(engine).agrees


@pytest.mark.usefixtures("impatient")
def test_no_month_goes_while_its_rows_are_compared_on_a_snapshot(engine: Engine) -> None:
    make_months(engine, OLDEST - 100, TODAY)
    long_history(engine)
    with reading(engine, whole=[matches]) as connection:
        held = connection.execute(select(func.count()).select_from(metric_sums)).scalar_one()
        purge(engine, "matches")
        seen = connection.execute(select(func.count()).select_from(matches)).scalar_one()
    assert held
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(matches)).scalar_one() < seen


def test_a_late_event_of_a_dropped_month_is_kept_until_the_next_purge(engine: Engine) -> None:
    make_months(engine, OLDEST - 100, TODAY)
    long_history(engine)
    purge(engine, "events", "matches")
    stage(engine, [proposed(999, OLDEST - 60)])
    process(engine, validate=False)
    assert rows_in(engine)["events_default"] == 1

    make_months(engine, OLDEST, TODAY)
    assert purge(engine, "events", "matches") == {"events": 1, "matches": 1}
    assert balance(engine).agrees


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a writer"])
def test_between_months_a_purge_rests_when_somebody_else_writes_and_only_then(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, *, beside: bool
) -> None:
    make_months(engine, OLDEST - 200, TODAY)
    others, rests = itertools.count(100), list[float]()
    check_free = months.check_free

    def write_beside(*given: Any) -> None:
        if beside:
            admit(engine, [next(others)])
        check_free(*given)

    monkeypatch.setattr(months, "check_free", write_beside)
    monkeypatch.setattr("warehouse.retention.sleep", rests.append)

    assert purge(engine, "events", "matches") == {"events": 0, "matches": 0}

    assert len(rests) == (beside and 2 * (len(range(month_of(OLDEST - 200), month_of(OLDEST))) - 1))


def test_a_purge_whose_lease_was_taken_over_drops_no_month(engine: Engine) -> None:
    make_months(engine, OLDEST - 100, TODAY)
    before = rows_in(engine)
    with lease(engine, "purge_expired", 60.0) as held:
        pass
    with lease(engine, "purge_expired", 60.0), pytest.raises(LeaseLost):
        delete_expired(engine, rule("events"), held, "run")

    assert rows_in(engine) == before


def test_an_erasure_reaches_every_month(engine: Engine) -> None:
    make_months(engine, OLDEST - 200, TODAY)
    long_history(engine)
    request = begin(engine, 3, moment(NOW))
    with lease(engine, "erase_subject", 60.0) as held:
        erased = delete_subject(engine, request, held)

    assert erased.deleted["events"] > 0
    with reading(engine) as connection:
        for one in (events, matches, staged):
            found = select(func.count()).select_from(one).where(one.c.subject == 3)
            assert connection.execute(found).scalar_one() == 0
    assert balance(engine).agrees
    reconcile(engine, OLDEST - 200)


def test_a_run_beside_the_purge_loses_nothing(engine: Engine, unparted: Engine) -> None:
    late = [proposed(n, TODAY - n % 40, subject=1 + n % PEOPLE) for n in range(100, 220)]
    for one in (engine, unparted):
        long_history(one)
        stage(one, [dict(row) for row in late])
    process(unparted, size=10, validate=False)
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(process, engine, size=10, validate=False)
        make_months(engine, OLDEST - 200, TODAY)
        deleted = purge(engine, "events", "matches")
        beside.result()

    assert deleted == purge(unparted, "events", "matches")
    assert tables(engine) == tables(unparted)
    assert "events_2026_04" not in rows_in(engine)
    assert balance(engine).agrees
    reconcile(engine, OLDEST)
