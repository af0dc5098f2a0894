"""A command that is told to end while it works leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil

from tests.e2e.conftest import ROOT

if TYPE_CHECKING:
    from tests.e2e.conftest import Home


def servers_of(process: psutil.Process) -> list[psutil.Process]:
    """Wait for the Prefect server that a command starts, and return it with what it started."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = process.children(recursive=True)
        if any(one.net_connections(kind="tcp") for one in found):
            return found
        time.sleep(0.05)
    raise AssertionError("no server was started")


def test_a_flow_that_is_told_to_end_takes_its_server_with_it(home: Home) -> None:
    assert home.smartmatch("init").returncode == 0
    with subprocess.Popen(
        [sys.executable, "-m", "cli", "process"],
        cwd=ROOT,
        env=home.environment,
        stderr=subprocess.PIPE,
    ) as process:
        started = servers_of(psutil.Process(process.pid))
        process.send_signal(signal.SIGHUP)
        process.wait(30)

    _, left = psutil.wait_procs(started, timeout=15)

    assert left == []
