"""An erasure whose process hangs holds the others up no longer than it may, and is made good."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.faults.test_shared_files import erase
from tests.serving import allow, proposed, server_of
from warehouse.engine import connect
from warehouse.erasure_requests import pending_erasures
from warehouse.ledgers import verify_ledgers
from warehouse.recount import reconcile

if TYPE_CHECKING:
    from schemas.settings import Settings
    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("a hanging erasure holds the others up for no longer than it may")

MAY_SECONDS = 30.0
"""So long may a run take in these trials."""
_BEGINS_SECONDS = 60.0
_LONGEST_STEP_SECONDS = 4.0


class Trial:
    """A server with two who ask to be erased; the process of the first is stopped somewhere."""

    def __init__(self, settings: Settings, log: Path, may_seconds: float = MAY_SECONDS) -> None:
        self._settings = settings.model_copy(update={"run_seconds": may_seconds})
        self._log = log

    def live(self, number: int, *, wait_seconds: float = 4 * MAY_SECONDS) -> list[str]:
        """Return what is wrong of the other erasure, and of the one that hung."""
        first, second = f"first-{number}", f"second-{number}"
        with (
            server_of(self._settings, self._log) as server,
            httpx.Client(base_url=server.url, timeout=60) as client,
        ):
            for person in (first, second):
                allow(client, person)
                event = proposed(user_id=person)
                assert client.post("/api/tracking/event/match-proposed", json=event).is_success
            request = client.post("/api/privacy/erasure", json={"user_id": first}).json()["request"]
            hung = process_of(request)
            time.sleep(random.Random(number).uniform(0.0, _LONGEST_STEP_SECONDS))
            with suppress(ProcessLookupError):  # it was fast
                os.kill(hung, signal.SIGSTOP)
            try:
                ask(client, second, wait_seconds)
                erase(client, second, wait_seconds)
                erase(client, first, wait_seconds)
            except AssertionError as error:
                return [str(error)]
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(hung, signal.SIGKILL)
        return self._wrong()

    def _wrong(self) -> list[str]:
        engine = connect(self._settings.url)
        left = pending_erasures(engine)
        reconcile(engine, 0)
        verify_ledgers(engine, self._settings.keys)
        engine.dispose()
        cases = list((self._settings.keys / "erasures").iterdir())
        return [f"{len(left)} erasures and {len(cases)} cases are open"] if left or cases else []


def ask(client: httpx.Client, person: str, wait_seconds: float) -> None:
    """Ask for an erasure until it is taken: what hangs in a transaction may hold what this writes.

    Whoever asks is told 503 in time, and to come back.
    """
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        told = client.post("/api/privacy/erasure", json={"user_id": person})
        if told.status_code != 503:
            break
        time.sleep(float(told.headers["retry-after"]))


def process_of(request: str) -> int:
    """Return the number of the process that runs an erasure, once there is one."""
    deadline = time.monotonic() + _BEGINS_SECONDS
    while time.monotonic() < deadline:
        for told in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if request.encode() in told.read_bytes():
                    return int(told.parent.name)
            except OSError:
                continue  # it ended meanwhile
        time.sleep(0.05)
    raise AssertionError("no process runs the erasure")


@pytest.fixture(autouse=True)
def _in_good_time(prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare an erasure a Prefect server of its own, and the temporary files of others."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))


@pytest.mark.trials(short=0, full=2)
def test_an_erasure_that_hangs_is_ended_and_made_good(
    settings: Settings, tmp_path: Path, tally: Tally
) -> None:
    trial = Trial(settings, tmp_path / "server.log")
    for number in range(tally.planned):
        tally.count("; ".join(trial.live(number)) or None)
    assert tally.failures == []


@pytest.mark.trials(short=0, full=1)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_server_that_waits_for_good_is_caught(
    settings: Settings, tmp_path: Path, tally: Tally
) -> None:
    trial = Trial(settings, tmp_path / "server.log", may_seconds=1e6)

    tally.mutant_caught = trial.live(0, wait_seconds=2 * MAY_SECONDS) != []
    assert tally.mutant_caught
