"""A server to send to, and clients that are closed when their test ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.tracking.plain_server import PlainServer
from tests.unit.tracking.spools import SetClock, open_spool
from tracking.collector import EventCollector
from tracking.privacy import PrivacyManager
from tracking.schema import MatchProposedEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tracking.spool import Spool

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlainServer]:
    """A server that the environment names."""
    server = PlainServer()
    monkeypatch.setenv("SMARTMATCH_URL", server.url)
    yield server
    server.stop()


@pytest.fixture
def privacy(server: PlainServer) -> Iterator[PrivacyManager]:
    with PrivacyManager() as manager:
        yield manager


@pytest.fixture
def make_collector(
    privacy: PrivacyManager, tmp_path: Path
) -> Iterator[Callable[..., EventCollector]]:
    """Make collectors on the spool of this test."""
    made: list[EventCollector] = []

    def make(manager: PrivacyManager = privacy, **options: Any) -> EventCollector:
        options = {"spool": tmp_path / "spool.db", "close_seconds": 1.0, **options}
        made.append(EventCollector(manager, **options))
        return made[-1]

    yield make
    for collector in made:
        collector.close()


@pytest.fixture
def collector(make_collector: Callable[..., EventCollector]) -> EventCollector:
    return make_collector()


@pytest.fixture
def make_event() -> Callable[..., MatchProposedEvent]:
    def make(user_id: str = "ana", match_id: str = "m-1", **fields: Any) -> MatchProposedEvent:
        fields = {"match_score": 0.5, **fields}
        return MatchProposedEvent(user_id=user_id, match_id=match_id, **fields)

    return make


@pytest.fixture
def start_script(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a client program as a process of its own; it is killed when the test ends."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, *arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "SMARTMATCH_SPOOL": str(tmp_path / "spool.db")}
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", source, *arguments],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def spool(tmp_path: Path, clock: SetClock) -> Iterator[Spool]:
    spool = open_spool(tmp_path, clock=clock)
    yield spool
    spool.close()
