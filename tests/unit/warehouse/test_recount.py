"""A recount agrees with the running sums, or says where it does not."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from schemas.clock import MICROS_PER_DAY, iso_day, micros
from schemas.errors import InvalidInput, SumsDiffer
from schemas.events import EventKind
from schemas.retention import rules
from schemas.settings import Settings
from schemas.tables import events, matches, metric_sums, rejected, subjects
from tests.engines import on_postgresql, on_sqlite
from tests.histories import NOW, TODAY, admit, consent, history, make_row, process, stage, tables
from warehouse import accounts, bulk, subtraction
from warehouse.audit import balance
from warehouse.engine import reading, shared_snapshot, writing
from warehouse.recount import WHOLE, compare, reconcile, recount_stretch, stretches
from warehouse.rejections import list_rejected, replay_rejected
from warehouse.retention import count_expired
from warehouse.subtraction import purge_matches, settle, subtract_subject

if TYPE_CHECKING:
    from sqlalchemy import Engine


@pytest.fixture
def market(engine: Engine) -> Engine:
    admit(engine, range(1, 6))
    stage(engine, history(11, length=150, subjects=5, matches=12))
    process(engine, validate=False)
    return engine


@pytest.mark.parametrize("chunk", [1, 5, 1_000])
def test_recount_agrees_whatever_its_stretches(market: Engine, chunk: int) -> None:
    agreed = reconcile(market, 0, chunk=chunk)
    with reading(market) as connection:
        assert agreed.sums == len(connection.execute(select(metric_sums)).all())
        assert agreed.matches == len(connection.execute(select(matches.c.subject)).all())


def test_sum_that_is_wrong_by_one_is_found_and_placed(market: Engine) -> None:
    with writing(market) as connection:
        day = (
            connection.execute(select(metric_sums.c.day).where(metric_sums.c.measure == "proposed"))
            .scalars()
            .first()
        )
        connection.execute(
            metric_sums.update()
            .where(metric_sums.c.measure == "proposed", metric_sums.c.day == day)
            .values(value=metric_sums.c.value + 1)
        )
    assert day is not None
    with pytest.raises(SumsDiffer, match=rf"{iso_day(day)}.*proposed"):
        reconcile(market, 0)
    reconcile(market, TODAY + 1)


def test_sum_that_nothing_stands_behind_is_found(market: Engine) -> None:
    with writing(market) as connection:
        connection.execute(
            metric_sums.insert().values(
                measure="viewed", facet="", day=TODAY, model_version="ghost", value=1
            )
        )
    with pytest.raises(SumsDiffer, match=r"1 running sums differ"):
        reconcile(market, 0)


def test_subtracted_subject_leaves_the_sums_of_a_world_without_them(engine: Engine) -> None:
    rows = history(5, length=150, subjects=5, matches=8)
    admit(engine, range(1, 6))
    stage(engine, [row for row in rows if row["subject"] != 3])
    process(engine, validate=False)
    without = tables(engine)["sums"]
    stage(engine, [row for row in rows if row["subject"] == 3])
    process(engine, validate=False)
    assert tables(engine)["sums"] != without
    with writing(engine) as connection:
        subtract_subject(connection, 3)
        subtract_subject(connection, 3)
        connection.execute(matches.delete().where(matches.c.subject == 3))
        connection.execute(events.delete().where(events.c.subject == 3))
        connection.execute(subjects.delete().where(subjects.c.subject == 3))
    assert tables(engine)["sums"] == without
    reconcile(engine, 0)


def test_withdrawal_and_return_leave_the_sums_as_they_were(market: Engine) -> None:
    before = tables(market)["sums"]
    consent(market, 2, analytics=False)
    with writing(market) as connection:
        assert settle(connection, [1, 2, 3]).removed == 1
    reconcile(market, 0)
    assert tables(market)["sums"] != before
    consent(market, 2, analytics=True)
    with writing(market) as connection:
        assert settle(connection, [2]).added == 1
    assert tables(market)["sums"] == before


def test_subject_under_erasure_is_not_counted_again(market: Engine) -> None:
    with writing(market) as connection:
        connection.execute(subjects.update().where(subjects.c.subject == 2).values(erasing=True))
        subtract_subject(connection, 2)
    process(market, validate=False)
    with reading(market) as connection:
        counted = select(subjects.c.counted).where(subjects.c.subject == 2)
        assert connection.execute(counted).scalar_one() is False
    reconcile(market, 0)


def test_purge_leaves_old_sums_and_counts_the_younger_partner_anew(engine: Engine) -> None:
    admit(engine, [1, 2])
    old, young = NOW - 5 * MICROS_PER_DAY, NOW - MICROS_PER_DAY
    for subject, moment in ((1, old), (2, young)):
        at = {"subject": subject, "occurred_at": moment}
        stage(engine, [make_row(EventKind.PROPOSED, **at), make_row(EventKind.ACCEPTED, **at)])
    process(engine, validate=False)
    with writing(engine) as connection:
        assert purge_matches(connection, TODAY - 2, [1]) == 1
        assert purge_matches(connection, TODAY - 2, [1]) == 0
    with reading(engine) as connection:
        mutual = connection.execute(
            select(metric_sums.c.day, metric_sums.c.value).where(metric_sums.c.measure == "mutual")
        ).all()
    assert [tuple(row) for row in mutual] == [(TODAY - 5, 1)]
    reconcile(engine, TODAY - 2)


def test_rejected_events_are_listed_without_content_and_replayed_after_a_fix(
    engine: Engine,
) -> None:
    stage(engine, [make_row(EventKind.PROPOSED), make_row(EventKind.VIEWED, match_key=2)])
    stage(engine, [make_row("match_forgotten", payload=b"{}")])
    process(engine)
    listed = list_rejected(engine)
    assert listed.by_rule == {"subject: must exist": 2, "kind: must be one that events have": 1}
    assert listed.total == 3
    assert [len(one.event_id) for one in listed.newest] == [32, 32, 32]

    admit(engine, [1])
    good = [one.seq for one in listed.newest if "kind" not in one.reasons[0]]
    assert replay_rejected(engine, good[:1]) == 1
    assert replay_rejected(engine) == 2
    counts = process(engine, as_of=micros(datetime.now(UTC)))
    assert (counts.processed, counts.rejected) == (2, {"kind: must be one that events have": 1})
    with reading(engine) as connection:
        books = accounts.read(connection)
    arrived = {(accounts.RECEIVED, ""), (accounts.STORED, "")}
    assert sum(count for name, count in books.items() if name not in arrived) == 3
    assert books[accounts.STORED, ""] == 3
    assert books[accounts.REJECTED, "subject: must exist"] == 0
    reconcile(engine, 0)


@on_postgresql
def test_stretches_on_one_snapshot_see_nothing_that_came_later(market: Engine) -> None:
    with shared_snapshot(market) as snapshot:
        planned = stretches(market, 3, snapshot)
        stage(market, [make_row(EventKind.PROPOSED, match_key=2**40)])
        process(market, validate=False)
        recounted = [recount_stretch(market, 0, one, snapshot) for one in planned]
        agreed = compare(market, recounted, 0, snapshot)
        with pytest.raises(SumsDiffer):
            compare(market, recounted, 0, None)
    assert len(planned) == 3
    assert reconcile(market, 0).matches == agreed.matches + 1


@on_sqlite
def test_one_stretch_reads_all_where_no_snapshot_can_be_shared(market: Engine) -> None:
    with shared_snapshot(market) as snapshot:
        assert snapshot is None
        assert stretches(market, 3, snapshot) == [WHOLE]


def test_name_that_no_server_gave_out_is_no_snapshot(engine: Engine) -> None:
    with pytest.raises(InvalidInput), reading(engine, "1'; DROP TABLE events; --"):
        pass


def test_rejected_event_of_who_has_withdrawn_is_not_collected_again(engine: Engine) -> None:
    admit(engine, [1, 2])
    stage(engine, [make_row("match_forgotten", subject=number) for number in (1, 2)])
    process(engine)
    consent(engine, 1, analytics=False)

    assert replay_rejected(engine) == 1
    assert list_rejected(engine).total == 1


@on_postgresql  # SQLite has one writer at a time
def test_event_that_is_rejected_while_others_are_replayed_is_not_lost(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(engine, [1])
    broken = {"kind": EventKind.FEEDBACK, "figures": {"rating": 9}}
    stage(engine, [make_row(**broken)])
    process(engine)
    run = bulk.run

    def meanwhile(connection: Any, statement: str, *more: Any) -> int:
        done = run(connection, statement, *more)
        if statement.startswith("INSERT INTO staged"):
            monkeypatch.undo()
            stage(engine, [make_row(**broken)])
            process(engine)
        return done

    monkeypatch.setattr(bulk, "run", meanwhile)
    assert replay_rejected(engine) == 1

    assert list_rejected(engine).total == 1
    assert balance(engine).agrees
    assert replay_rejected(engine) == 1


def test_rejected_event_that_is_being_deleted_is_not_replayed(engine: Engine) -> None:
    admit(engine, [1])
    stage(engine, [make_row(EventKind.FEEDBACK, figures={"rating": 9})])
    process(engine)

    with ThreadPoolExecutor(1) as pool:
        with writing(engine) as connection:
            connection.execute(rejected.delete())
            replaying = pool.submit(replay_rejected, engine)
            assert wait([replaying], 0.5).not_done
        assert replaying.result(30) == 0


def test_who_leaves_days_whose_sums_are_gone_leaves_nothing_there(market: Engine) -> None:
    with writing(market) as connection:
        connection.execute(metric_sums.delete().where(metric_sums.c.day < TODAY - 2))
        subtract_subject(connection, 1)

    with reading(market) as connection:
        left = connection.execute(select(metric_sums.c.day, metric_sums.c.value)).all()
    assert min(row.value for row in left) > 0
    assert min(row.day for row in left) == TODAY - 2
    reconcile(market, TODAY - 2)


@on_postgresql  # SQLite has one writer at a time
def test_who_changes_their_mind_while_the_sums_follow_waits_and_is_settled_next(
    market: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent(market, 2, analytics=False)
    recount = subtraction._recount_matches
    with ThreadPoolExecutor(1) as pool:

        def meanwhile(*arguments: Any) -> Any:
            again.append(pool.submit(consent, market, 2, analytics=True))
            assert wait(again, 0.5).not_done
            return recount(*arguments)

        again: list[Future[None]] = []
        monkeypatch.setattr(subtraction, "_recount_matches", meanwhile)
        with writing(market) as connection:
            assert settle(connection, [1, 2, 3]).removed == 1
    monkeypatch.undo()
    reconcile(market, 0)

    with writing(market) as connection:
        assert settle(connection, [1, 2, 3]).added == 1
    reconcile(market, 0)


def test_event_that_is_replayed_after_weeks_waits_anew(engine: Engine) -> None:
    now = datetime.now(UTC)
    long_ago = micros(now) - 20 * MICROS_PER_DAY
    stage(engine, [make_row(EventKind.VIEWED, occurred_at=long_ago, received_at=long_ago)])
    assert process(engine, as_of=micros(now)).rejected == {"subject: must exist": 1}
    admit(engine, [1])

    assert replay_rejected(engine) == 1

    (of_staged,) = (rule for rule in rules(Settings(), now) if rule.data_class == "staged")
    assert count_expired(engine, of_staged) == 0
    assert process(engine, as_of=micros(datetime.now(UTC))).processed == 1
