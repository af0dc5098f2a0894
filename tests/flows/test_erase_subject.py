"""An erasure as a flow: afterwards it is as if the person had never been there."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from flows.aggregate_metrics import aggregate_metrics
from flows.erase_subject import erase_subject
from flows.process_events import process_events
from flows.retrain_model import retrain_model
from flows.verify_ledgers import verify_ledgers as check_ledgers
from matching.registry import Registry
from schemas.tables import events, matches, metric_sums, runs
from tests.flows.conftest import stage_rounds
from warehouse.engine import reading
from warehouse.erasure_requests import begin
from warehouse.keyfile import read_ring
from warehouse.ledgers import verify_ledgers
from warehouse.lineage import standing
from warehouse.seals import Seals

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings

TODAY = datetime.now(UTC)


def test_a_case_that_cannot_be_closed_keeps_no_ledger_from_being_checked(
    installed: Settings, engine: Engine
) -> None:
    seals = Seals(read_ring(installed.keys))
    stage_rounds(engine, turns=1, last=(TODAY - timedelta(days=1)).date(), seals=seals)
    (installed.keys / "erasures" / "0.json").mkdir(parents=True)

    with pytest.raises(OSError, match="directory"):
        check_ledgers()

    assert verify_ledgers(engine, installed.keys).heads == 1


def test_an_erased_person_leaves_sums_that_a_recount_agrees_with(
    installed: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same people are in what other tests leave in the machine's temporary files.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    seals = Seals(read_ring(installed.keys))
    yesterday = (TODAY - timedelta(days=1)).date()
    people = stage_rounds(engine, turns=2, last=yesterday, seals=seals)
    process_events()
    learned = retrain_model()
    with reading(engine) as connection:
        person = connection.execute(select(func.min(matches.c.subject))).scalar_one()
    proposed_before = proposed(engine)
    assert person in people

    done = erase_subject(begin(engine, person, TODAY))

    assert done.state == "done"
    assert [store for store in done.report["stores"] if store["places_after"]] == []
    assert {store["store"] for store in done.report["stores"]} >= {"database", "orchestration"}
    assert verify_ledgers(engine, installed.keys).reports == 1
    assert done.models == ([learned.candidate] if learned.candidate else [])
    assert done.deleted["matches"] > 0
    assert proposed(engine) == proposed_before - done.deleted["matches"]
    with reading(engine) as connection:
        for table in (events, matches):
            left = connection.execute(select(table).where(table.c.subject == person)).all()
            assert left == []
        queued = connection.execute(select(runs.c.flow, runs.c.state)).all()
    assert ("retrain_model", "queued") in {tuple(row) for row in queued}
    aggregate_metrics()

    again = retrain_model()

    gone = learned.candidate
    assert gone not in (None, again.version, again.candidate)
    registry = Registry(installed.tracking_uri, str(installed.artifacts), installed.model_name)
    assert gone not in {one.version for one in registry.versions()}
    assert standing(engine, gone).deleted_at is not None
    assert standing(engine, gone).all_consented


def proposed(engine: Engine) -> int:
    with reading(engine) as connection:
        return sum(
            connection.execute(
                select(metric_sums.c.value).where(
                    metric_sums.c.measure == "proposed", metric_sums.c.facet == ""
                )
            ).scalars()
        )
