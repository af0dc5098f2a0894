"""Texts are sealed by the key of the day that is there, whatever became of the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.arrivals import Intake
from privacy.sealing import unseal
from schemas.events import MatchFeedbackEvent
from tests.engines import on_sqlite
from warehouse.keyfile import day_key, destroy_day_key, make_ring
from warehouse.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

NOW = 1_790_000_000_000_000
FEEDBACK = MatchFeedbackEvent(user_id="anna", match_id="m", rating=4, feedback_text="merci")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_ring(tmp_path / "keys", NOW)
    return tmp_path / "keys"


@pytest.fixture
def intake(engine: Engine, keys: Path) -> Iterator[Intake]:
    watch = Watch(engine, keys, 0.5)
    yield Intake(watch, keys, 395)
    watch.close()


@on_sqlite
@pytest.mark.parametrize("made_anew", [False, True])
def test_text_opens_though_a_flow_whose_clock_is_ahead_destroyed_the_key_of_the_day(
    made_anew: bool, keys: Path, intake: Intake
) -> None:
    for _ in range(3):
        row = intake.arrive(FEEDBACK, NOW, fresh=False).row
        assert row.sealed is not None
        assert row.sealed_day is not None
        assert b"merci" in unseal(day_key(keys, row.sealed_day), row.sealed, row.event_id)

        destroy_day_key(keys, row.sealed_day)
        if made_anew:  # by another server
            day_key(keys, row.sealed_day, make=True)
