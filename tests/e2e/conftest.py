"""Processes of their own, as an operator starts them, each in a home of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 60


class Home:
    """A home directory, and what is started in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        bare = {
            k: v for k, v in os.environ.items() if not k.startswith(("SMARTMATCH_", "PREFECT_"))
        }
        self.environment = bare | {"SMARTMATCH_HOME": str(path)}

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a Python command of the project to its end."""
        return subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def smartmatch(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``smartmatch`` to its end."""
        return self.run("-m", "cli", *arguments)

    @contextmanager
    def serving(self, script: str = "tracking_server.py") -> Iterator[str]:
        """Serve the API on a free loopback port, and yield its address."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        environment = self.environment | {"HOST": "127.0.0.1", "PORT": str(port)}
        self.path.mkdir(parents=True, exist_ok=True)
        log = self.path / "server.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, script], cwd=ROOT, env=environment, stdout=file, stderr=file
            )
        try:
            _wait(url, process, log)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(log.read_text())
        try:
            if requests.get(f"{url}/ready", timeout=2).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError("the server did not start in time")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with nothing in it."""
    return Home(tmp_path / "home")
