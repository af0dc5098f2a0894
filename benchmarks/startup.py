"""CPU seconds until a command, the client or the server is ready, beside what cannot be avoided.

``python -m benchmarks.startup [--size small]``. Each is a process of its own; what is counted is
its processor time, user and system, so that neighbours disturb little, and the median of some
rounds is taken. Ratios are to a bare interpreter, and to importing alone the library that each
cannot do without.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.publishing import Cell, Result, Rows, add_size, bars, publish
from benchmarks.serving import cpu_seconds, free_port, own_environment, started
from schemas.settings import CHECKOUT, Settings
from warehouse.setup import set_up_database

if TYPE_CHECKING:
    from collections.abc import Callable

BARE = "a bare interpreter"
WARM_UP = 1
"""Rounds that are not counted: they fill the caches of bytecode and of the disk."""


class Start(NamedTuple):
    """What is started, the library that it is built on, and what is to be reached, seconds."""

    name: str
    library: str
    reach: float
    seconds: Callable[[], float]


def run(*arguments: str) -> float:
    """Run Python to its end; give its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, *arguments]
    subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def serve(home: Path) -> float:
    """Start the server in a home; give its CPU seconds until it answers."""
    port = free_port()
    command = [sys.executable, "-m", "cli", "serve"]
    with started(command, port, own_environment(home, port)) as pid:
        return cpu_seconds(pid)


def starts(home: Path) -> list[Start]:
    """List what is measured."""
    client = "import tracking.collector, tracking.privacy, tracking.schema"
    return [
        Start("the client's import", "msgspec", 0.2, partial(run, "-c", client)),
        Start("smartmatch --help", "click", 0.3, partial(run, "-m", "cli", "--help")),
        Start("the server, until it answers", "fastapi", 1.0, partial(serve, home)),
    ]


def measure(rounds: int, home: Path) -> dict[str, float]:
    """Interleave everything, round by round; give the median of each, seconds."""
    wanted = starts(home)
    work: dict[str, Callable[[], float]] = {BARE: partial(run, "-c", "pass")}
    work |= {one.library: partial(run, "-c", f"import {one.library}") for one in wanted}
    work |= {one.name: one.seconds for one in wanted}
    found: dict[str, list[float]] = {name: [] for name in work}
    for number in range(WARM_UP + rounds):
        for name, seconds in work.items():
            spent = seconds()
            if number >= WARM_UP:
                found[name].append(spent)
    return {name: statistics.median(times) for name, times in found.items()}


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_size(parser)
    size = parser.parse_args().size
    with tempfile.TemporaryDirectory(prefix="bench-startup-") as directory:
        home = Path(directory) / "home"
        set_up_database(Settings(home=home, database_url=None))
        found = measure(3 if size == "small" else 15, home)
        wanted = starts(home)
    rows: list[dict[str, Cell]] = [
        {
            "what": one.name,
            "CPU s": found[one.name],
            "to reach": one.reach,
            "to a bare interpreter": found[one.name] / found[BARE],
            "library": one.library,
            "to that library": found[one.name] / found[one.library],
        }
        for one in wanted
    ]
    publish(
        Result(
            name="startup",
            title="Start-up: CPU seconds until it is ready",
            size=size,
            tables=[Rows(rows)],
            draw=bars(found, "CPU seconds"),
            notes=[f"A bare interpreter takes {found[BARE]:.3f} s."],
            packages=("msgspec", "click", "fastapi", "uvicorn"),
        )
    )


if __name__ == "__main__":
    main()
