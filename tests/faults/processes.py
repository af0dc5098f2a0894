"""Processes to kill, stop and wake: forked from one that has imported everything already.

Importing takes seconds; a fork takes milliseconds. What runs in the fork is the same code.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.serving import Server

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.process import BaseProcess

    from schemas.settings import Settings

_STATE_FIELD = 0  # of /proc/PID/stat behind the name


FIRST_USED = {
    "tests.faults.jobs": (
        "sqlalchemy.dialects.postgresql.psycopg",
        "ingest.cold",
        "pydantic.v1",
        "uvicorn.loops.uvloop",
    ),
    "tests.faults.flow_jobs": (
        "sqlalchemy.dialects.postgresql.psycopg",
        "tasks.partition",
        "expectations.training_set",
        "mlflow.store.tracking.sqlalchemy_workspace_store",
        "mlflow.store.model_registry.sqlalchemy_workspace_store",
        "IPython.display",
        "git",
        "pyarrow.dataset",
    ),
}
FIRST_USED["tests.faults.retrain_jobs"] = FIRST_USED["tests.faults.flow_jobs"]
"""What a module's processes import by its first use, which each fork would otherwise repeat."""

_server: list[str | None] = []


def forked(preload: str) -> ForkServerContext:
    """Return a context whose processes start with a module imported, and what it uses first."""
    context = multiprocessing.get_context("forkserver")
    # Prefect reads where its server is when it is imported; without one a flow starts its own,
    # and a killed flow leaves that behind.
    wanted = [preload, os.environ.get("PREFECT_API_URL")]
    if _server != wanted:
        # There is one fork server a process; what it imports is settled when it starts.
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        _server[:] = wanted
        context.set_forkserver_preload(["pytest", preload, *FIRST_USED.get(preload, ())])
    return context


class Process:
    """A function that runs in a process of its own."""

    def __init__(
        self, context: ForkServerContext, run: Callable[..., None], *arguments: Any
    ) -> None:
        self._process: BaseProcess = context.Process(target=run, args=arguments, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def stopped(self) -> bool:
        """Whether it stands still by SIGSTOP."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return False
        return stat.rpartition(")")[2].split()[_STATE_FIELD] == "T"

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        if self._process.is_alive():
            os.kill(self.pid, number)

    def wait(self, seconds: float = 120) -> int:
        """Return its exit code, or minus the signal that ended it."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            self.send(signal.SIGKILL)
            self._process.join()
            raise AssertionError(f"a process did not end within {seconds} seconds")
        return self._process.exitcode

    def wait_until_stopped(self, seconds: float = 120) -> bool:
        """Wait until it stands still; False when it ended instead."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.stopped:
                return True
            if not self._process.is_alive():
                return False
            time.sleep(0.005)
        raise AssertionError("a process neither stopped nor ended")


class ForkedServer(Server):
    """The HTTP server, forked; killed and started again in a fraction of a second."""

    def __init__(
        self, context: ForkServerContext, settings: Settings, log: Path, *, mutant: str = ""
    ) -> None:
        super().__init__(settings, log)
        self._context = context
        self._mutant = mutant
        self._running: Process | None = None

    def start(self) -> None:
        from tests.faults.jobs import serve  # in the fork it is imported already

        self._running = Process(self._context, serve, self._settings, str(self.log), self._mutant)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                httpx.get(f"{self.url}/health", timeout=2)
            except httpx.HTTPError:
                time.sleep(0.01)
            else:
                return
        raise AssertionError(f"the server did not start: {self.log.read_text()[-2_000:]}")

    @property
    def pid(self) -> int:
        """The number of its process."""
        assert self._running is not None
        return self._running.pid

    def kill(self) -> None:
        assert self._running is not None
        self._running.send(signal.SIGKILL)
        self._running.wait()

    def stop(self) -> int:
        assert self._running is not None
        self._running.send(signal.SIGTERM)
        return self._running.wait(30)
