"""Nothing is lost between stations: the books balance after every kill, whatever was under way."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import delete, func, select

from schemas.tables import staged
from tests.faults.processes import ForkedServer, forked
from tests.faults.worlds import now
from tests.faults.writers import started, stopped
from tests.histories import process
from tests.serving import proposed
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


class Refused(threading.Thread):
    """Sends events that are refused, and counts those of which it was told so."""

    def __init__(self, server: ForkedServer, path: str, body: Any, events: int) -> None:
        super().__init__(daemon=True)
        self._server, self._path, self._body, self._events = server, path, body, events
        self._stop_now = threading.Event()
        self.told = self.sent = 0

    def stop(self) -> None:
        self._stop_now.set()
        self.join()

    def run(self) -> None:
        with httpx.Client(base_url=self._server.url, timeout=10) as client:
            while not self._stop_now.is_set():
                self.sent += self._events
                try:
                    status = client.post(self._path, json=self._body).status_code
                except httpx.HTTPError:
                    time.sleep(0.02)
                else:
                    self.told += self._events * (status in {200, 403, 422})


def count_refused(
    settings: Settings, engine: Engine, log: Path, kills: int, mutant: str
) -> list[str]:
    """Return where the books held fewer refused events than were told, or more than were sent."""
    server = ForkedServer(forked("tests.faults.jobs"), settings, log, mutant=mutant)
    stopped(started(server, 0))
    batch = [
        {"type": "match_viewed"},
        {"type": "match_proposed", **proposed(user_id="a stranger")},
    ] * 3
    senders = [
        Refused(server, "/api/tracking/event/match-proposed", {"user_id": 5}, 1),
        Refused(server, "/api/tracking/event/match-proposed", proposed(user_id="a stranger"), 1),
        Refused(server, "/api/tracking/events", batch, len(batch)),
    ]
    for sender in senders:
        sender.start()
    chance, failures = random.Random(kills), []
    for trial in range(kills):
        deadline = time.monotonic() + 120
        while sum(sender.told for sender in senders) < 20 * (trial + 1):
            assert time.monotonic() < deadline, "nobody is told any more"
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.3))
        told = sum(sender.told for sender in senders)
        server.kill()
        found = balance(engine)
        sent = sum(sender.sent for sender in senders)
        refused = sum(found.refused.values())
        if not found.agrees or not told <= refused <= sent:
            failures.append(f"kill {trial}: told {told}, sent {sent}, in the books {refused}")
        server.start()
    for sender in senders:
        sender.stop()
    server.stop()
    assert sum(sender.told for sender in senders) > 0
    return failures


@pytest.mark.trials(short=2, full=20)
def test_no_event_is_told_to_be_refused_before_it_is_in_the_books(
    settings: Settings, engine: Engine, tmp_path: Path, tally: Tally
) -> None:
    failures = count_refused(settings, engine, tmp_path / "server.log", tally.planned, "")
    tally.count(trials=tally.planned)
    tally.failures += failures
    assert tally.failures == []


def test_refusals_that_are_not_counted_are_caught(
    settings: Settings, engine: Engine, tmp_path: Path, tally: Tally
) -> None:
    found = count_refused(settings, engine, tmp_path / "server.log", 1, "uncounted")
    tally.mutant_caught = found != []
    assert tally.mutant_caught


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
