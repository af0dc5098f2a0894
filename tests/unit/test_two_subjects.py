"""Who is two subjects, because the keys were apart for a while: told and erased as both."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from cli import main
from ingest.launcher import Launcher
from ingest.proving import Prover
from schemas.tables import erasures, subjects
from tests.erasing import LEAVING, STAYING, a_client_of, known_as, let_people_in, run
from tests.population import RUN
from tests.serving import Ended
from warehouse.engine import reading, writing
from warehouse.erasure import read_erasure
from warehouse.erasure_requests import begin_each
from warehouse.keyfile import KeyRing, PseudonymKey, changing, make_ring, read_ring, replace_ring
from warehouse.ledgers import verify_ledgers
from warehouse.persons import OverMatch
from warehouse.recount import reconcile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.in_process import Client

CONSENT, ERASURE, EXPORT = "/api/tracking/consent", "/api/privacy/erasure", "/api/privacy/export"
PERSON = {"user_id": LEAVING}
ALLOWED = f"{CONSENT}/{quote(LEAVING, safe='')}"
NEWER = PseudonymKey("newer", b"n" * 32, 1)


def have(client: Client, settings: Settings, *keys: PseudonymKey) -> None:
    """Put these pseudonym keys into the key file, and have the server read them."""
    ring = KeyRing(list(keys), read_ring(settings.keys).digest_key)
    with changing(settings.keys):
        replace_ring(settings.keys, ring)
    client.app.service.watch._poll()


@pytest.fixture
def older(settings: Settings) -> PseudonymKey:
    return make_ring(settings.keys, 0).current


@pytest.fixture
def client(
    settings: Settings,
    engine: Engine,
    older: PseudonymKey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Client]:
    """A server with both keys, at which somebody answered while it had the one and the other."""
    monkeypatch.setattr(Launcher, "_start", lambda *_: Ended())
    monkeypatch.setattr(Prover, "start", lambda *_: None)
    with a_client_of(settings, tmp_path, monkeypatch) as called:
        let_people_in(called, engine, LEAVING, STAYING)
        have(called, settings, NEWER)
        let_people_in(called, engine, LEAVING)
        have(called, settings, older, NEWER)
        yield called


def test_their_copy_is_of_both(client: Client) -> None:
    found = client.post(EXPORT, json=PERSON).json()
    table = client.post(f"{EXPORT}?format=csv", json=PERSON).text
    command = CliRunner().invoke(main, ["export", "--user-id", LEAVING])

    (other,) = found["also_held"]
    assert [len(held["matches"]) for held in (found, other)] == [1, 2]
    assert [len(held["events"]["kept"]) for held in (found, other)] == [2, 4]
    assert [len(held["consent_history"]) for held in (found, other)] == [1, 1]
    assert "\r\nalso_held,1,consent.analytics,True\r\n" in table
    assert len(json.loads(command.output)["also_held"][0]["matches"]) == 2
    assert "also_held" not in client.post(EXPORT, json={"user_id": STAYING}).json()


def test_what_they_allow_is_what_both_do(
    client: Client, settings: Settings, older: PseudonymKey
) -> None:
    have(client, settings, NEWER)
    less = {**PERSON, "analytics": True}
    assert client.post(CONSENT, json=less).status_code == 200
    have(client, settings, older, NEWER)

    told = client.get(ALLOWED).json()["options"]
    shown = CliRunner().invoke(main, ["consent", "show", "--user-id", LEAVING, "--json"])

    assert told == {"analytics": True, "preferences": False, "improvement": False}
    assert json.loads(shown.output)["options"] == told


def test_they_are_erased_as_both(client: Client, engine: Engine, settings: Settings) -> None:
    asked, again = (client.post(ERASURE, json=PERSON).json() for _ in range(2))
    requests = [asked["request"], *asked["also"]]
    assert client.get(ALLOWED).status_code == 404
    for request in requests:
        run(settings, request)

    done = [read_erasure(engine, request) for request in requests]

    assert again == asked
    assert [(one.state, one.report["places_left"]) for one in done] == [("done", 0)] * 2
    assert sorted(one.deleted["matches"] for one in done) == [1, 2]
    with reading(engine) as connection:
        (left,) = connection.execute(select(subjects.c.pseudonym)).scalars()
    assert left in known_as(settings, STAYING)
    assert reconcile(engine, 0).matches == 2
    assert verify_ledgers(engine, settings.keys).reports == 2


def test_where_one_may_be_somebody_else_nothing_is_erased_or_told(
    client: Client, engine: Engine, settings: Settings
) -> None:
    with writing(engine) as connection:
        of_newer = subjects.c.key_id == NEWER.key_id
        connection.execute(update(subjects).where(of_newer).values(ledger_id=bytes(16)))

    refused = [client.post(path, json=PERSON) for path in (ERASURE, EXPORT)]

    assert [answer.status_code for answer in refused] == [409, 409]
    with pytest.raises(OverMatch), writing(engine) as connection:
        begin_each(connection, settings.keys, known_as(settings, LEAVING), RUN)
    with reading(engine) as connection:
        assert connection.execute(select(erasures)).all() == []
        assert not any(connection.execute(select(subjects.c.erasing)).scalars())
