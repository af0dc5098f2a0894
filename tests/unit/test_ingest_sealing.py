"""Texts are sealed by the key of the day that is there, whatever became of the one before."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from ingest import arrivals
from privacy.sealing import unseal
from schemas.tables import staged
from tests.serving import allow, client_of, proposed
from warehouse import keyfile
from warehouse.engine import reading
from warehouse.keyfile import day_key, days_with_keys, destroy_day_key

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.settings import Settings

FEEDBACK = "/api/tracking/event/match-feedback"
PROPOSED = "/api/tracking/event/match-proposed"
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


def test_who_holds_the_key_directory_is_waited_for_once_and_not_for_each_text(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def counted(directory: Any, day: int, **more: Any) -> bytes:
        asked.append(day)
        return day_key(directory, day, **more)

    monkeypatch.setattr(keyfile, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(arrivals, "_VAIN_SECONDS", 600.0)
    monkeypatch.setattr(arrivals, "day_key", counted)
    event = {"user_id": "u1", "match_id": "m", "rating": 3, "feedback_text": "merci"}
    with client_of(settings) as client:
        allow(client)
        handle = os.open(settings.keys, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        held_up = [client.post(FEEDBACK, json=event).status_code for _ in range(2)]
        beside = client.post(PROPOSED, json=proposed()).status_code
        waits = len(asked)
        os.close(handle)
        client.app.service.intake.forget_day_key()  # as when the moment is over

        assert (held_up, beside, waits) == ([503, 503], 200, 1)
        assert client.post(FEEDBACK, json=event).status_code == 200
