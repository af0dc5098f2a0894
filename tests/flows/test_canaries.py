"""Planted personal data goes through routes and flows, and no byte of it is left in any file."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from benchmarks.canaries import prove
from benchmarks.canary_requests import Campaign
from benchmarks.canary_scan import scan
from flows.aggregate_metrics import aggregate_metrics
from flows.process_events import process_events
from flows.purge_expired import purge_expired
from schemas.errors import BatchUnusable, StepFailed
from schemas.tables import events, staged
from tasks.policies import compute_task, io_task
from tests.serving import client_of
from warehouse.engine import reading

if TYPE_CHECKING:
    from prefect import Flow, Task
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


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_an_error_of_a_step_says_is_in_no_file_of_prefects(
    installed: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in a state's message nor in a log, its own or that of what it was raised from."""
    canaries = [f"q{secrets.token_hex(6)}z" for _ in range(4)]

    def of_a_library() -> None:
        raise ValueError(canaries[0])

    def from_another() -> None:
        raise BatchUnusable("suite", "rule") from KeyError(canaries[1])

    def beside_another() -> None:
        try:
            int(canaries[2])
        except ValueError:
            raise OSError(28, "No space left on device") from ValueError(canaries[3])

    told = {}
    for step in (of_a_library, from_another, beside_another):
        for make in (io_task, compute_task):
            with pytest.raises((StepFailed, BatchUnusable, OSError)) as raised:
                _flow_of(make(step))()
            told[step.__name__] = raised.type, str(raised.value).partition(" < ")[0]

    files = b"".join(path.read_bytes() for path in files_of(installed))
    kept = files + caplog.text.encode()
    assert [canary for canary in canaries if canary.encode() in kept] == []
    assert b"No space left on device" in files
    place = told["of_a_library"][1].rpartition(":")[0]
    assert (told["of_a_library"][0], place) == (StepFailed, "ValueError at test_canaries.py")
    assert told["from_another"] == (BatchUnusable, "suite: rule")
    assert told["beside_another"][0] is OSError


def _flow_of(step: Task[[], None]) -> Flow[[], None]:
    @flow(name="failing")
    def failing() -> None:
        step()

    return failing
