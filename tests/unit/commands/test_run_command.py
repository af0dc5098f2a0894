"""``smartmatch run``: a flow's parameter is kept by Prefect, so nothing but a number may be one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from click.testing import CliRunner

import background
from cli import main
from commands.shared import EXIT_TRY_AGAIN
from schemas.errors import LeaseLost, NotReady
from warehouse import runs
from warehouse.engine import connect
from warehouse.leases import LeaseHeld

if TYPE_CHECKING:
    from schemas.settings import Settings


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


@pytest.mark.parametrize("error", [LeaseHeld, LeaseLost, NotReady])
@pytest.mark.parametrize("flow", ["erase_subject", "retrain_model"])
def test_an_erasure_that_another_process_is_at_is_not_told_to_have_failed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: type[Exception], flow: str
) -> None:
    def ended(_run: str) -> Any:
        raise error("ended")

    monkeypatch.setenv("SMARTMATCH_DATABASE_URL", settings.url.get_secret_value())
    monkeypatch.setattr(background, "_flow", lambda _name: ended)
    engine = connect(settings.url)
    run = runs.request(engine, flow, datetime.now(UTC), str(uuid4()))

    done = CliRunner().invoke(main, ["run", flow, "--run", run])

    found = runs.read(engine, run)
    engine.dispose()
    assert found is not None
    waits = flow == "erase_subject" and error is not NotReady
    assert found.state == (runs.RUNNING if waits else runs.FAILED)
    assert (done.exit_code == EXIT_TRY_AGAIN) == (waits or error is not LeaseLost)
