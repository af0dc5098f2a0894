"""What `smartmatch status` says, and what it complains of."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cli import main
from installation import set_up_database
from operation.status import FlowState, KeyState, Status, problems, read_status
from prefect_api import FlowRun
from schemas.clock import micros
from schemas.settings import Settings
from tests.histories import make_row, stage
from tests.population import answer
from tests.serving import allow, client_of, free_port
from warehouse import lineage, runs
from warehouse.engine import connect
from warehouse.key_rotation import rotate
from warehouse.keyfile import changing, read_ring, replace_ring
from warehouse.leases import lease
from warehouse.training import publish_weights

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
WELL = Status(
    at=NOW,
    parts={"ingest": True, "flows": None},
    waiting=3,
    oldest_waiting_seconds=60,
    flows={
        "process_events": FlowState(NOW, FlowRun("COMPLETED", NOW.isoformat())),
        "retrain_model": FlowState(NOW - timedelta(hours=10), None),
        "purge_expired": FlowState(None, None),
    },
    champion={"version": "1"},
    key=KeyState("k1", NOW - timedelta(days=9), 9, NOW + timedelta(days=30), 1),
    pending_erasures=0,
)


def changed(**fields: object) -> Status:
    return Status(**{**WELL.__dict__, "problems": [], **fields})  # type: ignore[arg-type]


def test_an_installation_at_work_has_no_problem() -> None:
    assert problems(WELL, Settings()) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (changed(parts={"mlflow": False}), "mlflow does not answer"),
        (
            changed(oldest_waiting_seconds=7_200.0),
            "the oldest of 3 unprocessed events waits for 120 minutes",
        ),
        (
            changed(flows={"watch_drift": FlowState(NOW, FlowRun("CRASHED", ""))}),
            "the last run of watch_drift ended crashed",
        ),
        (
            changed(flows={"retrain_model": FlowState(NOW - timedelta(hours=30), None)}),
            "retrain_model last ended well 30 hours ago",
        ),
        (
            changed(key=KeyState("k1", NOW, 9, datetime(2026, 11, 20, tzinfo=UTC), 1)),
            "the pseudonym key was due on 2026-11-20; `smartmatch pseudonym-keys rotate`",
        ),
        (
            changed(retrain_owed_hours=31.0),
            "a retrain is owed for 31 hours to somebody who left; run `smartmatch retrain`",
        ),
        (
            changed(open_keys=["/keys/a", "/keys/b"]),
            "other users may read or change /keys/a and 1 more; `chmod -R go=` the key directory",
        ),
        (changed(champion=None), "no champion is published; `smartmatch init` makes the first"),
    ],
)
def test_what_is_wrong_is_said(found: Status, said: str) -> None:
    assert problems(found, Settings()) == [said]


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation of which nothing runs."""
    for name in ("PORT", "SMARTMATCH_PREFECT_PORT", "SMARTMATCH_MLFLOW_PORT"):
        monkeypatch.setenv(name, str(free_port()))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("SMARTMATCH_KEY_ROTATION_DAYS", "40")
    settings = Settings()
    set_up_database(settings)
    return settings


def test_status_reads_backlog_champion_and_key(alone: Settings) -> None:
    engine = connect(alone.url)
    received = micros(NOW - timedelta(minutes=5))
    stage(engine, [make_row("match_viewed", received_at=received)])
    publish_weights(engine, "7", b"{}", at=NOW - timedelta(days=2))
    with lease(engine, "erase_subject", 60):
        pass
    engine.dispose()

    found = read_status(alone, NOW)

    assert (found.waiting, found.oldest_waiting_seconds) == (1, 300.0)
    assert found.champion is not None
    assert found.champion["version"] == "7"
    assert found.key.kept == 1
    assert [name for name, flow in found.flows.items() if flow.ended_well_at] == ["erase_subject"]
    assert found.key.due_at - found.key.since == timedelta(days=40)
    assert found.parts == {"prefect": False, "flows": None, "ingest": False, "mlflow": False}


def test_status_tells_a_retrain_that_is_owed_until_one_has_answered(alone: Settings) -> None:
    engine = connect(alone.url)
    asked = NOW - timedelta(hours=40)
    runs.queue(engine, lineage.RETRAIN, asked - timedelta(hours=9), "drift beyond its bounds")
    before = read_status(alone, NOW).retrain_owed_hours
    runs.queue(engine, lineage.RETRAIN, asked, lineage.WITHDRAWN)
    runs.queue(engine, lineage.RETRAIN, NOW, lineage.WITHDRAWN)

    owed = read_status(alone, NOW)
    runs.answer(engine, lineage.RETRAIN, asked_until=NOW, now=NOW)
    answered = read_status(alone, NOW)
    engine.dispose()

    assert (before, owed.retrain_owed_hours, answered.retrain_owed_hours) == (None, 40.0, None)
    assert any("a retrain is owed for 40 hours" in problem for problem in owed.problems)
    assert not any("owed" in problem for problem in answered.problems)


def test_status_names_an_answer_that_was_written_without_the_keys(alone: Settings) -> None:
    engine = connect(alone.url)
    assert read_status(alone, NOW).damage == []

    answer(engine, "anybody", "analytics")
    engine.dispose()

    found = read_status(alone, NOW)
    assert any("entry 1 of the consent ledger has no right seal" in said for said in found.problems)


def test_status_says_that_the_key_file_was_set_back(alone: Settings) -> None:
    before = read_ring(alone.keys)
    rotate(alone.keys, micros(NOW), lead_seconds=0)
    with client_of(alone) as client:
        allow(client)
    assert read_status(alone, NOW).damage == []

    with changing(alone.keys):
        replace_ring(alone.keys, before)

    assert read_status(alone, NOW).damage == [
        "1 people are known by a pseudonym key that the key file lacks: it was set back"
    ]


@pytest.mark.usefixtures("alone")
def test_command_fails_for_monitoring_and_gives_json() -> None:
    ended = CliRunner().invoke(main, ["status", "--json"])

    assert ended.exit_code == 1
    assert "ingest does not answer" in json.loads(ended.stdout)["problems"]
