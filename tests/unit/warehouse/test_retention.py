"""The purge: what is past its age goes, nothing else does, the books follow."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from pydantic import SecretStr
from sqlalchemy import func, insert, select

from schemas.clock import MICROS_PER_DAY
from schemas.errors import LeaseLost
from schemas.events import EventKind
from schemas.tables import (
    block_sums,
    blocks,
    events,
    matches,
    metric_sums,
    purges,
    rejected,
    runs,
    staged,
)
from tests.engines import on_sqlite
from tests.histories import TODAY
from tests.population import RUN, answer, arrive, days_before, event, process
from tests.purging import proposed, purge, rule
from warehouse import leases, retention
from warehouse.audit import balance
from warehouse.engine import connect, reading, writing
from warehouse.leases import LeaseHeld, lease
from warehouse.recount import reconcile
from warehouse.retention import begin_evidence, count_expired, delete_expired

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table


def count(engine: Engine, table: Table) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def fill(engine: Engine, table: Table, rows: list[dict[str, Any]]) -> None:
    with writing(engine) as connection:
        connection.execute(insert(table), rows)


def kept_events(engine: Engine, column: str = "occurred_at") -> list[int]:
    with reading(engine) as connection:
        return list(connection.execute(select(events.c[column]).order_by(column)).scalars())


def test_an_event_goes_with_its_day_and_not_before(engine: Engine) -> None:
    subject = answer(engine, "anybody", "analytics")
    first_kept = (TODAY - 100) * MICROS_PER_DAY
    times = [first_kept - 1, first_kept - MICROS_PER_DAY, first_kept, first_kept + 1]
    arrive(engine, [event(EventKind.PROPOSED, subject, at, occurred_at=at) for at in times])
    process(engine)

    counted = count_expired(engine, rule("events"))
    deleted = purge(engine, "events")

    assert (counted, deleted) == (2, 2)
    assert kept_events(engine) == [first_kept, first_kept + 1]
    assert purge(engine, "events") == 0


@pytest.mark.parametrize("expired", [0, 1, 2, 3, 4, 7])
def test_chunks_delete_neither_more_nor_less_at_their_edges(
    expired: int, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK_ROWS", 3)
    subject = answer(engine, "anybody", "analytics")
    old = [proposed(subject, number, TODAY - 101) for number in range(expired)]
    new = [proposed(subject, number, TODAY - 100) for number in range(100, 105)]
    arrive(engine, [*old, *new])
    process(engine)

    assert purge(engine, "events") == expired
    assert purge(engine, "matches") == expired
    assert count(engine, events) == count(engine, matches) == 5
    assert balance(engine).agrees


def test_rows_that_several_columns_tell_apart_go_by_a_statement_of_one_row(engine: Engine) -> None:
    """A list of them would be planned anew each time, for longer than it takes to delete them."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM metric_sums"):
            sent.append(statement)

    told = {"measure": "proposed", "facet": "", "model_version": "", "value": 1}
    fill(engine, metric_sums, [{**told, "day": TODAY - 201 - n} for n in range(150)])
    sqlalchemy.event.listen(engine, "before_cursor_execute", note)

    assert purge(engine, "metric_sums") == 150

    assert len(set(sent)) == 1
    assert len(sent[0]) < 400


def test_expired_staged_events_are_counted_in_the_books(engine: Engine) -> None:
    subject = answer(engine, "anybody", "analytics")
    late = [
        event(EventKind.PROPOSED, subject, 1, received_at=days_before(2) - 1),
        event(EventKind.PROPOSED, subject, 2, received_at=days_before(2)),
    ]
    arrive(engine, late)

    assert purge(engine, "staged") == 1

    books = balance(engine)
    assert (books.stored, books.waiting, books.expired) == (2, 1, 1)
    assert books.agrees


def test_purged_events_and_rejected_ones_leave_the_books_balanced(engine: Engine) -> None:
    subject = answer(engine, "anybody", "analytics")
    arrive(engine, [proposed(subject, number, TODAY - 150) for number in range(4)])
    with reading(engine) as connection:
        first = connection.execute(select(func.min(staged.c.seq))).scalar_one()
    process(engine, broken={"match_score: must be at most 1": [first]})
    with writing(engine) as connection:
        connection.execute(rejected.update().values(rejected_at=days_before(12)))

    assert (purge(engine, "events"), purge(engine, "rejected")) == (3, 1)

    books = balance(engine)
    assert (books.processed, books.purged) == (3, {"events": 3, "rejected": 1})
    assert books.agrees


def test_sums_outlive_the_matches_that_they_count(engine: Engine) -> None:
    subject = answer(engine, "anybody", "analytics")
    days = [TODAY - 150, TODAY - 99]
    arrive(engine, [proposed(subject, day, day) for day in days])
    process(engine)
    with reading(engine) as connection:
        before = connection.execute(select(metric_sums).order_by(*metric_sums.primary_key)).all()

    purge(engine, "matches")

    with reading(engine) as connection:
        after = connection.execute(select(metric_sums).order_by(*metric_sums.primary_key)).all()
        left = connection.execute(select(matches.c.day)).scalars().all()
    assert after == before
    assert left == [TODAY - 99]


def test_a_match_that_is_cut_in_two_by_age_still_agrees_with_a_recount(engine: Engine) -> None:
    one, other = (answer(engine, name, "analytics") for name in ("one", "other"))
    rows = []
    for subject, day in ((one, TODAY - 101), (other, TODAY - 100)):
        at = day * MICROS_PER_DAY + 1
        rows += [
            proposed(subject, 1, day),
            event(EventKind.ACCEPTED, subject, 1, occurred_at=at + 1),
        ]
    arrive(engine, rows)
    process(engine)
    old = select(metric_sums).where(metric_sums.c.day < TODAY - 100)
    old = old.order_by(*metric_sums.primary_key)
    with reading(engine) as connection:
        before = connection.execute(old).all()

    assert purge(engine, "matches") == 1

    with reading(engine) as connection:
        assert connection.execute(old).all() == before != []
    assert reconcile(engine, TODAY - 100).matches == 1


def test_sums_and_published_blocks_go_at_their_own_age(engine: Engine) -> None:
    day = TODAY - 200
    fill(
        engine,
        metric_sums,
        [
            {"measure": "proposed", "facet": "", "day": d, "model_version": "", "value": 1}
            for d in (day - 1, day)
        ],
    )
    spans = {1: (day - 9, day - 1), 2: (day - 1, day + 3)}
    sealed = [
        {
            "block": block,
            "since_day": since,
            "until_day": until,
            "subjects": 10,
            "sealed_at": 1,
        }
        for block, (since, until) in spans.items()
    ]
    sums = [
        {"block": b, "measure": "proposed", "facet": f, "model_version": "", "value": 20}
        for b in (1, 2)
        for f in ("", "distance")
    ]
    with writing(engine) as connection:
        connection.execute(insert(block_sums), sums)
        connection.execute(insert(blocks), sealed)

    assert (purge(engine, "metric_sums"), purge(engine, "blocks")) == (1, 1)

    with reading(engine) as connection:
        assert connection.execute(select(metric_sums.c.day)).scalars().all() == [day]
        assert connection.execute(select(blocks.c.block)).scalars().all() == [2]
        assert set(connection.execute(select(block_sums.c.block)).scalars()) == {2}


def test_what_begins_anew_between_search_and_deletion_is_not_past_its_time_any_more(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {"run": "old", "flow": "purge_expired", "state": "completed"}
    fill(engine, runs, [old | {"requested_at": days_before(60)}])
    find = retention._find_expired

    def find_before_it_is_asked_for_again(*given: Any) -> list[Any]:
        found = find(*given)
        with writing(engine) as connection:
            connection.execute(runs.update().values(requested_at=days_before(0)))
        return found

    monkeypatch.setattr(retention, "_find_expired", find_before_it_is_asked_for_again)

    assert purge(engine, "runs") == 0
    assert count(engine, runs) == 1


def test_records_of_runs_and_the_evidence_itself_go_too(engine: Engine) -> None:
    fill(
        engine,
        runs,
        [
            {"run": name, "flow": "x", "state": "completed", "requested_at": days_before(age)}
            for name, age in (("old", 51), ("new", 49))
        ],
    )
    begin_evidence(engine, "first", [rule("events")], RUN - timedelta(days=201))
    begin_evidence(engine, "second", [rule("events")], RUN - timedelta(days=199))

    assert (purge(engine, "runs"), purge(engine, "purges")) == (1, 1)
    with reading(engine) as connection:
        kept = connection.execute(select(purges.c.run).order_by(purges.c.seq)).scalars().all()
    assert kept == ["second", "runs-1", "purges-2"]
    assert count(engine, runs) == 1


def test_evidence_that_is_begun_again_counts_once(engine: Engine) -> None:
    """As after a commit whose answer was lost."""
    subject = answer(engine, "anybody", "analytics")
    arrive(engine, [proposed(subject, 1, TODAY - 150)])
    process(engine)
    with lease(engine, "purge_expired", 60.0) as held:
        for _ in range(2):
            begin_evidence(engine, "run", [rule("events")], RUN)
        delete_expired(engine, rule("events"), held, "run")

    with reading(engine) as connection:
        assert connection.execute(select(purges.c.deleted)).scalars().all() == [1]


def test_the_evidence_names_class_cutoff_and_count(engine: Engine) -> None:
    subject = answer(engine, "anybody", "analytics")
    arrive(engine, [proposed(subject, 1, TODAY - 150), proposed(subject, 2, TODAY - 150)])
    process(engine)
    events_rule, staged_rule = rule("events"), rule("staged")

    with lease(engine, "purge_expired", 60.0) as held:
        begin_evidence(engine, "run", [events_rule, staged_rule], RUN)
        delete_expired(engine, events_rule, held, "run")
        delete_expired(engine, staged_rule, held, "run")

    with reading(engine) as connection:
        rows = connection.execute(
            select(purges.c.run, purges.c.data_class, purges.c.cutoff, purges.c.deleted).order_by(
                purges.c.seq
            )
        ).all()
    assert [tuple(row) for row in rows] == [
        ("run", "events", events_rule.cutoff, 2),
        ("run", "staged", staged_rule.cutoff, 0),
    ]


def test_a_purge_keeps_its_lease_as_long_as_it_deletes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK_ROWS", 1)
    now = 0

    def rest(_seconds: float) -> None:
        nonlocal now
        now += 40_000_000

    monkeypatch.setattr(leases, "_now_us", lambda: now)
    monkeypatch.setattr("warehouse.retention.sleep", rest)
    subject = answer(engine, "anybody", "analytics")
    arrive(engine, [proposed(subject, number, TODAY - 101) for number in range(4)])
    process(engine)

    with lease(engine, "purge_expired", 60.0) as held:
        begin_evidence(engine, "purge", [rule("events")], RUN)
        assert delete_expired(engine, rule("events"), held, "purge") == 4
        with pytest.raises(LeaseHeld), lease(engine, "purge_expired", 60.0):
            raise AssertionError


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a writer"])
def test_a_purge_rests_when_somebody_else_writes_and_only_then(
    engine: Engine, database_url: SecretStr, monkeypatch: pytest.MonkeyPatch, *, beside: bool
) -> None:
    one = answer(engine, "one", "analytics")
    other = connect(database_url)
    arrive(
        engine, [event(EventKind.VIEWED, one, n, occurred_at=days_before(150)) for n in range(400)]
    )
    process(engine)
    rests: list[float] = []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        if beside:
            answer(other, "other")

    def of_one_length(*given: Any) -> tuple[int, float]:
        return delete_chunk(*given)[0], 0.004

    delete_chunk = retention._delete_chunk
    monkeypatch.setattr(retention, "_delete_chunk", of_one_length)
    monkeypatch.setattr("warehouse.retention.sleep", rest)
    monkeypatch.setattr(retention, "CHUNK_ROWS", 100)
    assert purge(engine, "events") == 400
    other.dispose()

    assert len(rests) == 4
    assert (min(rests[1:]) > 20 * rests[0]) == beside


@on_sqlite
@pytest.mark.parametrize("young", [100, 20_000])
def test_what_stays_is_not_looked_through_while_the_database_is_locked(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, young: int
) -> None:
    """No index tells the age of a sum. Steps of SQLite's machine, in thousands, tell the work."""
    old, first_kept = TODAY - 201, TODAY - 200
    rows = [(0, old, n) for n in range(50)] + [(1, first_kept + n, 0) for n in range(young)]
    fill(
        engine,
        metric_sums,
        [
            {"measure": f"m{m}", "facet": str(n), "day": d, "model_version": "", "value": 1}
            for m, d, n in rows
        ],
    )
    steps = []

    def counted(*given: Any) -> tuple[int, float]:
        before = len(steps)
        found = delete_chunk(*given)
        assert len(steps) - before < 20
        return found

    delete_chunk = retention._delete_chunk
    monkeypatch.setattr(retention, "_delete_chunk", counted)
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: steps.append(1), 1_000)

    assert purge(engine, "metric_sums") == 50
    assert count(engine, metric_sums) == young


def test_a_purge_of_rows_that_cannot_go_comes_to_an_end(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = answer(engine, "anybody", "analytics")
    arrive(engine, [proposed(subject, number, TODAY - 150) for number in range(4)])
    process(engine)
    tries: list[int] = []

    def nothing(*_given: Any) -> int:
        tries.append(1)
        assert len(tries) < 10
        return 0

    monkeypatch.setattr(retention, "_delete", nothing)
    monkeypatch.setattr(retention, "_drop_months", lambda *_given: 0)

    assert purge(engine, "events") == 0
    assert tries


def test_a_purge_whose_lease_was_taken_over_deletes_nothing_more(engine: Engine) -> None:
    subject = answer(engine, "anybody", "analytics")
    arrive(engine, [proposed(subject, 1, TODAY - 150)])
    process(engine)
    with lease(engine, "purge_expired", 60.0) as held:
        pass
    with lease(engine, "purge_expired", 60.0), pytest.raises(LeaseLost):
        delete_expired(engine, rule("events"), held, "run")

    assert count(engine, events) == 1


def test_a_purge_that_stops_between_chunks_is_finished_by_the_next(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK_ROWS", 2)
    subject = answer(engine, "anybody", "analytics")
    arrive(engine, [proposed(subject, number, TODAY - 150) for number in range(5)])
    process(engine)

    class Killed(BaseException):
        pass

    def kill(_seconds: float) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("warehouse.retention.sleep", kill)
        with pytest.raises(Killed):
            purge(engine, "events")
    assert count(engine, events) == 3
    assert balance(engine).agrees

    assert purge(engine, "events") == 3
    assert balance(engine).purged == {"events": 5}
    with reading(engine) as connection:
        evidence = connection.execute(select(func.sum(purges.c.deleted))).scalar_one()
    assert evidence == 5
