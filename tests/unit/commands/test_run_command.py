"""``smartmatch run``: a flow's parameter is kept by Prefect, so nothing but a number may be one."""

from __future__ import annotations

from uuid import uuid4

import pytest
from click.testing import CliRunner

import background
from cli import main


@pytest.mark.parametrize("sent", ["somebody@example.org", "", "7", "0" * 31])
def test_a_run_that_is_no_number_is_refused_and_not_repeated(
    sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr(background, "run_in_background", lambda *sent: started.extend(sent[2:]))

    done = CliRunner().invoke(main, ["run", "erase_subject", "--run", sent])

    assert done.exit_code == 2
    assert "'--run': must be the number of a run" in done.output
    assert not sent or sent not in done.output.replace("'--run'", "")
    assert started == []


def test_a_number_of_a_run_starts_the_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr(background, "run_in_background", lambda *sent: started.extend(sent[1:]))
    run = str(uuid4())

    assert CliRunner().invoke(main, ["run", "erase_subject", "--run", run]).exit_code == 0
    assert started == ["erase_subject", run]
