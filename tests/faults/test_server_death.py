"""An acknowledged event survives the server's death: SIGKILL at random under eight writers."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from schemas.tables import staged
from tests.e2e.test_ingest_kills import Writer
from tests.faults.processes import ForkedServer, forked
from tests.serving import allow
from warehouse.audit import balance, stored_event_ids
from warehouse.engine import reading

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("an acknowledged event survives the server's death")

WRITERS = 8


def lose_power(server: ForkedServer, kills: int) -> set[UUID]:
    """Kill a server again and again under load, and return what it acknowledged."""
    server.start()
    with httpx.Client(base_url=server.url) as client:
        allow(client)
    writers = [Writer(server.port, seed) for seed in range(WRITERS)]
    for writer in writers:
        writer.start()
    chance = random.Random(kills)
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 0.5))
        server.kill()
        server.start()
    time.sleep(0.2)
    server.kill()
    for writer in writers:
        writer.stop()
    return set().union(*(writer.acknowledged for writer in writers))


@pytest.mark.trials(short=6, full=500)
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


@pytest.mark.trials(short=6, full=20)
def test_server_that_acknowledges_first_is_caught(
    settings: Settings, engine: Engine, tmp_path: Path, tally: Tally
) -> None:
    context = forked("tests.faults.jobs")
    server = ForkedServer(context, settings, tmp_path / "server.log", mutant="early")

    acknowledged = lose_power(server, tally.planned)

    tally.mutant_caught = acknowledged - set(stored_event_ids(engine)) != set()
    assert tally.mutant_caught
