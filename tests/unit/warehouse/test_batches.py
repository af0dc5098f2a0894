"""A partition of staging becomes match state, sums and rejects, whole or not at all."""

from __future__ import annotations

import random
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import select, text

from schemas.clock import MICROS_PER_DAY
from schemas.errors import LeaseLost
from schemas.events import EventKind
from schemas.tables import events, matches, metric_sums, rejected, staged
from tests.engines import on_postgresql
from tests.histories import (
    FIGURES,
    NOW,
    TODAY,
    admit,
    consent,
    history,
    make_row,
    process,
    stage,
    tables,
)
from warehouse import accounts, batch_rows, batches
from warehouse.engine import connect, create_tables, reading, writing
from warehouse.leases import PROCESS_EVENTS, Lease, lease
from warehouse.recount import reconcile

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

SUBJECTS = 5

_OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("stage"), st.integers(1, 40)),
        st.tuples(st.just("process"), st.integers(3, 30)),
        st.tuples(st.just("consent"), st.integers(1, SUBJECTS), st.booleans()),
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database to copy."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    engine = connect(SecretStr(f"sqlite:///{path}"))
    create_tables(engine)
    admit(engine, range(1, SUBJECTS + 1))
    engine.dispose()
    return path


def _fresh(template: Path, name: str) -> Engine:
    path = template.parent / name
    for old in template.parent.glob(f"{name}*"):
        old.unlink()
    shutil.copy(template, path)
    return connect(SecretStr(f"sqlite:///{path}"))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(operations=_OPERATIONS, seed=st.integers(0, 2**32))
def test_sums_equal_a_recount_whatever_happened(
    template: Path, operations: list[tuple[Any, ...]], seed: int
) -> None:
    engine = _fresh(template, "history.db")
    rows = history(seed, length=500, subjects=SUBJECTS, matches=8)
    for operation in [*operations, ("stage", 20), ("process", 7)]:
        match operation:
            case ("stage", count):
                stage(engine, [rows.pop() for _ in range(min(count, len(rows)))])
            case ("process", size):
                process(engine, size=size, validate=False)
                reconcile(engine, 0, chunk=3)
            case ("consent", subject, allowed):
                consent(engine, subject, analytics=allowed)
    with reading(engine) as connection:
        unsettled = connection.execute(
            text("SELECT COUNT(*) FROM subjects WHERE counted <> analytics")
        ).scalar_one()
    engine.dispose()
    assert unsettled == 0


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(0, 80), max_size=5).map(sorted),
    sizes=st.lists(st.integers(8, 60), min_size=6, max_size=6),
)
def test_order_delay_and_partitions_leave_no_trace(
    template: Path, seed: int, cuts: list[int], sizes: list[int]
) -> None:
    rows = history(seed, length=80, subjects=SUBJECTS, matches=6)
    whole = _fresh(template, "whole.db")
    stage(whole, rows)
    process(whole, validate=False)
    parts = _fresh(template, "parts.db")
    random.Random(seed).shuffle(rows)
    for first, last, size in zip([0, *cuts], [*cuts, 80], sizes, strict=False):
        stage(parts, rows[first:last])
        process(parts, size=size, validate=False)
    expected, found = tables(whole), tables(parts)
    whole.dispose()
    parts.dispose()
    assert found == expected


def test_both_engines_agree_with_a_recount(engine: Engine) -> None:
    admit(engine, range(1, SUBJECTS + 1))
    rows = history(7, length=120, subjects=SUBJECTS, matches=9)
    stage(engine, rows[:60])
    process(engine, size=25, validate=False)
    consent(engine, 2, analytics=False)
    stage(engine, rows[60:])
    counts = process(engine, size=17, validate=False)
    reconcile(engine, 0)
    assert counts.dropped == sum(row["subject"] == 2 for row in rows[60:])
    consent(engine, 2, analytics=True)
    process(engine, validate=False)
    agreed = reconcile(engine, 0)
    assert agreed.sums > 50


def test_later_event_of_a_facet_stands_and_views_add_up(engine: Engine) -> None:
    admit(engine, [1])
    early, late = NOW - 9_000_000, NOW - 3_000_000
    high, low = b"\xff" * 16, b"\x01" * 16
    stage(
        engine,
        [
            make_row(EventKind.ACCEPTED, occurred_at=late, event_id=high),
            make_row(EventKind.REJECTED, occurred_at=early),
            make_row(EventKind.REJECTED, occurred_at=late, event_id=low),
            make_row(EventKind.VIEWED, occurred_at=early),
            make_row(EventKind.VIEWED, occurred_at=late),
        ],
    )
    process(engine)
    with reading(engine) as connection:
        (row,) = connection.execute(select(matches)).mappings()
        query = select(metric_sums.c.measure, metric_sums.c.value)
        sums = {row.measure: row.value for row in connection.execute(query)}
    assert (row["accepted"], row["decided_event"], row["decision_ms"]) == (True, high, 4_000)
    assert (row["views"], row["view_ms"], row["viewed_whole"]) == (2, 5_000, True)
    assert (row["first_at"], row["last_at"], row["proposed_at"]) == (early, late, None)
    assert sums == {"orphan_viewed": 1, "orphan_decided": 1}


def test_consent_withdrawn_between_reading_and_commit_leaves_nothing(engine: Engine) -> None:
    admit(engine, [1, 2])
    stage(engine, [make_row(kind, subject=subject) for kind in FIGURES for subject in (1, 2)])
    with lease(engine, PROCESS_EVENTS, 60) as held:
        (partition,) = batches.plan(engine, 100)
        batch = batches.read(engine, partition, NOW)
        consent(engine, 1, analytics=False)
        counts = batches.commit(engine, held, batch, {}, {}, as_of=NOW)
    assert (counts.processed, counts.dropped) == (len(FIGURES), len(FIGURES))
    with reading(engine) as connection:
        for table in (events, matches):
            assert set(connection.execute(select(table.c.subject)).scalars()) == {2}
        assert accounts.read(connection)[accounts.DROPPED, batches.CONSENT] == len(FIGURES)


def test_event_deleted_between_reading_and_commit_stays_deleted(engine: Engine) -> None:
    admit(engine, [1])
    stage(engine, [make_row(kind) for kind in FIGURES])
    with lease(engine, PROCESS_EVENTS, 60) as held:
        (partition,) = batches.plan(engine, 100)
        batch = batches.read(engine, partition, NOW)
        with writing(engine) as connection:
            connection.execute(staged.delete().where(staged.c.kind == EventKind.FEEDBACK))
        counts = batches.commit(engine, held, batch, {}, {}, as_of=NOW)
    assert counts.processed == len(FIGURES) - 1
    with reading(engine) as connection:
        assert connection.execute(select(matches.c.rating)).scalar_one() is None


def test_event_that_was_deleted_and_whose_person_withdrew_is_not_booked_as_dropped(
    engine: Engine,
) -> None:
    """Whoever deleted it has booked it."""
    admit(engine, [1])
    stage(engine, [make_row(kind) for kind in FIGURES])
    with lease(engine, PROCESS_EVENTS, 60) as held:
        (partition,) = batches.plan(engine, 100)
        batch = batches.read(engine, partition, NOW)
        consent(engine, 1, analytics=False)
        with writing(engine) as connection:
            connection.execute(staged.delete().where(staged.c.kind == EventKind.FEEDBACK))
        counts = batches.commit(engine, held, batch, {}, {}, as_of=NOW)
    assert (counts.processed, counts.dropped) == (0, len(FIGURES) - 1)


@on_postgresql
def test_event_staged_into_the_stretch_meanwhile_waits(engine: Engine) -> None:
    """A sequence hands out numbers before the commit, so a row may appear between others."""
    admit(engine, [1])
    rows = [make_row(EventKind.VIEWED) | {"seq": seq} for seq in (10, 11, 12)]
    stage(engine, [rows[0], rows[2]])
    with lease(engine, PROCESS_EVENTS, 60) as held:
        (partition,) = batches.plan(engine, 100)
        batch = batches.read(engine, partition, NOW)
        stage(engine, [rows[1]])
        batches.commit(engine, held, batch, {}, {}, as_of=NOW)
    with reading(engine) as connection:
        assert list(connection.execute(select(staged.c.seq)).scalars()) == [11]
        assert list(connection.execute(select(events.c.seq).order_by("seq")).scalars()) == [10, 12]


_STEPS = (
    "_judge",
    "_store_matches",
    "add_to_sums",
    "write_matches",
    "store_rejected",
    "move_events",
    "_book",
)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", _STEPS)
def test_run_that_dies_at_any_step_changes_nothing_but_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    admit(engine, range(1, SUBJECTS + 1))
    stage(engine, history(3, length=60, subjects=SUBJECTS, matches=6))
    real = getattr(batches, step)
    calls = 0

    def dying(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2 and when == "before":
            raise _Died
        result = real(*arguments)
        if calls == 2:
            raise _Died
        return result

    with monkeypatch.context() as patch:
        patch.setattr(batches, step, dying)
        with pytest.raises(_Died):
            process(engine, size=20, validate=False)
    with reading(engine) as connection:
        left = len(connection.execute(select(staged.c.seq)).all())
        done = len(connection.execute(select(events.c.seq)).all())
    assert (left, done) == (40, 20)
    reconcile(engine, 0)
    process(engine, size=20, validate=False)
    _assert_as_undisturbed(engine)


def test_partition_is_moved_in_pieces_as_at_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(engine, range(1, SUBJECTS + 1))
    admit(engine, [SUBJECTS + 1], analytics=False)
    rows = history(5, length=60, subjects=SUBJECTS, matches=6)
    rows[17]["subject"] = SUBJECTS + 1
    rows[18]["subject"] = SUBJECTS + 2
    stage(engine, rows)
    with monkeypatch.context() as patch:
        patch.setattr(batch_rows, "_PIECE", 7)
        counts = process(engine, size=40, validate=False)
    assert (counts.processed, counts.dropped, sum(counts.rejected.values())) == (58, 1, 1)
    assert batches.count_staged(engine) == 0
    reconcile(engine, 0)


class _Died(Exception):
    pass


def _assert_as_undisturbed(engine: Engine) -> None:
    found = tables(engine)
    with writing(engine) as connection:
        for table in (events, matches, metric_sums, rejected):
            connection.execute(table.delete())
        connection.execute(text("DELETE FROM accounts"))
        connection.execute(text("UPDATE subjects SET counted = false"))
    stage(engine, history(3, length=60, subjects=SUBJECTS, matches=6))
    process(engine, size=20, validate=False)
    assert found == tables(engine)


def test_zombie_cannot_write_once_another_run_has_taken_over(engine: Engine) -> None:
    admit(engine, [1])
    stage(engine, [make_row(EventKind.PROPOSED)])
    with lease(engine, PROCESS_EVENTS, 0.05) as stopped:
        (partition,) = batches.plan(engine, 100)
        batch = batches.read(engine, partition, NOW)
        threading.Event().wait(0.1)
        process(engine, validate=False)
        before = tables(engine)
        with pytest.raises(LeaseLost):
            batches.commit(engine, stopped, batch, {}, {}, as_of=NOW)
    assert tables(engine) == before


def test_commit_without_the_fence_of_now_is_refused(engine: Engine) -> None:
    admit(engine, [1])
    stage(engine, [make_row(EventKind.PROPOSED)])
    (partition,) = batches.plan(engine, 100)
    batch = batches.read(engine, partition, NOW)
    with pytest.raises(LeaseLost):
        batches.commit(engine, Lease(PROCESS_EVENTS, 1, 60), batch, {}, {}, as_of=NOW)


def test_partitions_cover_what_is_staged_and_respect_the_limit(engine: Engine) -> None:
    stage(engine, [make_row(EventKind.VIEWED) | {"seq": seq} for seq in (1, 5, 6, 40, 2**40)])
    found = batches.plan(engine, 2)
    assert [(part.first, part.last) for part in found] == [(1, 2), (5, 6), (40, 41), (2**40, 2**40)]
    assert [(part.first, part.last) for part in batches.plan(engine, 4, 3)] == [(1, 4), (5, 6)]
    assert [(part.first, part.last) for part in batches.plan(engine, 4, 1)] == [(1, 1)]
    assert batches.count_staged(engine) == 5


def test_day_of_a_match_moves_to_its_proposal(engine: Engine) -> None:
    admit(engine, [1])
    two_days_ago = NOW - 2 * MICROS_PER_DAY
    stage(engine, [make_row(EventKind.ACCEPTED, occurred_at=two_days_ago)])
    process(engine)
    stage(engine, [make_row(EventKind.PROPOSED)])
    process(engine)
    with reading(engine) as connection:
        days = set(connection.execute(select(metric_sums.c.day)).scalars())
        measures = set(connection.execute(select(metric_sums.c.measure)).scalars())
    assert days == {TODAY}
    assert "orphan_decided" not in measures
    reconcile(engine, 0)
