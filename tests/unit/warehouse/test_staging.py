"""Staging: exactly once, in one transaction with its receipt, and keys that outlive their day."""

from __future__ import annotations

import os
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from schemas.clock import MICROS_PER_DAY, day_number, micros
from schemas.tables import receipts, staged
from warehouse import staging
from warehouse.columns import _chunks, _lacking
from warehouse.engine import reading, writing
from warehouse.keyfile import day_key, days_with_keys
from warehouse.staging import (
    Arrival,
    Outcome,
    Staged,
    counts,
    destroy_idle_day_keys,
    stage,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW_US = micros(NOW)


def arrival(
    event_id: bytes = b"", content: bytes = b"c", subject: int = 7, sealed_day: int | None = None
) -> Arrival:
    row = Staged(
        event_id or uuid.uuid4().bytes,
        "match_viewed",
        subject,
        1,
        None,
        NOW_US,
        NOW_US,
        b"{}",
        b"sealed" if sealed_day is not None else None,
        sealed_day,
    )
    return Arrival(row, content.ljust(16, b"."), (b"p" * 32,))


def put(engine: Engine, *arrivals: Arrival) -> list[Outcome]:
    with writing(engine) as connection:
        return stage(connection, arrivals, NOW_US)


def stored(engine: Engine) -> int:
    with reading(engine) as connection:
        rows = connection.execute(select(func.count()).select_from(staged)).scalar_one()
        known = connection.execute(select(func.count()).select_from(receipts)).scalar_one()
    assert rows == known
    return int(rows)


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 200, 513, 1_500])
def test_every_event_of_a_group_is_stored_once_whatever_its_size(engine: Engine, size: int) -> None:
    group = [arrival() for _ in range(size)]

    assert put(engine, *group) == [Outcome.STORED] * size
    assert put(engine, *group) == [Outcome.DUPLICATE] * size
    assert stored(engine) == size


def test_rows_keep_every_field_in_order_of_arrival(engine: Engine) -> None:
    group = [arrival(sealed_day=day_number(NOW)), arrival()]
    put(engine, *group)

    names = [column for column in staged.c if column.name != "seq"]
    with reading(engine) as connection:
        rows = connection.execute(select(*names).order_by(staged.c.seq)).all()
    assert [tuple(row) for row in rows] == [tuple(one.row) for one in group]


IDS = [bytes([number]) * 16 for number in range(4)]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    groups=st.lists(
        st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from([b"x", b"y"])), max_size=6),
        max_size=4,
    )
)
def test_any_mix_of_repetitions_equals_one_event_at_a_time(
    engine: Engine, groups: list[list[tuple[bytes, bytes]]]
) -> None:
    prefix = os.urandom(8)
    model: dict[bytes, bytes] = {}
    for group in groups:
        expected = []
        for event_id, content in group:
            if event_id not in model:
                model[event_id] = content
                expected.append(Outcome.STORED)
            elif model[event_id] == content:
                expected.append(Outcome.DUPLICATE)
            else:
                expected.append(Outcome.DIFFERS)

        assert put(engine, *[arrival(prefix + i[:8], c) for i, c in group]) == expected
    with reading(engine) as connection:
        kept = connection.execute(
            select(func.count())
            .select_from(staged)
            .where(staged.c.event_id.in_([prefix + event_id[:8] for event_id in IDS]))
        ).scalar_one()
    assert kept == len(model)


def test_writers_that_send_the_same_events_at_once_store_each_once(engine: Engine) -> None:
    group = [arrival(bytes([number]) * 16) for number in range(50)]
    outcomes: list[list[Outcome]] = []

    def send(order: int) -> None:
        outcomes.append(put(engine, *group[::order]))

    threads = [threading.Thread(target=send, args=(order,)) for order in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(one.count(Outcome.STORED) for one in outcomes) == 50
    assert sum(one.count(Outcome.DUPLICATE) for one in outcomes) == 150
    assert stored(engine) == 50


def test_unknown_person_is_refused_inside_the_transaction(engine: Engine) -> None:
    outcomes = put(engine, arrival(subject=0), arrival())

    assert outcomes == [Outcome.FORBIDDEN, Outcome.STORED]
    assert counts(outcomes) == {
        ("received", ""): 2,
        ("stored", ""): 1,
        ("refused", "user_id: consent required"): 1,
    }


def test_id_that_some_send_who_are_not_allowed_is_decided_at_once_for_all(engine: Engine) -> None:
    strangers = [arrival(IDS[0], subject=0) for _ in range(3)]

    outcomes = put(engine, *strangers, arrival(IDS[0]), *strangers, arrival(IDS[0], b"other"))

    forbidden = [Outcome.FORBIDDEN] * 3
    assert outcomes == [*forbidden, Outcome.STORED, *forbidden, Outcome.DIFFERS]
    assert counts(outcomes)["received", ""] == 8
    assert stored(engine) == 1


def test_text_sealed_yesterday_is_not_stored_but_asked_for_again(engine: Engine) -> None:
    today = day_number(NOW)

    outcomes = put(engine, arrival(sealed_day=today - 1), arrival(sealed_day=today))

    assert outcomes == [Outcome.AGAIN, Outcome.STORED]
    assert counts(outcomes)["received", ""] == 1


def test_day_keys_are_destroyed_when_their_day_is_over_and_nothing_is_sealed_under_them(
    engine: Engine, tmp_path: Path
) -> None:
    today = day_number(NOW)
    for day in (today - 3, today - 2, today - 1, today):
        day_key(tmp_path, day, make=True)
    with writing(engine) as connection:
        stage(connection, [arrival(sealed_day=today - 2)], (today - 2) * MICROS_PER_DAY)

    destroyed = destroy_idle_day_keys(engine, tmp_path, NOW)

    assert destroyed == [today - 3, today - 1]
    assert days_with_keys(tmp_path) == [today - 2, today]


def test_key_of_a_day_is_looked_at_again_when_nobody_can_store_any_more(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = day_number(NOW) - 1
    day_key(tmp_path, yesterday, make=True)
    look = staging._idle

    def look_before_a_text_comes(connection: Connection, days: list[int]) -> list[int]:
        monkeypatch.setattr(staging, "_idle", look)
        idle = look(connection, days)
        with writing(engine) as storing:
            stage(storing, [arrival(sealed_day=yesterday)], yesterday * MICROS_PER_DAY)
        return idle

    monkeypatch.setattr(staging, "_idle", look_before_a_text_comes)

    assert destroy_idle_day_keys(engine, tmp_path, NOW) == []
    assert days_with_keys(tmp_path) == [yesterday]


def test_yesterdays_key_lives_some_minutes_into_today(engine: Engine, tmp_path: Path) -> None:
    midnight = datetime(2026, 11, 1, tzinfo=UTC)
    day_key(tmp_path, day_number(midnight) - 1, make=True)

    assert destroy_idle_day_keys(engine, tmp_path, midnight + timedelta(minutes=4)) == []
    assert len(destroy_idle_day_keys(engine, tmp_path, midnight + timedelta(minutes=6))) == 1


@given(st.integers(0, 3_000))
def test_chunks_hold_every_row_once_in_order(size: int) -> None:
    chunks = list(_chunks(range(size)))

    assert [row for chunk in chunks for row in chunk] == list(range(size))
    assert all(len(chunk) <= 512 for chunk in chunks)


def test_chunks_are_of_few_sizes_because_each_is_a_statement_that_stays_prepared() -> None:
    chunks = [chunk for size in range(3_000) for chunk in _chunks(range(size))]

    assert len({len(chunk) + _lacking(chunk) for chunk in chunks}) <= 12
