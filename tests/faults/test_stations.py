"""Nothing is lost between stations: the books balance after every kill, whatever was under way."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, func, select

from schemas.tables import staged
from tests.faults.processes import ForkedServer, forked
from tests.faults.worlds import now
from tests.faults.writers import started, stopped
from tests.histories import process
from warehouse.audit import balance
from warehouse.engine import writing
from warehouse.recount import reconcile

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("nothing is lost between stations: the books balance")


@pytest.mark.trials(short=3, full=40)
def test_books_balance_after_every_kill(
    settings: Settings, engine: Engine, tmp_path: Path, tally: Tally
) -> None:
    server = ForkedServer(forked("tests.faults.jobs"), settings, tmp_path / "server.log")
    writers = started(server, 4)
    chance = random.Random(tally.planned)
    for trial in range(tally.planned):
        time.sleep(chance.uniform(0.05, 0.4))
        if trial % 2:
            process(engine, size=200, as_of=now(), validate=False)
        server.kill()
        found = balance(engine)
        tally.count(None if found.agrees else f"after kill {trial}: {found}")
        server.start()
    stopped(writers)
    server.stop()
    process(engine, as_of=now(), validate=False)

    found = balance(engine)
    reconcile(engine, 0)
    assert found.stored == found.processed > 0
    assert found.agrees
    assert tally.failures == []


def test_row_that_goes_missing_is_caught(
    settings: Settings, engine: Engine, tmp_path: Path, tally: Tally
) -> None:
    server = ForkedServer(forked("tests.faults.jobs"), settings, tmp_path / "server.log")
    writers = started(server, 1)
    time.sleep(0.5)
    stopped(writers)
    server.stop()
    assert balance(engine).agrees
    with writing(engine) as connection:
        first = select(func.min(staged.c.seq)).scalar_subquery()
        connection.execute(delete(staged).where(staged.c.seq == first))

    tally.mutant_caught = not balance(engine).agrees

    assert tally.mutant_caught
