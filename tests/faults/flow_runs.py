"""Run flows in forked processes, against one Prefect server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.faults.processes import Process
from tests.faults.worlds import arguments
from warehouse.engine import connect
from warehouse.keyfile import make_ring

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext
    from pathlib import Path

    from pydantic import SecretStr


class Passed(NamedTuple):
    """What a flow passed by its end.

    Attributes:
        boundaries: How many step boundaries.
        taken: The boundary at which it took its lease.
        fenced: The last one before its fence was looked at.
        late_writes: How often the fence let it through after the signal.
        unfenced: Tables that a transaction wrote without a look at its fence, by commas.
    """

    boundaries: int
    taken: int
    fenced: int
    late_writes: int
    unfenced: str


class FlowRun(Process):
    """One run of a flow in a process of its own.

    Args:
        context: Forks it.
        flow: Its name.
        url: Its database.
        home: Its home.
        settings: More settings, by the names of their variables.
        more: What happens to it: fields of ``flow_jobs.Job``.
    """

    def __init__(
        self,
        context: ForkServerContext,
        flow: str,
        url: SecretStr,
        home: Path,
        settings: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        from tests.faults.flow_jobs import Job, run  # imports Prefect, which takes seconds

        engine = connect(url)
        given = arguments(engine, flow)
        engine.dispose()
        # Each database has keys and a witness of its own beside it.
        home /= "home_" + url.get_secret_value().rpartition("/")[2].partition("?")[0]
        make_ring(home / "data" / "keys", 0)
        # An erasure searches all temporary files since the installation: here its own.
        (home / "tmp").mkdir(exist_ok=True)
        environment = {
            "SMARTMATCH_HOME": str(home),
            "SMARTMATCH_DATABASE_URL": url.get_secret_value(),
            "SMARTMATCH_PARTITION_EVENTS": "100",
            "TMPDIR": str(home / "tmp"),
            **(settings or {}),
        }
        self._passed = home / "passed"
        self._keys = home / "data" / "keys"
        super().__init__(context, run, Job(flow, given, environment, self._passed, **more))

    def passed(self) -> Passed:
        """Wait for its end, and return what it passed."""
        assert self.wait() == 0
        return Passed(*json.loads(self._passed.read_text()))

    def kept(self) -> list[str]:
        """Name the files that it leaves beside the keys."""
        files = (path for path in self._keys.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self._keys)) for path in files)


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Name the tables that differ."""
    return [name for name, rows in expected.items() if found[name] != rows]
