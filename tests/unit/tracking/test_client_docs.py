"""What docs/client.md states is so."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tracking.collector import EventCollector
from tracking.counters import Counters
from tracking.privacy import PrivacyManager

if TYPE_CHECKING:
    from tests.unit.tracking.plain_server import PlainServer

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "client.md").read_text()


def rows_of(heading: str) -> list[list[str]]:
    """Cells of the table whose first heading is this one."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in table.splitlines()[2:]
    ]


@pytest.mark.parametrize("kind", [PrivacyManager, EventCollector])
def test_arguments_and_defaults_are_those_of_the_code(kind: type) -> None:
    parameters = list(inspect.signature(kind).parameters.values())
    optional = [one for one in parameters if one.default is not inspect.Parameter.empty]

    documented = [row[:2] for row in rows_of(f"`{kind.__name__}`")]

    assert documented == [[one.name, str(one.default)] for one in optional]


def test_counters_are_those_of_the_code() -> None:
    assert [row[0] for row in rows_of("counter")] == [one.name for one in fields(Counters)]


def test_first_example_runs(server: PlainServer, capsys: pytest.CaptureFixture[str]) -> None:
    example = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    program = example.group(1) + "assert event_collector.flush()\nevent_collector.close()\n"

    exec(compile(program, "client.md", "exec"), {})

    assert [event["match_id"] for event in server.state.events.values()] == ["ana-orchard"]
