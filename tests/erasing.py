"""Erasures, from the door to their last step, in processes that may be killed."""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from privacy.pseudonyms import subject_pseudonym
from schemas.clock import micros
from tasks import erasure as steps
from tests.histories import process
from tests.population import RUN
from tests.serving import client_of
from warehouse.engine import connect, writing
from warehouse.erasure_requests import begin_for
from warehouse.keyfile import read_ring
from warehouse.leases import lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest
    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.in_process import Client

LEAVING, STAYING = "candidate/Zoé+4711@exemple.fr", "candidate-staying-1"
NOW = micros(RUN)
_CHILD_SECONDS = 180


@contextmanager
def a_client_of(
    settings: Settings, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    """Call a server that has a home and temporary files of its own."""
    (home / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(home / "tmp"))
    monkeypatch.setenv("TMPDIR", str(home / "tmp"))
    monkeypatch.setenv("PREFECT_HOME", str(home / "data" / "prefect"))
    monkeypatch.setenv("SMARTMATCH_DATABASE_URL", settings.url.get_secret_value())
    with client_of(settings) as called:
        yield called


def let_people_in(client: Client, engine: Engine, *names: str) -> None:
    """Have people with processed, waiting and sealed events."""
    for name in names:
        allowed = {"user_id": name, "analytics": True, "improvement": True}
        assert client.post("/api/tracking/consent", json=allowed).status_code == 200
        happen(client, name, "m-1")
    process(engine, validate=False)
    for name in names:
        happen(client, name, "m-2")


def happen(client: Client, name: str, match: str) -> None:
    """Send a proposal and a decision with a text."""
    for path, fields in (
        (
            "match-proposed",
            {
                "match_score": 0.5,
                "match_parameters": {},
                "alternatives_count": 1,
                "constraint_satisfaction": {},
            },
        ),
        (
            "match-decision",
            {"decision": True, "decision_time_seconds": 1, "reasons": [f"I am {name}"]},
        ),
    ):
        body = {"user_id": name, "match_id": match, **fields}
        reply = client.post(f"/api/tracking/event/{path}", json=body)
        assert reply.status_code == 200, reply.text


def known_as(settings: Settings, name: str) -> list[bytes]:
    """Return a person's pseudonyms."""
    keys = read_ring(settings.keys).pseudonym_keys
    return [subject_pseudonym(key.secret, name) for key in keys]


def ask(engine: Engine, settings: Settings, name: str = LEAVING) -> str:
    """Ask for an erasure, and return the number of the request."""
    with writing(engine) as connection:
        return begin_for(connection, settings.keys, known_as(settings, name), RUN)


def run(settings: Settings, request: str, kill_after: int | None = None, *, name: str = "") -> None:
    """Take the steps of the flow; die behind one of them, as if somebody pulled the plug.

    Args:
        settings: Of the installation.
        request: Number of the request.
        kill_after: Number of the step.
        name: The identifier, where this is the process that was asked.
    """
    engine = connect(settings.url)
    knowing = steps.asked_for(request, name) if name else nullcontext()
    with knowing, lease(engine, "erase_subject", 60.0, wait_seconds=5.0) as held:
        marked = [0]
        order: list[Callable[[], Any]] = [
            lambda: marked.append(steps.remember.fn(settings.url, settings.keys, request, NOW)),
            lambda: steps.look_before.fn(request, held),
            lambda: steps.delete.fn(settings.url, request, held, marked[-1]),
            lambda: steps.forget.fn(settings.url, request, held),
            lambda: steps.prove.fn(request, held, NOW),
            lambda: steps.finish.fn(settings.url, settings.keys, request, held, NOW),
        ]
        for number, step in enumerate(order):
            step()
            if number == kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
    engine.dispose()


def in_a_child(work: Callable[[], None]) -> int:
    """Do work in a process of its own; return the signal that ended it, or 0.

    A fork may find a lock that another thread held, and wait for it for good: an alarm ends it.
    """
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(_CHILD_SECONDS)
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] & 0x7F


def die(*_: Any, **__: Any) -> None:
    """End this process as if somebody pulled the plug."""
    os.kill(os.getpid(), signal.SIGKILL)
