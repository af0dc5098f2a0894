"""How a purge goes on: its lease, its rests, its steps, and where it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from schemas.errors import LeaseLost
from schemas.events import EventKind
from schemas.tables import (
    events,
    metric_sums,
    purges,
)
from tests.engines import on_sqlite
from tests.histories import TODAY
from tests.population import RUN, answer, arrive, days_before, event, process
from tests.purging import count, fill, proposed, purge, rule
from warehouse import leases, retention
from warehouse.audit import balance
from warehouse.engine import connect, reading
from warehouse.leases import LeaseHeld, lease
from warehouse.retention import begin_evidence, delete_expired

if TYPE_CHECKING:
    from sqlalchemy import Engine


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
