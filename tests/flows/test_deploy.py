"""What `smartmatch deploy` sets up on a Prefect server, and what starts a run there."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import pytest
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.events import Event, emit_event
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed

from deployments import SCHEDULES, deploy
from flows import process_events as processing
from installation import set_up_database
from schemas.environment import HEARTBEAT_SECONDS
from schemas.errors import NotReady
from schemas.run_events import DECISIONS_COLLECTED, DRIFTED, RESOURCE
from schemas.settings import Settings
from tasks import events, partition
from tests.flows.conftest import stage_rounds
from tests.serving import client_of
from warehouse import decisions
from warehouse.engine import connect

if TYPE_CHECKING:
    from pathlib import Path

DEAD = "SmartMatch: mark dead runs as crashed"
DRIFT = "SmartMatch: retrain on drift"
ENOUGH = "SmartMatch: retrain on enough new decisions"


class Deployed(NamedTuple):
    """What two deploys in a row leave on the session's server.

    Attributes:
        names: Of the deployments and of the automations.
        before: When each automation was last changed, before the second deploy.
        after: The same after it.
    """

    names: dict[str, list[str]]
    before: dict[str, str]
    after: dict[str, str]


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """Deploy, switch an automation off, and deploy again."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), timezone="America/Montreal")
    deploy(settings)
    known: Any = Automation.read(name=DEAD)
    known.disable()
    before = {one["name"]: one["updated"] for one in known_automations()}
    names = deploy(settings)
    after = {one["name"]: one["updated"] for one in known_automations()}
    return Deployed(names, before, after)


@pytest.fixture(scope="module")
def deployed(twice: Deployed) -> dict[str, list[str]]:
    return twice.names


def known_automations() -> list[dict[str, Any]]:
    with get_client(sync_client=True) as client:
        found: list[dict[str, Any]] = client._client.post("/automations/filter", json={}).json()
    return found


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
    every = known_automations()

    assert sorted(one["name"] for one in every) == [DEAD, DRIFT, ENOUGH]
    dead = next(one for one in every if one["name"] == DEAD)
    assert dead["trigger"]["posture"] == "Proactive"
    assert dead["trigger"]["within"] >= 2 * HEARTBEAT_SECONDS
    assert dead["actions"][0]["state"] == "CRASHED"


def test_a_second_deploy_leaves_what_an_automation_waits_for(twice: Deployed) -> None:
    assert twice.names["automations"][0] == DEAD
    assert twice.after == twice.before


@pytest.mark.usefixtures("deployed")
def test_an_automation_that_was_switched_off_stays_off() -> None:
    enabled = {one["name"]: one["enabled"] for one in known_automations()}

    assert enabled == {DEAD: False, DRIFT: True, ENOUGH: True}


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("event", [DRIFTED, DECISIONS_COLLECTED])
def test_a_retrain_is_begun_by_drift_and_by_enough_new_decisions(event: str) -> None:
    before = retrains()

    emit_event(event, resource=RESOURCE, payload={})

    begun = retrains()
    deadline = time.monotonic() + 60
    while begun == before and time.monotonic() < deadline:
        time.sleep(0.2)
        begun = retrains()
    assert len(begun - before) == 1


def retrains() -> set[str]:
    """Return the runs of retrain_model that an automation has asked for."""
    with get_client(sync_client=True) as client:
        asked = client._client.post(
            "/flow_runs/filter", json={"flows": {"name": {"any_": ["retrain-model"]}}}
        ).json()
    # A run that was begun ad hoc, by another test, was created by nobody.
    return {one["id"] for one in asked if (one["created_by"] or {}).get("type") == "AUTOMATION"}


@pytest.fixture
def told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is told of enough new decisions, in an installation to which more than ten come."""
    monkeypatch.setenv("SMARTMATCH_DATABASE_URL", settings.url.get_secret_value())
    monkeypatch.setenv("SMARTMATCH_RETRAIN_AFTER_DECISIONS", "10")
    set_up_database(settings)
    engine = connect(settings.url)
    stage_rounds(engine, turns=1, last=datetime.now(UTC).date() - timedelta(days=1))
    engine.dispose()
    told: list[dict[str, Any]] = []

    def listen(event: str, resource: dict[str, str], payload: dict[str, Any]) -> Event | None:
        told.append({"event": event, **payload})
        return None

    monkeypatch.setattr(processing, "emit_event", listen)
    return told


def test_enough_new_decisions_are_told_once(settings: Settings, told: list[dict[str, Any]]) -> None:
    processing.process_events()
    processing.process_events()

    engine = connect(settings.url)
    new = decisions.count_new(engine)
    assert new > 10
    assert told == [{"event": DECISIONS_COLLECTED, "new_decisions": new}]
    decisions.note_learned(engine, decisions.count(engine))
    assert decisions.count_new(engine) == decisions.count_untold(engine) == 0
    engine.dispose()


def test_enough_new_decisions_are_told_where_the_answer_to_their_commit_was_lost(
    told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, lost = partition.process, []

    def lose_the_answer(*arguments: Any) -> partition.Moved:
        moved = process(*arguments)
        if not lost:
            lost.append(moved)
            raise NotReady("the connection was lost")
        return moved

    monkeypatch.setattr(partition, "process", lose_the_answer)

    assert processing.process_events().processed == 0

    assert lost[0].counts.decided > 10
    assert len(told) == 1


def test_enough_new_decisions_are_told_by_the_next_run_where_one_was_stopped(
    told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyError("stopped")

    with monkeypatch.context() as stopped:
        stopped.setattr(events, "destroy_day_keys", stop)
        with pytest.raises(KeyError):
            processing.process_events()
    assert told == []

    processing.process_events()

    assert len(told) == 1


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
