"""The client against the real server: over HTTP in another process, and embedded."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from pydantic import SecretStr

from schemas.settings import Settings
from tracking.collector import EventCollector
from tracking.privacy import Consent, PrivacyManager
from tracking.schema import (
    MatchCompletedEvent,
    MatchDecisionEvent,
    MatchFeedbackEvent,
    MatchProposedEvent,
    MatchViewedEvent,
)
from warehouse.audit import balance, stored_event_ids
from warehouse.engine import connect
from warehouse.setup import set_up_database

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
SERVE = "from ingest_api import serve; from schemas.settings import Settings; serve(Settings())"
FIRST_MODULE = """
from tracking.collector import EventCollector
from tracking.privacy import PrivacyManager
from tracking.schema import MatchProposedEvent
privacy_manager = PrivacyManager()
event_collector = EventCollector(privacy_manager)
def event():
    return MatchProposedEvent(user_id="ana", match_id="m-1", match_score=0.9,
                              match_parameters={"reach": 3.0}, alternatives_count=4,
                              constraint_satisfaction={"skills": 0.8})
before = event_collector.collect_event(event())
privacy_manager.record_consent("ana", analytics=True)
after = event_collector.collect_event(event())
print(before, after)
"""
KILLED = """
import os
from tracking.collector import EventCollector
from tracking.privacy import PrivacyManager
from tracking.schema import MatchViewedEvent
privacy = PrivacyManager()
privacy.record_consent("ana", analytics=True)
collector = EventCollector(privacy)
from tracking.validation import time_ordered_id
from datetime import UTC, datetime
while True:
    event_id = time_ordered_id(datetime.now(UTC))
    event = MatchViewedEvent(user_id="ana", match_id="m", view_duration_seconds=1.0,
                             event_id=event_id)
    if collector.collect_event(event):
        print(event_id, flush=True)
"""


class RealServer:
    """``serve`` in a process of its own, on one port, with a database of its own."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home)
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {**os.environ, "SMARTMATCH_HOME": str(self.home), "HOST": "127.0.0.1"}
        environment["PORT"] = str(self.port)
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(self.url + "/ready", timeout=2).status_code == 200:
                    return
            time.sleep(0.05)
        pytest.fail("the server did not start")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealServer]:
    server = RealServer(tmp_path / "server")
    set_up_database(server.settings)
    server.start()
    monkeypatch.setenv("SMARTMATCH_URL", server.url)
    yield server
    server.stop(signal.SIGKILL)


def stored_ids(url: SecretStr) -> list[str]:
    """Ids of all stored events, as often as they are stored; the books must agree."""
    engine = connect(url)
    ids = [str(event_id) for event_id in stored_event_ids(engine)]
    assert balance(engine).agrees
    engine.dispose()
    return sorted(ids)


def views(count: int, user_id: str = "ana") -> list[MatchViewedEvent]:
    return [
        MatchViewedEvent(user_id=user_id, match_id=f"m-{number}", view_duration_seconds=1.0)
        for number in range(count)
    ]


def test_every_type_of_event_is_stored(server: RealServer, tmp_path: Path) -> None:
    common: dict[str, Any] = {"user_id": "ana/é ü", "match_id": "m-1", "session_id": "s"}
    with PrivacyManager() as privacy, EventCollector(privacy, strict=True) as collector:
        assert privacy.get_consent("ana/é ü") is None
        privacy.record_consent("ana/é ü", analytics=True, improvement=True)
        for event in (
            MatchProposedEvent(**common, match_score=0.5, propensity=0.1, model_version="1"),
            MatchViewedEvent(**common, view_duration_seconds=3.5, view_complete=True),
            MatchDecisionEvent(**common, decision=True, reasons=["proche de chez moi"]),
            MatchFeedbackEvent(**common, rating=5, feedback_text="très bien"),
            MatchCompletedEvent(**common, completed=False, duration_days=3.0),
        ):
            assert collector.collect_event(event) is True
        assert collector.flush() is True

        assert privacy.get_consent("ana/é ü") == Consent(analytics=True, improvement=True)
        assert collector.counters.stored == 5
        assert collector.refused_events() == []
    assert len(stored_ids(server.settings.url)) == 5


def test_verdicts_of_the_server_are_understood(server: RealServer) -> None:
    privacy = PrivacyManager(cache_seconds=60)
    privacy.record_consent("ana", analytics=True)
    privacy.record_consent("bob", analytics=True)
    with EventCollector(privacy, linger_seconds=0.5) as collector:
        first, second, third, fourth = (*views(3), *views(1, "bob"))
        # Elsewhere, so that this client still remembers the consent.
        withdrawn = {"user_id": "bob", "analytics": False}
        answer = httpx.post(f"{server.url}/api/tracking/consent", json=withdrawn)
        assert answer.is_success
        server.stop()
        collector.collect_event(first)
        collector.collect_event(
            msgspec.structs.replace(second, occurred_at=datetime(2001, 1, 1, tzinfo=UTC))
        )
        collector.collect_event(third)
        collector.collect_event(fourth)
        server.start()

        assert collector.flush(30) is True

        counters = collector.counters
        assert (counters.stored, counters.rejected, counters.dropped_for_consent) == (2, 1, 1)
        (refused,) = collector.refused_events()
        assert refused["field"] == "occurred_at"
    assert len(stored_ids(server.settings.url)) == 2


def test_server_killed_and_restarted_under_a_stream_of_events_stores_each_once(
    server: RealServer,
) -> None:
    privacy = PrivacyManager(cache_seconds=600)
    privacy.record_consent("ana", analytics=True)
    accepted = 0
    with EventCollector(privacy, batch_events=50, linger_seconds=0.0) as collector:
        for _ in range(3):
            for event in views(400):
                accepted += collector.collect_event(event)
            server.stop(signal.SIGKILL)
            for event in views(100):
                accepted += collector.collect_event(event)
            server.start()
        assert collector.flush(60) is True
        assert collector.counters.waiting == 0

    ids = stored_ids(server.settings.url)
    assert accepted == 1_500
    assert len(ids) == len(set(ids)) == accepted


def test_events_of_a_killed_client_are_stored_once(server: RealServer, tmp_path: Path) -> None:
    spool = tmp_path / "client" / "spool.db"
    environment = {**os.environ, "SMARTMATCH_SPOOL": str(spool)}
    accepted: set[str] = set()
    for _ in range(2):
        client = subprocess.Popen(
            [sys.executable, "-c", KILLED],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert client.stdout is not None
        for _ in range(400):
            accepted.add(client.stdout.readline().strip())
        client.kill()
        accepted.update(client.stdout.read().split("\n")[:-1])
        client.wait()

    with EventCollector(PrivacyManager(), spool=spool) as collector:
        assert collector.flush(30) is True

    ids = stored_ids(server.settings.url)
    assert len(ids) == len(set(ids))
    assert accepted <= set(ids)
    assert len(ids) <= len(accepted) + 2  # accepted, and killed before it could say so


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, whose database the embedded server makes."""
    information = tmp_path / "site" / "embedded_setup-1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Name: embedded-setup\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        "[smartmatch.embedded]\nsetup = installation:set_up_database\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    home = tmp_path / "home"
    monkeypatch.setenv("SMARTMATCH_HOME", str(home))
    return home


def test_first_modules_program_runs_without_a_server(embedded: Path) -> None:
    answers: list[Any] = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", FIRST_MODULE],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        answers.append(done.stdout.split())
        answers.append(len(stored_ids(Settings(home=embedded).url)))

    assert answers == [["False", "True"], 1, ["True", "True"], 3]


FORKING = """
import os
from tracking.collector import EventCollector
from tracking.privacy import PrivacyManager
from tracking.schema import MatchViewedEvent
privacy = PrivacyManager(cache_seconds=60)
privacy.record_consent("ana", analytics=True)
collector = EventCollector(privacy, close_seconds=60)
def collect(count):
    for number in range(count):
        event = MatchViewedEvent(user_id="ana", match_id="m", view_duration_seconds=1.0)
        assert collector.collect_event(event)
collect(50)
child = os.fork()
collect(50)
if child:
    assert os.waitpid(child, 0)[1] == 0
assert collector.flush(60)
"""


def test_forked_processes_share_the_embedded_database(embedded: Path) -> None:
    subprocess.run([sys.executable, "-c", FORKING], cwd=ROOT, check=True, timeout=180)

    ids = stored_ids(Settings(home=embedded).url)
    assert len(ids) == len(set(ids)) == 150
