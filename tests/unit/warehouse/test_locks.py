"""What each lock is for: one transaction stands open at a known point, and another has to wait.

Whoever waits gives up soon (``busy_timeout_ms``) and says ``NotReady``; without the lock it would
go on, and each test names what would then be wrong. SQLite has one writer: where its answer is the
same, it is tried as well.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, select, update

from schemas.clock import day_number, micros
from schemas.errors import LeaseLost, NotReady
from schemas.events import EventKind
from schemas.tables import events, leases, staged
from tests.engines import on_postgresql
from tests.histories import NOW, admit, make_row, stage
from warehouse import batches, bulk, staging
from warehouse import leases as leasing
from warehouse.engine import connect, reading, writing
from warehouse.keyfile import day_key, days_with_keys
from warehouse.leases import PROCESS_EVENTS, lease
from warehouse.staging import Arrival, Staged, destroy_idle_day_keys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import SecretStr
    from sqlalchemy import Engine

FLOW = "flow"


@pytest.fixture
def impatient(database_url: SecretStr) -> Iterator[Engine]:
    """An engine that waits for a lock a fifth of a second."""
    engine = connect(database_url, busy_timeout_ms=200)
    yield engine
    engine.dispose()


def test_lease_changes_hands_only_after_a_write_that_looked_at_it_is_committed(
    engine: Engine, impatient: Engine
) -> None:
    """Else the old run's write would be committed in the middle of the new one."""
    with lease(engine, FLOW, 60) as old:
        with writing(engine) as connection:
            connection.execute(update(leases).values(expires_at=0))
        with writing(engine) as connection:
            old.check(connection)
            with pytest.raises(NotReady), lease(impatient, FLOW, 60):
                pass
        with lease(impatient, FLOW, 60), pytest.raises(LeaseLost), writing(engine) as connection:
            old.check(connection)


@on_postgresql
def test_who_is_stopped_inside_a_transaction_is_waited_for_no_longer_than_it_may_be_silent(
    engine: Engine, database_url: SecretStr, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a process that is stopped where it holds the lease or the sums would end all runs."""
    monkeypatch.setattr("warehouse.engine.IDLE_SECONDS", 0.5)
    silent = connect(database_url)
    with lease(engine, FLOW, 0.01) as old:

        def be_silent() -> None:
            with writing(silent) as connection:
                old.check(connection)
                with lease(engine, FLOW, 60, wait_seconds=60) as held:
                    assert held.fence == old.fence + 1
                bulk.fetch(connection, "SELECT 1")

        with pytest.raises(NotReady):
            be_silent()
    silent.dispose()


def test_of_two_runs_that_ask_for_a_lease_at_once_one_gets_it(
    engine: Engine, impatient: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else both would hold the same fence, which then keeps neither from writing."""
    with lease(engine, FLOW, 60):
        pass
    now = leasing._now_us

    def ask_as_well() -> int:  # the first has seen that the lease is free, and not taken it yet
        monkeypatch.setattr(leasing, "_now_us", now)
        with pytest.raises(NotReady), lease(impatient, FLOW, 60):
            pass
        return now()

    monkeypatch.setattr(leasing, "_now_us", ask_as_well)
    with lease(engine, FLOW, 60) as held:
        assert held.fence == 2


@on_postgresql  # where a run goes on beside a purge
def test_event_that_a_purge_is_about_to_delete_is_left_to_it(
    engine: Engine, impatient: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be processed and, by the books, expired as well."""
    monkeypatch.setattr(batches, "HELD_PAUSES_SECONDS", (0.0,))
    admit(engine, [1])
    stage(engine, [make_row(EventKind.PROPOSED, match_key=number) for number in (1, 2)])
    (partition,) = batches.plan(engine, 10)
    batch = batches.read(engine, partition, NOW)
    with lease(engine, PROCESS_EVENTS, 60) as held:
        with writing(engine) as purging:
            purging.execute(delete(staged).where(staged.c.match_key == 1))
            with pytest.raises(NotReady):
                batches.commit(impatient, held, batch, {}, {}, as_of=NOW)
        counts = batches.commit(engine, held, batch, {}, {}, as_of=NOW)

    assert counts.processed == 1
    with reading(engine) as connection:
        assert connection.execute(select(events.c.match_key)).scalars().all() == [2]
        assert connection.execute(select(staged)).all() == []


def test_key_of_a_day_is_not_destroyed_under_a_text_that_is_being_stored(
    engine: Engine, impatient: Engine, tmp_path: Path
) -> None:
    """Else the text, acknowledged a moment later, could never be read."""
    noon = datetime(2026, 11, 2, 12, tzinfo=UTC)
    yesterday = noon - timedelta(days=1)
    day = day_number(yesterday)
    day_key(tmp_path, day, make=True)
    at = micros(yesterday)
    row = Staged(b"e" * 16, EventKind.FEEDBACK, 7, 1, None, at, at, b"{}", b"sealed", day)
    with writing(engine) as storing:  # since before midnight
        staging.stage(storing, [Arrival(row, b"d" * 16, (b"p" * 32,))], at)
        with pytest.raises(NotReady):
            destroy_idle_day_keys(impatient, tmp_path, noon)

    # Where no key is idle nobody is waited for, nor kept waiting.
    with writing(engine) as storing:
        storing.execute(update(staged).values(session_key=1))
        assert destroy_idle_day_keys(impatient, tmp_path, noon) == []
    assert days_with_keys(tmp_path) == [day]
