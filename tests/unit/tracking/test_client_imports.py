"""The client is light: what importing it loads, and what that costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MODULES = "tracking.collector, tracking.privacy, tracking.schema, tracking.asynchronous"
PROGRAM = f"""
import json, sys, time
before, begun = set(sys.modules), time.process_time()
import {MODULES}
print(json.dumps([time.process_time() - begun, sorted(set(sys.modules) - before)]))
"""
ALLOWED = {"msgspec", "schemas", "tracking", "typing_extensions"}


def imported() -> tuple[float, set[str]]:
    """Import the client in a fresh process: CPU seconds, and the modules that came with it."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, check=True, text=True
    )
    seconds, modules = json.loads(done.stdout)
    return seconds, set(modules)


def test_importing_the_client_loads_nothing_of_the_server() -> None:
    _, modules = imported()

    foreign = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert {name for name in foreign if not name.startswith("_")} <= ALLOWED
    assert {name for name in modules if name.startswith("schemas.")} == {
        "schemas.errors",
        "schemas.events",
    }


def test_importing_the_client_takes_a_fifth_of_a_second_at_most() -> None:
    assert min(imported()[0] for _ in range(3)) < 0.2
