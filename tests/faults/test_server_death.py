"""An acknowledged event survives the server's death: SIGKILL at random under eight writers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from schemas.tables import staged
from tests.faults.processes import ForkedServer, forked
from tests.faults.writers import lose_power
from warehouse.audit import balance, stored_event_ids
from warehouse.engine import reading

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("an acknowledged event survives the server's death")


@pytest.mark.trials(short=4, full=500)
def test_kills_lose_nothing_and_store_nothing_twice(
    settings: Settings, engine: Engine, tmp_path: Path, tally: Tally
) -> None:
    server = ForkedServer(forked("tests.faults.jobs"), settings, tmp_path / "server.log")

    acknowledged = lose_power(server, tally.planned)

    tally.count(trials=tally.planned)
    stored = list(stored_event_ids(engine))
    with reading(engine) as connection:
        rows = connection.execute(select(func.count()).select_from(staged)).scalar_one()
    assert len(acknowledged) > tally.planned
    lost = acknowledged - set(stored)
    if lost:
        tally.count(f"{len(lost)} of {len(acknowledged)} acknowledged events are gone", trials=0)
    if not len(stored) == len(set(stored)) == rows:
        tally.count("an event is there twice, or a receipt without its event", trials=0)
    if not balance(engine).agrees:
        tally.count("the books do not balance", trials=0)
    assert tally.failures == []


@pytest.mark.trials(short=4, full=20)
def test_server_that_acknowledges_first_is_caught(
    settings: Settings, engine: Engine, tmp_path: Path, tally: Tally
) -> None:
    context = forked("tests.faults.jobs")
    server = ForkedServer(context, settings, tmp_path / "server.log", mutant="early")

    acknowledged = lose_power(server, tally.planned)

    tally.mutant_caught = acknowledged - set(stored_event_ids(engine)) != set()
    assert tally.mutant_caught
