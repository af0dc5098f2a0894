"""The purge as a flow: what it deletes, what it says, and that a dry run tells the truth."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from flows.process_events import process_events
from flows.purge_expired import purge_expired
from schemas.clock import MICROS_PER_DAY, micros
from schemas.events import EventKind
from schemas.tables import events, purges
from tests.histories import admit, make_row, stage
from warehouse.engine import reading

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.settings import Settings


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

    told = purge_expired(dry_run=True)
    gone = purge_expired()

    assert told.deleted == gone.deleted
    assert gone.deleted["events"] == gone.deleted["matches"] == 1
    assert gone.forgotten
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(events)).scalar_one() == 2
        rows = connection.execute(select(purges.c.data_class, purges.c.deleted)).all()
    assert {row.data_class: row.deleted for row in rows} == gone.deleted
