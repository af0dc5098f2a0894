"""Run flows in forked processes, against one Prefect server."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from tests.faults.processes import Job
from tests.faults.worlds import arguments
from warehouse.engine import connect

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext
    from pathlib import Path

    from pydantic import SecretStr


class FlowRun:
    """One run of a flow in a process of its own.

    Args:
        context: Forks it.
        flow: Its name.
        url: Its database.
        home: Its home.
        at: Step boundary at which it gets a signal; 0 for none.
        number: The signal.
        mutant: A planted fault.
        settings: More settings, by the names of their variables.
    """

    def __init__(
        self,
        context: ForkServerContext,
        flow: str,
        url: SecretStr,
        home: Path,
        *,
        at: int = 0,
        number: signal.Signals = signal.SIGKILL,
        mutant: str = "",
        settings: dict[str, str] | None = None,
    ) -> None:
        from tests.faults.flow_jobs import run_flow  # imports Prefect, which takes seconds

        engine = connect(url)
        given = arguments(engine, flow)
        engine.dispose()
        environment = {
            "SMARTMATCH_HOME": str(home),
            "SMARTMATCH_DATABASE_URL": url.get_secret_value(),
            "SMARTMATCH_PARTITION_EVENTS": "100",
            **(settings or {}),
        }
        self._passed = home / "passed"
        self.job = Job(
            context, run_flow, flow, given, environment, at, number, str(self._passed), mutant
        )

    def ended(self) -> int:
        """Wait for its end, and return its exit code."""
        return self.job.wait()

    def passed(self) -> int:
        """Wait for its end, and return how many step boundaries it passed."""
        assert self.ended() == 0
        return int(self._passed.read_text())


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Name the tables that differ."""
    return [name for name, rows in expected.items() if found[name] != rows]
