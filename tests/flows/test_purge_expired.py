"""The purge as a flow: what it deletes, what it says, and that a dry run tells the truth."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from mlflow import MlflowClient
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.states import Running, Scheduled
from sqlalchemy import func, select

from flows.process_events import process_events
from flows.purge_expired import purge_expired
from schemas.clock import MICROS_PER_DAY, micros
from schemas.errors import NotReady
from schemas.events import EventKind
from schemas.retention import DELETED_RUNS
from schemas.tables import events, purges
from tests.histories import admit, make_row, stage
from warehouse import old_files, retention
from warehouse.clock_witness import ClockJumped
from warehouse.engine import reading, writing

if TYPE_CHECKING:
    from typing import Any
    from uuid import UUID

    from sqlalchemy import Engine

    from schemas.settings import Settings


def _delete_softly(settings: Settings) -> None:
    """Leave a run of two years ago in the registry, deleted as MLflow deletes."""
    client = MlflowClient(settings.tracking_uri)
    experiment = client.get_experiment_by_name(settings.model_name)
    assert experiment is not None
    long_ago = round(time.time() * 1_000) - 2 * 365 * 86_400_000
    run = client.create_run(experiment.experiment_id, start_time=long_ago)
    client.set_terminated(run.info.run_id, end_time=long_ago)
    client.delete_run(run.info.run_id)


def _begin_old_flow_run() -> UUID:
    """Leave a flow run of a year ago that was killed and never ended, with a log and a table."""
    with get_client(sync_client=True) as client:
        begun = client.create_flow_run(
            purge_expired,
            state=Scheduled(scheduled_time=datetime.now(UTC) - timedelta(days=365)),
        )
        client.set_flow_run_state(begun.id, Running(), force=True)
        line = {"name": "old", "level": 40, "message": "old", "timestamp": str(begun.created)}
        client.create_logs([line | {"flow_run_id": str(begun.id)}])
        for data in ("[]", "[1]"):
            client.create_artifact(
                ArtifactCreate(key="old", type="table", data=data, flow_run_id=begun.id)
            )
    assert _left_of(begun.id) == (1, 2)
    return begun.id


def _left_of(run: UUID) -> tuple[int, int]:
    """Count what Prefect holds of a flow run beside it: lines of its log, artifacts."""
    theirs = {"flow_run_id": {"any_": [str(run)]}}
    with get_client(sync_client=True) as client:
        logs = client.request("POST", "/logs/filter", json={"logs": theirs})
        artifacts = client.request("POST", "/artifacts/filter", json={"artifacts": theirs})
    return len(logs.json()), len(artifacts.json())


def test_a_dry_run_tells_what_then_goes_and_what_is_young_stays(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = micros(datetime.now(UTC))
    ages = [1, 99, 101]
    admit(engine, [1])
    stage(
        engine,
        [
            make_row(
                EventKind.PROPOSED,
                match_key=age,
                occurred_at=now - age * MICROS_PER_DAY,
                received_at=now,
            )
            for age in ages
        ],
    )
    process_events()
    monkeypatch.setenv("SMARTMATCH_EVENTS_RETENTION_DAYS", "100")

    old = installed.data / "logs" / "access.log.1"
    old.parent.mkdir(parents=True, exist_ok=True)
    for path in (old, old.with_name("access.log")):
        path.write_text("{}\n")
    os.utime(old, (0, 0))
    _delete_softly(installed)
    old_run = _begin_old_flow_run()

    told = purge_expired(dry_run=True)
    with get_client(sync_client=True) as client:
        kept = client._client.post("/artifacts/filter", json={"sort": "CREATED_DESC"}).json()
    assert '"would go": 1' in kept[0]["data"]
    assert old.exists()
    gone = purge_expired(as_of=datetime.fromisoformat(told.as_of))

    assert told.deleted == gone.deleted
    assert told.as_of == gone.as_of
    assert (gone.deleted["log_files"], gone.deleted["deleted_runs"]) == (1, 1)
    assert gone.deleted["orchestration"] >= 1
    assert _left_of(old_run) == (0, 0)
    assert [path.name for path in old.parent.iterdir() if path.is_file()] == ["access.log"]
    assert purge_expired(dry_run=True).deleted == dict.fromkeys(gone.deleted, 0)
    assert gone.deleted["events"] == gone.deleted["matches"] == 1
    assert gone.forgotten
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(events)).scalar_one() == 2
        rows = connection.execute(select(purges.c.data_class, purges.c.deleted)).all()
    assert {row.data_class: row.deleted for row in rows} == gone.deleted

    with writing(engine) as connection:
        # The last purge was four days ago, as far as the clock can tell.
        connection.execute(purges.update().values(finished_at=now - 4 * MICROS_PER_DAY))
    with pytest.raises(ClockJumped):
        purge_expired()
    assert not purge_expired(clock_is_right=True).dry_run
    assert not purge_expired().dry_run


def test_log_file_that_cannot_go_keeps_nothing_else_and_a_step_that_is_tried_again_counts_whole(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = micros(datetime.now(UTC))
    admit(engine, [1])
    stage(engine, [make_row(EventKind.PROPOSED, occurred_at=now, received_at=now)])
    process_events()
    with writing(engine) as connection:
        connection.execute(events.update().values(occurred_at=now - 1_000 * MICROS_PER_DAY))
    _delete_softly(installed)
    old_run = _begin_old_flow_run()
    delete, tries = retention.delete_expired, []

    def cut_off(*given: Any) -> int:
        deleted = delete(*given)
        tries.append(deleted)
        if deleted and sum(tries) == deleted:
            raise NotReady("the database did not answer")
        return deleted

    for number in (1, 2, 3):
        old = installed.data / "logs" / f"access.log.{number}"
        old.parent.mkdir(parents=True, exist_ok=True)
        old.touch()
        os.utime(old, (0, 0))

    def refused(*_: object) -> int:
        old.unlink()
        raise OSError("read-only file system")

    note, noted = retention.note_deleted, dict[str, int]()

    def noted_late(engine: Engine, run: str, data_class: str, deleted: int) -> None:
        again = data_class in noted
        noted[data_class] = deleted
        if data_class == DELETED_RUNS and not again:
            raise NotReady("the database did not answer")
        note(engine, run, data_class, deleted)
        if not again:
            raise NotReady("the answer was lost")

    monkeypatch.setattr(retention, "note_deleted", noted_late)
    monkeypatch.setattr(retention, "delete_expired", cut_off)
    with monkeypatch.context() as patch:
        patch.setattr(old_files, "delete_old_files", refused)
        with pytest.raises(OSError, match="read-only"):
            purge_expired()
    assert _left_of(old_run) == (0, 0)
    with reading(engine) as connection:
        rows = connection.execute(select(purges.c.data_class, purges.c.deleted)).all()
    found = {row.data_class: row.deleted for row in rows}
    assert (found["events"], found["deleted_runs"], found["log_files"]) == (1, 1, 1)
    assert found["orchestration"] == noted["orchestration"] > 0
