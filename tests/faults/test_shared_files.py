"""An acknowledged event survives an erasure: its search, whoever closes the database, a SIGKILL."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.faults.processes import ForkedServer, forked
from tests.faults.writers import started, stopped
from tests.serving import allow, proposed
from warehouse.audit import balance, stored_event_ids
from warehouse.engine import connect

if TYPE_CHECKING:
    from pathlib import Path

    from schemas.settings import Settings
    from tests.faults.conftest import Tally

pytestmark = [
    pytest.mark.promise("an acknowledged event survives an erasure beside it"),
    # PostgreSQL's files are its own server's.
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]

WRITERS = 2
PAUSE_SECONDS = 0.02
"""So that on a slow machine the database does not grow faster than it can be searched."""
_SEEN_BY_OTHERS_SECONDS = 0.5
_VISIT = """
import sqlite3, sys
visitor = sqlite3.connect(sys.argv[1], timeout=30)
visitor.execute("SELECT count(*) FROM staged").fetchone()
visitor.close()
"""


class Trial:
    """A server under load that erases somebody, is visited, and is killed."""

    def __init__(self, settings: Settings, directory: Path, mutant: str = "") -> None:
        self._settings = settings
        log = directory / "server.log"
        self._server = ForkedServer(forked("tests.faults.jobs"), settings, log, mutant=mutant)
        self._database = str(connect(settings.url).url.database)

    def live(self, person: str) -> list[str]:
        """Return what is wrong after an erasure, a visit and a kill."""
        writers = started(self._server, WRITERS, PAUSE_SECONDS)
        try:
            with httpx.Client(base_url=self._server.url, timeout=60) as client:
                allow(client, person)
                event = proposed(user_id=person)
                assert client.post("/api/tracking/event/match-proposed", json=event).is_success
                erase(client, person)
            subprocess.run([sys.executable, "-I", "-S", "-c", _VISIT, self._database], check=True)
            before = sum(len(writer.acknowledged) for writer in writers)
            time.sleep(_SEEN_BY_OTHERS_SECONDS)
        finally:
            self._server.kill()
            acknowledged = stopped(writers)
        silent = len(acknowledged) == before
        return [*self._wrong(acknowledged), *(["nothing was taken any more"] if silent else [])]

    def _wrong(self, acknowledged: set[Any]) -> list[str]:
        self._server.start()
        self._server.stop()
        with closing(sqlite3.connect(self._database)) as connection:
            sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not sound:
            return ["the database is damaged"]
        engine = connect(self._settings.url)
        lost = acknowledged - set(stored_event_ids(engine))
        agrees = balance(engine).agrees
        engine.dispose()
        wrong = [f"{len(lost)} of {len(acknowledged)} acknowledged events are gone"] if lost else []
        return wrong + ([] if agrees else ["the books do not balance"])


def erase(client: httpx.Client, person: str, wait_seconds: float = 120.0) -> None:
    """Erase a person over HTTP, and wait until the server has searched for them itself.

    Under load SQLite's log is at times kept open by a reader, and a step of the erasure has to be
    tried again. What a task does by itself, this does by asking again.
    """
    deadline = time.monotonic() + wait_seconds
    state = "failed"
    while time.monotonic() < deadline:
        if state == "failed":
            asked = client.post("/api/privacy/erasure", json={"user_id": person})
            assert asked.status_code == 202, asked.text
        request = asked.json()["request"]
        found = client.get(asked.json()["url"]).json()
        if found["state"] == "done" and found["report"].get("identifier") is not None:
            assert found["report"]["identifier"]["places_left"] == 0
            return
        state = client.get(f"/api/runs/{request}").json()["state"]
        time.sleep(0.1)
    raise AssertionError("the erasure was not done in time")


@pytest.mark.trials(short=1, full=10)
def test_an_erasure_beside_the_load_loses_nothing(
    settings: Settings, tmp_path: Path, tally: Tally
) -> None:
    trial = Trial(settings, tmp_path)
    for number in range(tally.planned):
        tally.count("; ".join(trial.live(f"leaver-{number}")) or None)
    assert tally.failures == []


def test_a_server_that_opens_its_own_database_as_a_file_is_caught(
    settings: Settings, tmp_path: Path, tally: Tally
) -> None:
    wrong = Trial(settings, tmp_path, "prying").live("leaver")

    tally.mutant_caught = wrong != []
    assert tally.mutant_caught
