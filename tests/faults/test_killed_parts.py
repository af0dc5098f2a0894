"""SIGKILL of each part of a running installation: nothing is lost, and a stop leaves nothing.

It has no short form: every part of an installation starts four times.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from schemas.settings import CHECKOUT, Settings
from tests.serving import allow, free_port, proposed
from warehouse.engine import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("a killed part is started again, and a stop leaves nothing")

PARTS = ("ingest", "flows", "prefect", "mlflow")
PATIENCE_SECONDS = 300.0
PROGRAM = "from cli import main; main(['up'])"
MUTANT = f"""
from honcho.process import Process
from operation import supervisor
supervisor._Kept.run = Process.run
{PROGRAM}
"""
"""honcho as it is: when a part ends, everything ends."""


class Installation:
    """``smartmatch up`` in a home of its own."""

    def __init__(self, home: Path, program: str = PROGRAM) -> None:
        self.log = home / "up.log"
        ports = ("PORT", "SMARTMATCH_PREFECT_PORT", "SMARTMATCH_MLFLOW_PORT")
        own = {name: str(free_port()) for name in ports}
        self.url = f"http://127.0.0.1:{own['PORT']}"
        self.environment = os.environ | own | {"SMARTMATCH_HOME": str(home)}
        self.seen: set[psutil.Process] = set()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program],
                cwd=CHECKOUT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def wait_for(self, line: str, count: int = 1) -> list[str]:
        """Wait until the log has so many matches of a pattern, and return them."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.findall(line, self.log.read_text())
            self.seen.update(psutil.Process(self.process.pid).children(recursive=True))
            if len(found) >= count:
                return found
            time.sleep(0.2)
        raise AssertionError(f"{line} is not in the log: {self.log.read_text()[-2_000:]}")

    def status(self) -> dict[str, object]:
        """Ask ``smartmatch status``."""
        done = subprocess.run(
            [sys.executable, "-m", "cli", "status", "--json"],
            cwd=CHECKOUT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def wait_until_whole(self) -> None:
        """Wait until ``status`` has nothing to complain of."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := self.status())["problems"]:
            assert time.monotonic() < deadline, found
            time.sleep(1)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Installation]]:
    started: list[Installation] = []

    def begin(*program: str) -> Installation:
        started.append(Installation(tmp_path, *program))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()


@pytest.mark.trials(short=0, full=1)
def test_an_installation_that_ends_with_its_part_is_seen(
    start: Callable[..., Installation], tally: Tally
) -> None:
    installation = start(MUTANT)
    installation.wait_for("ingest +http")
    pid = int(installation.wait_for(r"ingest started \(pid=(\d+)\)")[-1])

    os.kill(pid, signal.SIGKILL)

    with pytest.raises(AssertionError, match="is not in the log"):
        installation.wait_for("ingest was ended by SIGKILL; starting it again")
    tally.mutant_caught = True


@pytest.mark.trials(short=0, full=len(PARTS))
def test_every_part_is_killed_in_turn(start: Callable[..., Installation], tally: Tally) -> None:
    installation = start()
    installation.wait_for("Everything works")
    sent = 0
    for name in PARTS:
        with httpx.Client(base_url=installation.url, timeout=30) as client:
            allow(client)
            for _ in range(5):
                reply = client.post("/api/tracking/event/match-proposed", json=proposed())
                assert reply.status_code == 200, reply.text
                sent += 1
        pid = int(installation.wait_for(rf"{name} started \(pid=(\d+)\)")[-1])
        os.kill(pid, signal.SIGKILL)
        installation.wait_for(f"{name} was ended by SIGKILL; starting it again")
        installation.wait_for(rf"{name} started \(pid=(\d+)\)", 2)
        installation.wait_until_whole()
        tally.count()
    installation.process.terminate()
    assert installation.process.wait(120) == 0

    left = [process for process in installation.seen if process.is_running()]
    assert left == []
    settings = Settings(home=installation.log.parent)
    engine = connect(settings.url)
    with engine.connect() as connection:
        stored = [
            connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table}").scalar_one()
            for table in ("events", "staged")
        ]
    engine.dispose()
    assert sum(stored) == sent
