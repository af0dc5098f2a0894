"""Partitions that are committed side by side leave what one after another leaves.

SQLite has one writer: what happens inside a transaction of another is tried on PostgreSQL alone.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, text

from schemas.clock import moment
from schemas.errors import NotReady
from schemas.events import EventKind
from schemas.tables import events, leases
from tests.engines import on_postgresql, on_sqlite, wait_until_one_waits
from tests.histories import NOW, admit, consent, history, make_row, process, stage, tables
from warehouse import batches
from warehouse.engine import connect, reading, writing
from warehouse.erasure import delete_subject
from warehouse.erasure_requests import begin
from warehouse.leases import PROCESS_EVENTS, lease
from warehouse.recount import reconcile
from warehouse.subtraction import settle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr
    from sqlalchemy import Engine

SUBJECTS = 12


@pytest.fixture
def several(database_url: SecretStr) -> Iterator[list[Engine]]:
    """Engines of three workers on one database."""
    engines = [connect(database_url, busy_timeout_ms=60_000) for _ in range(3)]
    yield engines
    for engine in engines:
        engine.dispose()


def _process_side_by_side(engines: list[Engine], *, size: int) -> None:
    with lease(engines[0], PROCESS_EVENTS, 60) as held:
        with writing(engines[0]) as connection:
            settle(connection, [SUBJECTS, 1])

        def work(numbered: tuple[int, Any]) -> int:
            number, part = numbered
            mine = engines[number % len(engines)]
            batch = batches.read(mine, part, NOW)
            return batches.commit(mine, held, batch, {}, {}, as_of=NOW).read

        with ThreadPoolExecutor(len(engines)) as pool:
            list(pool.map(work, enumerate(batches.plan(engines[0], size))))


def test_partitions_side_by_side_leave_what_one_run_leaves(
    engine: Engine, several: list[Engine]
) -> None:
    rows = history(5, length=300, subjects=SUBJECTS, matches=9)
    admit(engine, range(1, SUBJECTS + 1))
    stage(engine, rows)
    _process_side_by_side(several, size=11)
    found = tables(engine)
    with writing(engine) as connection:
        for name in ("events", "matches", "metric_sums", "accounts"):
            connection.exec_driver_sql(f"DELETE FROM {name}")
        connection.exec_driver_sql("UPDATE subjects SET counted = false")
    stage(engine, rows)
    process(engine, validate=False)
    assert found == tables(engine)


def test_consents_and_an_erasure_beside_them_leave_sums_that_a_recount_gives(
    engine: Engine, several: list[Engine]
) -> None:
    admit(engine, range(1, SUBJECTS + 1))
    stage(engine, history(6, length=240, subjects=SUBJECTS, matches=9))

    def change_minds() -> None:
        for turn in range(40):
            consent(engine, 1 + turn % 2, analytics=turn % 4 > 1)

    def erase() -> None:
        request = begin(engine, 3, moment(NOW))
        with lease(engine, "erase_subject", 60) as held:
            delete_subject(engine, request, held)

    with ThreadPoolExecutor(2) as pool:
        beside = [pool.submit(change_minds), pool.submit(erase)]
        _process_side_by_side(several, size=8)
        for one in beside:
            one.result()
    process(engine, validate=False)
    reconcile(engine, 0)
    with reading(engine) as connection:
        assert 3 not in set(connection.execute(select(events.c.subject)).scalars())


@on_postgresql
@pytest.mark.parametrize(
    ("changes", "tries"), [(1, 2), (10, batches.FREE_TRIES + 1)], ids=["once", "in every try"]
)
def test_consent_withdrawn_while_the_events_are_moved_leaves_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, changes: int, tries: int
) -> None:
    """A commit tries again with the new consents, and in the end keeps them from changing."""
    admit(engine, [1, 2])
    stage(engine, [make_row(EventKind.PROPOSED, subject=n) for n in (1, 2)])
    real, calls = batches.lock_sums, []

    def change_first(connection: Any) -> None:
        if len(calls) < changes:
            consent(engine, 1, analytics=len(calls) % 2 == 1)
        calls.append(1)
        real(connection)

    monkeypatch.setattr(batches, "lock_sums", change_first)
    counts = process(engine, validate=False)

    assert (counts.processed, counts.dropped, len(calls)) == (1, 1, tries)
    with reading(engine) as connection:
        assert set(connection.execute(select(events.c.subject)).scalars()) == {2}
    reconcile(engine, 0)


@on_postgresql
def test_erasure_that_begins_while_the_events_are_moved_waits_for_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(engine, [1, 2])
    stage(engine, [make_row(EventKind.PROPOSED, subject=n) for n in (1, 2)])
    request = begin(engine, 1, moment(NOW))
    real, erasing = batches.lock_sums, []

    with ThreadPoolExecutor(1) as pool, lease(engine, "erase_subject", 60) as held:

        def erase_beside(connection: Any) -> None:
            erasing.append(pool.submit(delete_subject, engine, request, held))
            wait_until_one_waits(engine)
            real(connection)

        monkeypatch.setattr(batches, "lock_sums", erase_beside)
        assert process(engine, validate=False).processed == 1
        erasing[0].result()
    with reading(engine) as connection:
        assert set(connection.execute(select(events.c.subject)).scalars()) == {2}


@on_postgresql
def test_events_that_a_killed_worker_still_holds_are_waited_for(
    engine: Engine, several: list[Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its backend goes on until it asks its worker for something, and then gives them back."""
    admit(engine, [1])
    stage(engine, [make_row(EventKind.PROPOSED, match_key=key) for key in range(3)])
    (part,) = batches.plan(engine, 10)
    batch = batches.read(engine, part, NOW)

    with ThreadPoolExecutor(1) as pool, lease(engine, PROCESS_EVENTS, 60) as held:
        with several[0].connect() as killed:
            killed.execute(text("SELECT seq FROM staged FOR UPDATE"))
            moving = pool.submit(batches.commit, several[1], held, batch, {}, {}, as_of=NOW)
            time.sleep(0.5)
            killed.rollback()
        assert moving.result().processed == 3

        stage(engine, [make_row(EventKind.PROPOSED, match_key=3)])
        (part,) = batches.plan(engine, 10)
        batch = batches.read(engine, part, NOW)
        monkeypatch.setattr(batches, "HELD_PAUSES_SECONDS", (0.1,))
        with several[0].connect() as stopped:
            stopped.execute(text("SELECT seq FROM staged FOR UPDATE"))
            with pytest.raises(NotReady):
                batches.commit(several[1], held, batch, {}, {}, as_of=NOW)
    assert len(tables(engine)["events"]) == 3


@on_sqlite  # whose own wait for a writer gives up in time
def test_threads_on_sqlite_come_in_turn_however_long_one_takes(
    engine: Engine, database_url: SecretStr, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(engine, range(1, SUBJECTS + 1))
    stage(engine, [make_row(EventKind.PROPOSED, match_key=key) for key in range(3)])
    impatient = [connect(database_url, busy_timeout_ms=50) for _ in range(3)]
    book = batches._book

    def slowly(*arguments: Any) -> None:
        time.sleep(0.3)
        book(*arguments)

    monkeypatch.setattr(batches, "_book", slowly)
    _process_side_by_side(impatient, size=1)
    for one in impatient:
        one.dispose()
    assert len(tables(engine)["events"]) == 3


def test_a_commit_renews_the_lease(engine: Engine) -> None:
    admit(engine, [1])
    stage(engine, [make_row(EventKind.PROPOSED)])
    (partition,) = batches.plan(engine, 10)
    batch = batches.read(engine, partition, NOW)

    def ends() -> int:
        with reading(engine) as connection:
            return int(connection.execute(select(leases.c.expires_at)).scalar_one())

    with lease(engine, PROCESS_EVENTS, 60) as held:
        before = ends()
        time.sleep(0.01)
        batches.commit(engine, held, batch, {}, {}, as_of=NOW)
        assert ends() > before


@on_postgresql
def test_lease_is_renewed_while_another_partition_is_being_committed(engine: Engine) -> None:
    with lease(engine, PROCESS_EVENTS, 60) as held, writing(engine) as committing:
        held.check(committing)
        with writing(engine) as other:
            other.execute(text("SET LOCAL lock_timeout = 1000"))
            other.execute(text("UPDATE leases SET expires_at = expires_at + 1"))
