"""Nothing phones home: whatever our dependencies do, no address outside is ever tried."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from schemas.settings import CHECKOUT
from tests.faults.alone import can_be_alone, reached

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("nothing phones home")

COMMANDS = {
    False: [["init"]],
    True: [["demo", "--turns", "2"], ["init"], ["purge"], ["retrain"]],
}
"""In the short form and in the campaign; the demo serves, processes, aggregates and learns."""

OUTSIDE = "192.0.2.1"
"""An address for documentation, which is nobody's."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    if not can_be_alone():
        pytest.skip("only root may make a network namespace, and Debian's strace has to be there")
    bare = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SMARTMATCH_", "PREFECT_", "DO_NOT_TRACK", "MLFLOW_", "GX_"))
    }
    return bare | {"SMARTMATCH_HOME": str(tmp_path / "home")}


def test_no_address_outside_is_tried(
    environment: dict[str, str], tmp_path: Path, tally: Tally, campaign: bool
) -> None:
    for command in COMMANDS[campaign]:
        trace = tmp_path / f"{command[0]}.trace"
        tried = reached([sys.executable, "-m", "cli", *command], trace, environment, CHECKOUT)
        tally.count(f"{command[0]} tried {len(tried)} addresses" if tried else None)
    assert tally.failures == []


def test_call_to_the_outside_is_caught(
    environment: dict[str, str], tmp_path: Path, tally: Tally
) -> None:
    call = f"import socket; socket.socket().connect_ex(('{OUTSIDE}', 80))"
    tried = reached([sys.executable, "-c", call], tmp_path / "call.trace", environment, CHECKOUT)
    tally.mutant_caught = tried == {OUTSIDE}
    assert tally.mutant_caught
