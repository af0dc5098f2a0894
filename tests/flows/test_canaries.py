"""Planted personal data goes through routes and flows, and no byte of it is left in any file."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from benchmarks.canaries import prove
from benchmarks.canary_requests import Campaign
from benchmarks.canary_scan import scan
from flows.aggregate_metrics import aggregate_metrics
from flows.process_events import process_events
from flows.purge_expired import purge_expired
from schemas.tables import events, staged
from tests.serving import client_of
from warehouse.engine import reading

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.settings import Settings

CAMPAIGN = Campaign(f"q{secrets.token_hex(6)}z", 3)


def files_of(settings: Settings) -> list[Path]:
    """List every file of the installation outside the key store, and Prefect's own."""
    homes = [settings.home]
    database = make_url(PREFECT_API_DATABASE_CONNECTION_URL.value()).database
    if database:
        homes.append(Path(database).parent)
    return [
        path
        for home in homes
        for path in home.rglob("*")
        if path.is_file() and settings.keys not in path.parents
    ]


def test_the_scan_finds_every_canary_in_every_writing(tmp_path: Path) -> None:
    assert prove(tmp_path, CAMPAIGN.canaries) == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_canary_is_left_after_any_route_and_flow(installed: Settings, engine: Engine) -> None:
    with client_of(installed) as client:
        answers = {
            client.request(
                call.method, call.url, content=call.body, headers=call.headers
            ).status_code
            for call in CAMPAIGN.calls()
        }
        waiting = scan(files_of(installed), CAMPAIGN.canaries)
    with reading(engine) as connection:
        assert connection.execute(select(func.count(staged.c.sealed))).scalar_one() > 0

    process_events()
    aggregate_metrics()
    purge_expired()

    assert answers >= {200, 401, 403, 404, 405, 409, 415, 422}
    assert waiting == []
    assert scan(files_of(installed), CAMPAIGN.canaries) == []
    with reading(engine) as connection:
        kept = (
            connection.execute(select(events.c.texts).where(events.c.texts != "")).scalars().all()
        )
    assert any("<EMAIL>" in text and "<IBAN>" in text for text in kept)
