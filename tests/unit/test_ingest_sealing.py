"""Texts are sealed by the key of the day that is there, whatever became of the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from privacy.sealing import unseal
from schemas.tables import staged
from tests.serving import allow, client_of
from warehouse.engine import reading
from warehouse.keyfile import day_key, days_with_keys, destroy_day_key

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.settings import Settings

FEEDBACK = "/api/tracking/event/match-feedback"
BATCH = "/api/tracking/events"


@pytest.mark.parametrize("made_anew", [False, True])
def test_text_opens_though_a_flow_whose_clock_is_ahead_destroyed_the_key_of_the_day(
    made_anew: bool, settings: Settings, engine: Engine
) -> None:
    event = {"user_id": "u1", "match_id": "m", "rating": 3, "feedback_text": "merci"}
    with client_of(settings) as client:
        allow(client)
        for _ in range(3):
            assert client.post(FEEDBACK, json=event).status_code == 200
            batch = client.post(BATCH, json=[{"type": "match_feedback", **event}] * 2)
            assert batch.json()["stored"] == 2

            with reading(engine) as connection:
                newest = select(staged).order_by(staged.c.seq.desc()).limit(3)
                for row in connection.execute(newest):
                    key = day_key(settings.keys, row.sealed_day)
                    assert b"merci" in unseal(key, row.sealed, row.event_id)

            for day in days_with_keys(settings.keys):
                destroy_day_key(settings.keys, day)
                if made_anew:  # by another server
                    day_key(settings.keys, day, make=True)
