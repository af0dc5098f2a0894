"""A real Prefect server for the session, and an installation for each test."""

from __future__ import annotations

import zlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec
import pytest
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.testing.utilities import prefect_test_harness

import flows  # noqa: F401  # sets our defaults before Prefect reads its own
from installation import set_up_model
from matching import market
from matching.features import with_context
from replay import events_of
from schemas.clock import MICROS_PER_DAY, day_number, micros
from schemas.consents import Options
from schemas.events import StagedPayload, kind_of
from tests.histories import make_row, stage
from warehouse.consents import Entry, Person, record
from warehouse.engine import writing
from warehouse.notices import read_notice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from sqlalchemy import Engine

    from matching.rounds import Round
    from schemas.settings import Settings
    from warehouse.seals import Seals


@pytest.fixture(scope="session", autouse=True)
def prefect_server() -> Iterator[None]:
    """Run every flow of the session against one server.

    Without saying that it lives: who says so looks once a second whether its run has ended.
    """
    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


@pytest.fixture
def installed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation that flows find by their settings: tables, keys, first champion."""
    monkeypatch.setenv("SMARTMATCH_DATABASE_URL", settings.url.get_secret_value())
    set_up_model(settings)
    return settings


def number(name: str) -> int:
    """Return a number for a name of the simulated market."""
    return zlib.crc32(name.encode()) + 1


def stage_rounds(
    engine: Engine, *, turns: int, last: date, seed: int = 7, seals: Seals | None = None
) -> set[int]:
    """Stage what happens in rounds of the simulated market, every pair proposed in turn.

    Returns:
        The subjects, all of whom allow analytics and improvement.
    """
    held = list(market.rounds(market.open_market(seed=seed), turns))
    names = {name for round_ in held for name in round_.pairs["user_id"]}
    people = _ask_for_consent(engine, names, last - timedelta(days=turns), seals)
    for back, round_ in enumerate(reversed(held)):
        day = last.toordinal() - back
        stage(engine, list(_rows(round_, type(last).fromordinal(day), people)))
    return set(people.values())


def _ask_for_consent(
    engine: Engine, names: set[str], before: date, seals: Seals | None
) -> dict[str, int]:
    at = day_number(before) * MICROS_PER_DAY
    entry = Options(analytics=True, preferences=False, improvement=True)
    with writing(engine) as connection:
        return {
            name: record(
                connection,
                Person("key", (number(name).to_bytes(32, "big"),)),
                Entry(uuid4(), entry, read_notice("2026-11"), "api", None, at),
                seals=seals,
            ).subject
            for name in sorted(names)
        }


def _rows(round_: Round, day: date, people: dict[str, int]) -> Iterator[dict[str, Any]]:
    pairs = with_context(round_.pairs)
    chosen = sorted(set(pairs["match_id"]))[::6]
    for event in events_of(pairs[pairs["match_id"].isin(chosen)], name=round_.name, day=day):
        fields = {
            field: getattr(event, field)
            for field in StagedPayload.__struct_fields__
            if getattr(event, field, None) is not None
        }
        assert event.event_id is not None
        assert event.occurred_at is not None
        yield make_row(
            kind_of(event),
            event_id=event.event_id.bytes,
            subject=people[event.user_id],
            match_key=number(event.match_id),
            occurred_at=micros(event.occurred_at),
            received_at=micros(event.occurred_at),
            payload=msgspec.json.encode(fields),
        )
