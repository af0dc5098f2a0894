"""Partitions and recount on Dask: a worker is killed, or the scheduler is stopped."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import dask
import msgspec
import pytest
from distributed import LocalCluster
from distributed.deploy.subprocess import SubprocessCluster
from sqlalchemy import func, select

from flows.aggregate_metrics import aggregate_metrics
from flows.process_events import process_events
from schemas.clock import MICROS_PER_DAY, micros, moment
from schemas.errors import NotReady
from schemas.events import EventKind
from schemas.tables import events
from tasks import dask_runner
from tests.histories import NOW as NOON
from tests.histories import admit, history, make_row, process, stage, tables
from warehouse.engine import reading, writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from schemas.settings import Settings

SUBJECTS = 40
SILENT_FOR = "20s"
"""Of which worker nothing is heard for so long is given up; five minutes by default."""


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two workers, each a process of its own."""
    with (
        dask.config.set({"distributed.scheduler.worker-ttl": SILENT_FOR}),
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
        ) as started,
    ):
        workers = [worker.pid for worker in started.workers.values()]
        yield started
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)  # else nobody can close it


@pytest.fixture
def on_dask(cluster: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that the flows find by themselves."""
    _set(monkeypatch, settings, cluster.scheduler_address)
    return settings


def _set(monkeypatch: pytest.MonkeyPatch, settings: Settings, address: str) -> None:
    monkeypatch.setenv("SMARTMATCH_DATABASE_URL", settings.url.get_secret_value())
    monkeypatch.setenv("SMARTMATCH_TASK_RUNNER", "dask")
    monkeypatch.setenv("SMARTMATCH_DASK_ADDRESS", address)
    monkeypatch.setenv("SMARTMATCH_PARTITION_EVENTS", "100")


@pytest.fixture
def apart(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A worker and a scheduler that is a process of its own as well."""
    with SubprocessCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as started:
        _set(monkeypatch, settings, started.scheduler_address)
        scheduler = started.scheduler.process.pid
        yield scheduler
        os.kill(scheduler, signal.SIGCONT)  # however the test ended: else nobody can close it


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_run_whose_scheduler_is_stopped_is_given_up_and_the_next_goes_on(
    engine: Engine, apart: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_runner, "ASK_SECONDS", 0.5)
    monkeypatch.setattr(dask_runner, "ANSWER_SECONDS", 15.0)
    admit(engine, range(1, SUBJECTS + 1))
    stage(engine, _rows(2_000))
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(_signal_at_work, engine, apart, signal.SIGSTOP)
        with pytest.raises(NotReady, match="scheduler"):
            process_events()
    assert 0 < stopping.result() < 2_000

    monkeypatch.setenv("SMARTMATCH_TASK_RUNNER", "threads")
    assert not process_events().skipped
    assert aggregate_metrics().matches > 100
    assert tables(engine)["staged"] == [(0,)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_two_workers_one_killed_or_stopped_leave_the_tables_of_one(
    engine: Engine, on_dask: Settings, cluster: Any, number: signal.Signals
) -> None:
    rows = _rows(2_000)
    admit(engine, range(1, SUBJECTS + 1))
    stage(engine, rows)
    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(_signal_one_at_work, engine, cluster, number)
        outcome = process_events()
    assert 0 < killing.result() < 2_000
    # A worker that dies between its commit and its answer leaves the counts to the books.
    assert outcome.partitions == 20
    assert 2_000 - 100 <= outcome.processed + sum((outcome.rejected or {}).values()) <= 2_000
    agreed = aggregate_metrics()
    assert agreed.matches > 100
    found = tables(engine)
    _empty(engine)
    stage(engine, rows)
    process(engine, as_of=micros(_now()))
    assert found == tables(engine)


def _now() -> Any:
    return moment(time.time_ns() // 1_000)


def _rows(count: int) -> list[dict[str, Any]]:
    """Return a history that ends now, with an event that breaks a rule among each hundred."""
    shift = micros(_now()) - NOON - MICROS_PER_DAY
    rows = history(11, length=count, subjects=SUBJECTS, matches=150)
    for row in rows:
        row["occurred_at"] += shift
        row["received_at"] += shift
    for place in range(0, count, 100):
        broken = {"payload": msgspec.json.encode({"rating": 9})}
        rows[place] = make_row(
            EventKind.FEEDBACK,
            **{
                name: rows[place][name]
                for name in ("event_id", "subject", "match_key", "occurred_at", "received_at")
            },
            **broken,
        )
    return rows


def _signal_one_at_work(engine: Engine, cluster: Any, number: signal.Signals) -> int:
    """Signal one worker as soon as something was committed; return how much was by then."""
    worker = next(iter(cluster.workers.values()))
    worker.auto_restart = False  # the other has to do it alone
    return _signal_at_work(engine, worker.pid, number)


def _signal_at_work(engine: Engine, process_id: int, number: signal.Signals) -> int:
    """Signal a process as soon as something was committed; return how much was by then."""
    committed = 0
    for _ in range(6_000):
        with reading(engine) as connection:
            committed = connection.execute(select(func.count()).select_from(events)).scalar_one()
        if committed:
            break
        time.sleep(0.02)
    os.kill(process_id, number)
    return int(committed)


def _empty(engine: Engine) -> None:
    with writing(engine) as connection:
        for name in ("events", "matches", "metric_sums", "rejected", "accounts"):
            connection.exec_driver_sql(f"DELETE FROM {name}")
        connection.exec_driver_sql("UPDATE subjects SET counted = false")
