"""Flows that only analyse run on a machine that holds no key, and make none."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cli import main
from flows.aggregate_metrics import aggregate_metrics
from flows.process_events import process_events
from flows.retrain_model import retrain_model
from flows.watch_drift import watch_drift
from schemas.errors import NotReady
from tests.flows.conftest import stage_rounds
from warehouse import marks
from warehouse.engine import writing

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.settings import Settings


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_metrics_drift_and_retrain_need_no_key(installed: Settings, engine: Engine) -> None:
    stage_rounds(engine, turns=3, last=(datetime.now(UTC) - timedelta(days=3)).date())
    process_events()
    shutil.rmtree(installed.keys)

    aggregated = aggregate_metrics()
    retrained = retrain_model()
    watched = watch_drift()
    shown = CliRunner().invoke(main, ["metrics", "acceptance", "--json"])

    assert aggregated.matches > 0
    assert retrained.candidate == "2"
    assert watched.version == retrained.version
    assert shown.exit_code == 0, shown.output
    assert not installed.keys.exists()
    with writing(engine) as connection:
        marks.set_backup(connection, backup=True)
    # But a backup is not analysed before its erasures are carried out, which takes keys.
    with pytest.raises(NotReady, match="backup"):
        aggregate_metrics()
