"""Parts are started again when they die, end in order, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from schemas.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

# A part that writes down who it is, starts a child in a session of its own, and waits.
PART = """
import os, pathlib, subprocess, sys, time
place = pathlib.Path(sys.argv[1])
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
with place.open("a") as file:
    file.write(f"{os.getpid()} {child.pid}\\n")
print("ready", flush=True)
time.sleep(600)
"""
# As from a terminal, also where these tests run in the background of a shell, which ignores them.
PROGRAM = """
import signal, sys
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
from operation.parts import Part
from operation.supervisor import Supervisor
parts = [Part("needed", sys.argv[1], is_needed_by_others=True), Part("other", sys.argv[2])]
Supervisor(parts, {"PATH": "/usr/bin:/bin"}, cwd=".", grace_seconds=3).loop()
"""

# Its keepers take their time before they look who they hang on.
LATE = PROGRAM.replace(
    "parts = ",
    "import os, time; from operation import supervisor; adopt, own = supervisor.adopt_orphans, "
    "os.getpid()\n"
    "supervisor.adopt_orphans = lambda: (os.getpid() != own and time.sleep(2), adopt())\nparts = ",
)


class Running:
    """A supervisor as a process of its own, with two parts."""

    def __init__(
        self, tmp_path: Path, command: str = "", log_name: str = "log", program: str = PROGRAM
    ) -> None:
        script = tmp_path / "part.py"
        script.write_text(PART)
        self.notes = {name: tmp_path / name for name in ("needed", "other")}
        commands = [f"exec {sys.executable} {script} {note}" for note in self.notes.values()]
        self.log = tmp_path / log_name
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program, commands[0], command or commands[1]],
                cwd=CHECKOUT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def pids(self, name: str, started: int = 1) -> list[int]:
        """Wait until a part was started so often, and return it and its child."""
        lines: list[str] = []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            note = self.notes[name]
            lines = note.read_text().splitlines() if note.exists() else []
            if len(lines) >= started and len(lines[started - 1].split()) == 2:
                return [int(pid) for pid in lines[started - 1].split()]
            time.sleep(0.05)
        raise AssertionError(f"{name} was started {len(lines)} times: {self.log.read_text()}")

    def everything(self) -> list[int]:
        return [
            int(pid)
            for note in self.notes.values()
            if note.exists()
            for pid in note.read_text().split()
        ]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    found = Running(tmp_path)
    yield found
    if found.process.poll() is None:
        found.process.kill()
    for pid in found.everything():
        if psutil.pid_exists(pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def gone(pids: list[int], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(psutil.pid_exists(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def test_part_that_is_killed_is_started_again_and_what_it_had_started_is_ended(
    running: Running,
) -> None:
    part, child = running.pids("other")

    os.kill(part, signal.SIGKILL)

    again, _ = running.pids("other", started=2)
    assert again != part
    assert gone([part, child])
    assert psutil.pid_exists(running.pids("needed")[0])
    assert "other was ended by SIGKILL; starting it again" in running.log.read_text()


def test_stop_ends_every_process_and_what_others_need_last(running: Running) -> None:
    running.pids("needed"), running.pids("other")

    running.process.terminate()
    running.process.wait(60)

    assert gone(running.everything())
    log = running.log.read_text()
    assert log.index("other stopped") < log.index("needed stopped")


def test_parts_end_by_themselves_when_the_supervisor_is_killed(running: Running) -> None:
    started = running.pids("needed") + running.pids("other")

    running.process.kill()

    assert gone(started)


def test_everything_stops_when_the_process_that_keeps_a_part_is_killed(running: Running) -> None:
    part, _ = running.pids("other")
    running.pids("needed")

    os.kill(psutil.Process(part).ppid(), signal.SIGKILL)

    running.process.wait(60)
    assert gone(running.everything())
    assert "the process that keeps other is gone; everything stops" in running.log.read_text()


def test_part_that_does_not_stay_alive_stops_everything(tmp_path: Path) -> None:
    running = Running(tmp_path, command="exit 3")
    running.pids("needed")

    running.process.wait(120)

    assert gone(running.everything())
    log = running.log.read_text()
    assert "other ended with code 3; starting it again" in log
    assert "other ended with code 3; it does not stay alive, so everything stops" in log


def test_part_that_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, lambda *_: None); print('deaf', flush=True)"
    deaf += "; [time.sleep(1) for _ in range(600)]"
    running = Running(tmp_path, command=f'exec {sys.executable} -c "{deaf}"')
    running.pids("needed")
    while "deaf" not in running.log.read_text():
        time.sleep(0.05)

    running.process.terminate()
    running.process.wait(60)

    assert gone(running.everything())
    assert "other does not end in 3 s and is killed" in running.log.read_text()


def test_full_disk_of_the_log_costs_lines_and_not_the_parts(tmp_path: Path) -> None:
    running = Running(tmp_path, log_name="/dev/full")
    part, _ = running.pids("other")

    os.kill(part, signal.SIGKILL)

    running.pids("other", started=2)
    assert running.process.poll() is None
    running.process.terminate()
    running.process.wait(60)
    assert gone(running.everything())


def test_parts_end_when_the_supervisor_was_killed_before_they_looked(tmp_path: Path) -> None:
    running = Running(tmp_path, program=LATE)
    keepers: list[psutil.Process] = []
    while len(keepers) < 2:
        keepers = psutil.Process(running.process.pid).children()
        time.sleep(0.01)

    running.process.kill()

    assert gone([keeper.pid for keeper in keepers])
    assert gone(running.everything())


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_terminal_that_is_closed_ends_everything_in_order(
    number: signal.Signals, running: Running
) -> None:
    running.pids("needed"), running.pids("other")

    os.killpg(running.process.pid, number)
    running.process.wait(60)

    assert gone(running.everything())
    log = running.log.read_text()
    assert log.index("other stopped") < log.index("needed stopped")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's death")
def test_parts_end_when_the_supervisor_is_killed_with_all_that_keeps_them(running: Running) -> None:
    parts = [running.pids(name)[0] for name in ("needed", "other")]

    os.killpg(running.process.pid, signal.SIGKILL)

    assert gone(parts)
