"""The search for an erased person's identifier, where something fails beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ingest.proving import Prover
from tests.erasing import LEAVING, STAYING, a_client_of, ask, let_people_in, run
from warehouse import erasure, erasure_requests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.in_process import Client


@pytest.fixture
def client(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    with a_client_of(settings, tmp_path, monkeypatch) as called:
        yield called


@pytest.fixture
def known(client: Client, engine: Engine) -> Client:
    let_people_in(client, engine, LEAVING, STAYING)
    return client


@pytest.mark.parametrize("step", ["pending_erasures", "read"])
def test_an_error_of_any_kind_ends_no_search_for_an_identifier(
    known: Client,
    engine: Engine,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    request = ask(engine, settings)
    run(settings, request)
    whole, failures = getattr(erasure_requests, step), list[str]()

    def failing_once(*arguments: Any) -> Any:
        if not failures:
            failures.append(step)
            raise ValueError(LEAVING)
        return whole(*arguments)

    monkeypatch.setattr(erasure_requests, step, failing_once)
    waiting = Prover(known.app.service).start(request, LEAVING)
    assert waiting is not None
    waiting.join(60)

    assert failures == [step]
    assert erasure.read_erasure(engine, request).report["identifier"]["places_left"] == 0
