"""The purge: what is past its age goes, nothing else does, the books follow."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from sqlalchemy import func, insert, select

from schemas.clock import MICROS_PER_DAY
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
from tests.histories import TODAY
from tests.population import RUN, answer, arrive, days_before, event, process
from tests.purging import count, fill, proposed, purge, rule
from warehouse import retention
from warehouse.audit import balance
from warehouse.engine import reading, writing
from warehouse.leases import lease
from warehouse.recount import reconcile
from warehouse.retention import begin_evidence, count_expired, delete_expired

if TYPE_CHECKING:
    from sqlalchemy import Engine


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
