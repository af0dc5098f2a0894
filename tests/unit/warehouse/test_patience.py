"""A run that waits, or works on something else than the database, keeps its lease meanwhile."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from schemas.clock import micros
from schemas.retention import LOG_FILES, Aged
from schemas.tables import events, leases
from tasks import erasure, retention
from tasks import events as steps
from tests.engines import on_postgresql
from tests.histories import NOW, TODAY, admit
from tests.population import RUN, answer
from tests.purging import rule
from warehouse import months
from warehouse.engine import reading
from warehouse.erasure_requests import begin
from warehouse.leases import Lease, lease
from warehouse.months import make_months
from warehouse.retention import begin_evidence, delete_expired

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from schemas.settings import Settings


def keeps_its_lease(engine: Engine, work: Callable[[Lease], object]) -> bool:
    """Tell whether a lease ends later than before after some work in which nothing is written."""

    def ends_at() -> int:
        with reading(engine) as connection:
            return connection.execute(select(leases.c.expires_at)).scalar_one()

    with lease(engine, "flow", 60.0) as held:
        before = ends_at()
        work(held)
        return ends_at() > before


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(months, "WAITS_MS", (20, 20))
    monkeypatch.setattr(months, "_PAUSE_SECONDS", 0.01)


@on_postgresql
@pytest.mark.usefixtures("impatient")
def test_a_purge_that_waits_for_a_month(engine: Engine) -> None:
    make_months(engine, TODAY - 200, TODAY)
    begin_evidence(engine, "run", [rule("events")], RUN)

    def wait(held: Lease) -> None:
        assert delete_expired(engine, rule("events"), held, "run") == 0

    with reading(engine, whole=[events]):
        assert keeps_its_lease(engine, wait)


@on_postgresql
@pytest.mark.usefixtures("impatient")
def test_a_purge_that_waits_to_make_a_month(engine: Engine, settings: Settings) -> None:
    make = partial(retention.make_months.fn, settings.url, 10, NOW)
    with reading(engine, whole=[events]):
        assert keeps_its_lease(engine, make)
    assert not keeps_its_lease(engine, make)  # it waits for nobody now


def test_a_purge_that_overwrites_what_it_deleted(engine: Engine, settings: Settings) -> None:
    assert keeps_its_lease(engine, partial(retention.forget.fn, settings.url))


def test_a_purge_beside_the_database(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTMATCH_DATABASE_URL", engine.url.render_as_string(hide_password=False))
    files = Aged(LOG_FILES, micros(RUN))
    assert keeps_its_lease(engine, lambda held: retention.delete_beside.fn(files, held))


def test_a_run_that_settles_many_answers(engine: Engine, settings: Settings) -> None:
    admit(engine, [1, 2])
    assert keeps_its_lease(engine, partial(steps.settle_consents.fn, settings.url))


@pytest.mark.parametrize("step", ["look_before", "forget", "prove"])
def test_an_erasure_that_searches_and_overwrites(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setenv("SMARTMATCH_DATABASE_URL", settings.url.get_secret_value())
    request = begin(engine, answer(engine, "a", "analytics"), RUN)
    take: dict[str, Callable[[Lease], object]] = {
        "look_before": lambda held: erasure.look_before.fn(request, held),
        "forget": lambda held: erasure.forget.fn(settings.url, request, held),
        "prove": lambda held: erasure.prove.fn(request, held, NOW),
    }
    assert keeps_its_lease(engine, take[step])
