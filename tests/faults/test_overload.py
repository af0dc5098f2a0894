"""A flood of ten times what the server takes: others are served, memory stays, health returns.

The short form only starts the server with the planted fault: a flood takes all processors, and
times decide.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import ingest
from benchmarks.ingest_overload import FLOOD_CONNECTIONS, NORMAL_CONNECTIONS, overload

if TYPE_CHECKING:
    from benchmarks.ingest_overload import Overload
    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("overload sheds: others are served, memory stays, health returns")

ROUNDS = 3
MOST_TIMES_P99 = 2.0
MOST_MEMORY_GROWTH = 1.1
HEALTHY_SECONDS = 10.0


OPEN = (
    "from ingest.turnstile import Turnstile;"
    " Turnstile.enter = lambda self, passenger, *_: passenger.proceed();"
    " Turnstile.leave = lambda *_: None; serve(Settings())"
)
"""A server that lets everybody in at once."""


def broken_by(found: Overload) -> list[str]:
    """Say what an overload broke.

    The measuring client shares the processors with the flood, so its p99 is held against that
    beside the same flood of a server that does nothing.
    """
    broken = []
    if found.worst_to_idle_flood > MOST_TIMES_P99:
        broken.append(f"p99 of others is {found.worst_to_idle_flood:.2f} times its own")
    if found.tenfold_to_rated > MOST_TIMES_P99:
        broken.append(f"p99 at ten times the rated load is {found.tenfold_to_rated:.2f} times")
    if found.memory_growth > MOST_MEMORY_GROWTH:
        broken.append(f"memory grew {found.memory_growth:.2f} times")
    if found.healthy_seconds > HEALTHY_SECONDS:
        broken.append(f"healthy after {found.healthy_seconds:.1f} s")
    return broken


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Overload:
    """What a server did: one measurement for both promises."""
    assert FLOOD_CONNECTIONS >= 10 * NORMAL_CONNECTIONS
    return overload(tmp_path_factory.mktemp("overload") / "home", seconds=4.0, rounds=ROUNDS)


@pytest.mark.trials(short=0, full=ROUNDS)
def test_flood_costs_others_little_and_is_left_behind(found: Overload, tally: Tally) -> None:
    tally.count(trials=tally.planned)
    tally.failures += broken_by(found)
    assert tally.failures == []


@pytest.mark.promise("ten times the normal traffic, and slow clients: p99 within twice that alone")
@pytest.mark.trials(short=0, full=ROUNDS)
def test_ten_times_the_traffic_costs_others_little(found: Overload, tally: Tally) -> None:
    tally.count(trials=tally.planned)
    if found.busy_to_alone > MOST_TIMES_P99:
        tally.count(f"p99 is {found.busy_to_alone:.2f} times that alone", trials=0)
    assert tally.failures == []


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let servers be started without their turnstile."""
    start = ingest.started

    def start_open(command: list[str], *more: Any) -> Any:
        return start([*command[:-1], command[-1].replace("serve(Settings())", OPEN)], *more)

    monkeypatch.setattr(ingest, "started", start_open)


@pytest.mark.usefixtures("opened")
def test_server_without_a_turnstile_serves(tmp_path: Path, tally: Tally) -> None:
    with ingest.serve_ours("open", tmp_path / "home", None) as target:
        command = Path(f"/proc/{target.pid}/cmdline").read_text(encoding="utf-8")
        tally.count(None if OPEN in command else "the planted fault was not planted")
    assert tally.failures == []


@pytest.mark.usefixtures("opened")
@pytest.mark.trials(short=0, full=1)
def test_server_without_a_turnstile_is_caught(tmp_path: Path, tally: Tally) -> None:
    found = overload(tmp_path / "home", seconds=2.0, rounds=1)
    tally.mutant_caught = broken_by(found) != []
    assert tally.mutant_caught
