"""Consent, erasure and export over HTTP, on both databases."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from ingest.launcher import Launcher
from schemas.tables import subjects
from tests.serving import Ended, allow, client_of, count_stored, proposed
from warehouse.engine import writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.in_process import Client

PROPOSED = "/api/tracking/event/match-proposed"


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with client_of(settings) as called:
        yield called


def test_nothing_is_stored_without_consent(client: Client, engine: Engine) -> None:
    refused = client.post(PROPOSED, json=proposed())
    allow(client, analytics=False)
    still_refused = client.post(PROPOSED, json=proposed())

    for answer in (refused, still_refused):
        assert (answer.status_code, answer.json()) == (
            403,
            {"detail": "Consent required for tracking"},
        )
    assert count_stored(engine) == (0, 0)


def test_withdrawal_holds_from_its_reply_on_and_granting_again_too(client: Client) -> None:
    statuses = []
    for analytics in (True, False, True):
        allow(client, analytics=analytics)
        statuses.append(client.post(PROPOSED, json=proposed()).status_code)

    assert statuses == [200, 403, 200]


def test_consent_goes_before_the_reply_that_a_stored_event_got(
    client: Client, engine: Engine
) -> None:
    body, answers = proposed(), []
    for analytics in (True, False, True):
        allow(client, analytics=analytics)
        answers.append(client.post(PROPOSED, json=body))

    assert [answer.status_code for answer in answers] == [200, 403, 200]
    assert answers[0].json() == answers[2].json()
    assert count_stored(engine) == (1, 1)


def test_consent_is_read_back_and_unknown_people_are_404(client: Client) -> None:
    allow(client, "a/b ü", improvement=True)

    found = client.get("/api/tracking/consent/a%2Fb%20%C3%BC")
    unknown = client.get("/api/tracking/consent/nobody")

    assert found.json()["options"] == {
        "analytics": True,
        "preferences": False,
        "improvement": True,
    }
    assert unknown.status_code == 404


def test_erasing_person_is_refused_until_they_are_gone(client: Client, engine: Engine) -> None:
    allow(client)
    with writing(engine) as connection:
        connection.execute(subjects.update().values(erasing=True))

    assert client.post(PROPOSED, json=proposed()).status_code == 403
    assert client.post("/api/tracking/consent", json={"user_id": "u1"}).status_code == 409
    assert client.get("/api/tracking/consent/u1").status_code == 404


def test_erasure_stops_collection_at_once_and_is_one_request(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Launcher, "_start", lambda *_: Ended())
    allow(client)
    client.post(PROPOSED, json=proposed())

    before = set(threading.enumerate())
    answers = [client.post("/api/privacy/erasure", json={"user_id": "u1"}) for _ in range(9)]
    followed = client.get(answers[0].json()["url"])

    assert [answer.status_code for answer in answers] == [202] * 9
    assert len({answer.json()["request"] for answer in answers}) == waits_for(before) == 1
    assert followed.json()["state"] == "requested"
    assert client.post(PROPOSED, json=proposed()).status_code == 403
    assert client.post("/api/privacy/erasure", json={"user_id": "nobody"}).status_code == 404


def waits_for(before: set[threading.Thread]) -> int:
    """Count the threads that have come to wait for erasures."""
    return sum(one.name == "prove" for one in set(threading.enumerate()) - before)


def test_many_erasures_are_waited_for_by_one_thread(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Launcher, "_start", lambda *_: Ended())
    people = [f"u{number}" for number in range(5)]
    for one in people:
        allow(client, one)
    before = set(threading.enumerate())

    answers = [client.post("/api/privacy/erasure", json={"user_id": one}) for one in people]

    assert len({answer.json()["request"] for answer in answers}) == len(people)
    assert waits_for(before) == 1


def test_erasure_is_accepted_where_no_thread_can_wait_for_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Launcher, "_start", lambda *_: Ended())
    allow(client)
    before = set(threading.enumerate())
    start = threading.Thread.start

    def no_thread(thread: threading.Thread) -> None:
        if thread.name == "prove":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        asked = client.post("/api/privacy/erasure", json={"user_id": "u1"})
    again = client.post("/api/privacy/erasure", json={"user_id": "u1"})

    assert (asked.status_code, again.status_code) == (202, 202)
    assert asked.json() == again.json()
    assert waits_for(before) == 1


def test_export_holds_one_person_and_hides_the_other_party(client: Client) -> None:
    allow(client)
    allow(client, "u2")
    client.post(PROPOSED, json=proposed())
    client.post(PROPOSED, json=proposed(user_id="u2", match_score=0.123))

    found = client.post("/api/privacy/export", json={"user_id": "u1"})

    events = found.json()["events"]["waiting"]
    assert [event["payload"]["match_score"] for event in events] == [0.5]
    assert "0.123" not in found.text
    table = client.post("/api/privacy/export?user_id=u1&format=csv")
    assert table.headers["content-type"].startswith("text/csv")
    assert "events.waiting,1,payload.match_score,0.5" in table.text
    refused = client.post("/api/privacy/export", json={"user_id": "u1", "format": "xml"})
    assert refused.json() == {
        "detail": [{"field": "format", "rule": "must be one of the values in the documentation"}]
    }
    assert client.post("/api/privacy/export", json={"user_id": "nobody"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/tracking/consent/%ff", "path"),
        ("/api/runs/a%C0%80", "path"),
        ("/api/tracking/consent?user_id=%ff", "user_id"),
        ("/api/tracking/consent?user_id=u1&%ff=1", "query"),
    ],
)
def test_what_is_no_text_names_nobody(settings: Settings, path: str, field: str) -> None:
    with client_of(settings) as client:
        method = "POST" if "?" in path else "GET"
        answer = client.request(method, path)
        known = client.get("/api/tracking/consent/%C3%A9")

    assert answer.status_code == 422
    assert answer.json() == {"detail": [{"field": field, "rule": "must be UTF-8"}]}
    assert known.status_code == 404
