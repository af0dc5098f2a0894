"""What `smartmatch deploy` sets up on a Prefect server, and what starts a run there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed

from deployments import SCHEDULES, deploy
from flows import process_events as processing
from installation import set_up_database
from schemas.environment import HEARTBEAT_SECONDS
from schemas.run_events import DECISIONS_COLLECTED
from schemas.settings import Settings
from tests.flows.conftest import stage_rounds
from tests.serving import client_of
from warehouse import decisions
from warehouse.engine import connect

if TYPE_CHECKING:
    from pathlib import Path

DEAD = "SmartMatch: mark dead runs as crashed"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What two deploys in a row leave on the session's server."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), timezone="America/Montreal")
    deploy(settings)
    return deploy(settings)


def test_every_flow_is_deployed_once_in_the_operators_time_zone(
    deployed: dict[str, list[str]],
) -> None:
    with get_client(sync_client=True) as client:
        found = {name: client.read_deployment_by_name(name) for name in deployed["deployments"]}
        every = client._client.post("/deployments/filter", json={}).json()

    assert len(every) == len(found) == len(SCHEDULES) + 1
    for name, deployment in found.items():
        flow = name.split("/")[0].replace("-", "_")
        crons = [(one.schedule.cron, one.schedule.timezone) for one in deployment.schedules]
        assert crons == ([(SCHEDULES[flow], "America/Montreal")] if flow in SCHEDULES else [])
        assert deployment.global_concurrency_limit is not None
        assert deployment.global_concurrency_limit.limit == 1
        assert "smartmatch" in deployment.tags
        assert "docs/runbook.md" in (deployment.description or "")


def test_a_form_says_what_each_parameter_means_and_its_bounds(
    deployed: dict[str, list[str]],
) -> None:
    with get_client(sync_client=True) as client:
        schemas = {
            name: client.read_deployment_by_name(name).parameter_openapi_schema["properties"]
            for name in deployed["deployments"]
        }

    wait = schemas["process-events/smartmatch"]["wait_seconds"]
    assert (wait["minimum"], wait["maximum"]) == (0, 3_600)
    assert all(
        parameter["description"] for schema in schemas.values() for parameter in schema.values()
    )


@pytest.mark.usefixtures("deployed")
def test_a_silent_run_is_marked_crashed_by_an_automation_that_stands_once() -> None:
    with get_client(sync_client=True) as client:
        every = client._client.post("/automations/filter", json={}).json()

    assert sorted(one["name"] for one in every) == [
        DEAD,
        "SmartMatch: retrain on drift",
        "SmartMatch: retrain on enough new decisions",
    ]
    dead = next(one for one in every if one["name"] == DEAD)
    assert dead["trigger"]["posture"] == "Proactive"
    assert dead["trigger"]["within"] >= 2 * HEARTBEAT_SECONDS
    assert dead["actions"][0]["state"] == "CRASHED"


@pytest.mark.usefixtures("deployed")
def test_a_second_deploy_leaves_what_an_automation_waits_for() -> None:
    before = updated()

    deploy(Settings())

    assert updated() == before


def updated() -> dict[str, str]:
    with get_client(sync_client=True) as client:
        every = client._client.post("/automations/filter", json={}).json()
    return {one["name"]: one["updated"] for one in every}


def test_an_automation_that_was_switched_off_stays_off(deployed: dict[str, list[str]]) -> None:
    known: Any = Automation.read(name=DEAD)
    known.disable()

    deploy(Settings())

    again: Any = Automation.read(name=DEAD)
    assert again.enabled is False
    again.enable()
    assert deployed["automations"][0] == DEAD


def test_enough_new_decisions_are_told_once(
    installed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []

    def listen(event: str, resource: dict[str, str], payload: dict[str, Any]) -> Event | None:
        told.append({"event": event, **payload})
        return None

    monkeypatch.setattr(processing, "emit_event", listen)
    monkeypatch.setenv("SMARTMATCH_RETRAIN_AFTER_DECISIONS", "10")
    engine = connect(installed.url)
    stage_rounds(engine, turns=1, last=datetime.now(UTC).date() - timedelta(days=1))

    processing.process_events()
    processing.process_events()

    new = decisions.count_new(engine)
    assert new > 10
    assert told == [{"event": DECISIONS_COLLECTED, "new_decisions": new}]
    decisions.note_learned(engine, decisions.count(engine))
    assert decisions.count_new(engine) == 0
    engine.dispose()


@pytest.mark.usefixtures("deployed")
def test_a_run_that_is_asked_for_over_http_is_one_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", str(PREFECT_API_URL.value()))
    settings = Settings(home=tmp_path)
    set_up_database(settings)
    with client_of(settings) as client, get_client(sync_client=True) as server:
        asked = client.post("/api/ml/update")
        again = client.post("/api/ml/update")
        run = asked.json()["run"]
        waiting = client.get(asked.json()["url"]).json()
        flow_run = server.read_flow_run(UUID(run))
        server.set_flow_run_state(UUID(run), Completed(), force=True)
        done = client.get(asked.json()["url"]).json()
        other = client.post("/api/ml/update").json()["run"]

    assert asked.status_code == 202
    assert again.json()["run"] == run
    assert (waiting["flow"], waiting["state"]) == ("retrain_model", "requested")
    assert flow_run.parameters == {}
    assert (done["state"], done["detail"]) == ("completed", "completed")
    assert done["finished_at"] is not None
    assert other != run
