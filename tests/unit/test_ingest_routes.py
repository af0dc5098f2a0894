"""The HTTP contract, through the whole application, on both databases."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from schemas.tables import receipts, staged, subjects
from tests.serving import allow, client_of, proposed
from warehouse.audit import balance
from warehouse.engine import reading, writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine
    from starlette.testclient import TestClient

    from schemas.settings import Settings

PROPOSED = "/api/tracking/event/match-proposed"
BATCH = "/api/tracking/events"


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with client_of(settings) as called:
        yield called


def count(engine: Engine) -> tuple[int, int]:
    """Count staged rows and receipts."""
    with reading(engine) as connection:
        return (
            connection.execute(select(func.count()).select_from(staged)).scalar_one(),
            connection.execute(select(func.count()).select_from(receipts)).scalar_one(),
        )


def test_calls_of_the_first_module_work_unchanged(client: TestClient, engine: Engine) -> None:
    answers = [
        client.post(
            "/api/tracking/consent",
            params={
                "user_id": "u 1",
                "analytics": "True",
                "preferences": "True",
                "improvement": "False",
            },
        ),
        client.post(
            PROPOSED,
            params={
                "user_id": "u 1",
                "match_id": "m1",
                "match_score": 0.85,
                "alternatives_count": 5,
                "session_id": "s1",
            },
            json={"match_parameters": {"a": 1}, "constraint_satisfaction": {"skills": 0.5}},
        ),
        client.post(
            "/api/tracking/event/match-decision",
            params={
                "user_id": "u 1",
                "match_id": "m1",
                "decision": "True",
                "decision_time_seconds": 12.5,
            },
            json={"reasons": ["close"]},
        ),
        client.post(
            "/api/tracking/event/match-decision",
            params={
                "user_id": "u 1",
                "match_id": "m1",
                "decision": "False",
                "decision_time_seconds": 1,
            },
            json=["bare"],
        ),
        client.post(
            "/api/tracking/event/match-feedback",
            params={"user_id": "u 1", "match_id": "m1", "rating": 4, "feedback_text": "bien"},
            json={"specific_aspects": {"communication": 4}},
        ),
        client.post(
            "/api/tracking/event/match-feedback",
            params={"user_id": "u 1", "match_id": "m1", "rating": 4},
            json={"communication": 4},
        ),
    ]

    assert [answer.status_code for answer in answers] == [200] * 6
    assert answers[0].json()["status"] == "success"
    assert answers[0].json()["options"] == {
        "analytics": True,
        "preferences": True,
        "improvement": False,
    }
    assert uuid.UUID(answers[0].json()["consent_id"])
    assert all(set(answer.json()) == {"status", "event_id"} for answer in answers[1:])
    with reading(engine) as connection:
        rows = connection.execute(select(staged.c.kind, staged.c.payload).order_by(staged.c.seq))
        found = [(kind, json.loads(payload)) for kind, payload in rows]
    assert found == [
        (
            "match_proposed",
            {
                "match_score": 0.85,
                "match_parameters": {"a": 1.0},
                "alternatives_count": 5,
                "constraint_satisfaction": {"skills": 0.5},
            },
        ),
        ("match_accepted", {"decision_time_seconds": 12.5}),
        ("match_rejected", {"decision_time_seconds": 1.0}),
        ("match_feedback", {"rating": 4, "specific_aspects": {"communication": 4}}),
        ("match_feedback", {"rating": 4, "specific_aspects": {"communication": 4}}),
    ]


def test_nothing_is_stored_without_consent(client: TestClient, engine: Engine) -> None:
    refused = client.post(PROPOSED, json=proposed())
    allow(client, analytics=False)
    still_refused = client.post(PROPOSED, json=proposed())

    for answer in (refused, still_refused):
        assert (answer.status_code, answer.json()) == (
            403,
            {"detail": "Consent required for tracking"},
        )
    assert count(engine) == (0, 0)


def test_withdrawal_holds_from_its_reply_on_and_granting_again_too(client: TestClient) -> None:
    statuses = []
    for analytics in (True, False, True):
        allow(client, analytics=analytics)
        statuses.append(client.post(PROPOSED, json=proposed()).status_code)

    assert statuses == [200, 403, 200]


def test_consent_is_read_back_and_unknown_people_are_404(client: TestClient) -> None:
    allow(client, "a/b ü", improvement=True)

    found = client.get("/api/tracking/consent/a%2Fb%20%C3%BC")
    unknown = client.get("/api/tracking/consent/nobody")

    assert found.json()["options"] == {
        "analytics": True,
        "preferences": False,
        "improvement": True,
    }
    assert unknown.status_code == 404


def test_same_event_again_gets_the_same_reply_and_changes_nothing(
    client: TestClient, engine: Engine
) -> None:
    allow(client)
    body = proposed(match_parameters={"a": 1, "b": 2})

    first = client.post(PROPOSED, json=body)
    again = client.post(PROPOSED, json={**body, "match_parameters": {"b": 2.0, "a": 1.0}})

    assert first.json() == again.json() == {"status": "success", "event_id": body["event_id"]}
    assert count(engine) == (1, 1)


@pytest.mark.parametrize(
    "change",
    [{"match_score": 0.6}, {"user_id": "u2"}, {"match_id": "m2"}, {"session_id": "s"}],
)
def test_same_id_with_other_content_is_409_and_changes_nothing(
    client: TestClient, engine: Engine, change: dict[str, Any]
) -> None:
    allow(client)
    allow(client, "u2")
    body = proposed()
    client.post(PROPOSED, json=body)

    answer = client.post(PROPOSED, json={**body, **change})

    assert answer.status_code == 409
    assert count(engine) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "field", "rule"),
    [
        ({"match_score": 2}, "match_score", "must be at most 1"),
        ({"match_score": "0.5"}, "match_score", "must be a number"),
        ({"user_id": ""}, "user_id", "must have at least 1 characters"),
        ({"user_id": "a\n"}, "user_id", "must not have characters that are not allowed in it"),
        ({"canary": "secret"}, "body", "must not have unknown fields"),
        ({"match_parameters": {"x": "canary"}}, "match_parameters[]", "must be a number"),
        (
            {"occurred_at": "2026-01-01T00:00:00"},
            "occurred_at",
            "must be a time with an offset from UTC",
        ),
        (
            {"occurred_at": "1999-01-01T00:00:00Z"},
            "occurred_at",
            "must not be more than 395 days ago",
        ),
        (
            {"occurred_at": "9999-12-31T23:59:59-23:59"},
            "occurred_at",
            "must not be more than 5 minutes ahead",
        ),
        ({"event_id": "canary"}, "event_id", "must be a UUID"),
        ({"alternatives_count": 2**64}, "alternatives_count", "must be at most 1000000"),
        ({"type": "canary"}, "type", "must name a type of event"),
    ],
)
def test_bad_field_is_named_with_its_rule_and_never_its_value(
    client: TestClient, changes: dict[str, Any], field: str, rule: str
) -> None:
    allow(client)

    answer = client.post(PROPOSED, json=proposed(**changes))

    assert answer.status_code == 422
    assert answer.json() == {"detail": [{"field": field, "rule": rule}]}


def test_clock_of_a_client_may_be_a_little_ahead(client: TestClient) -> None:
    allow(client)
    soon = datetime.now(UTC) + timedelta(minutes=4)

    assert client.post(PROPOSED, json=proposed(occurred_at=soon.isoformat())).status_code == 200


@pytest.mark.parametrize("as_lines", [False, True])
def test_bad_events_of_a_batch_are_refused_by_themselves(
    client: TestClient, engine: Engine, as_lines: bool
) -> None:
    allow(client)
    good = [{"type": "match_proposed", **proposed()} for _ in range(3)]
    batch = [
        good[0],
        {"type": "evil"},
        good[1],
        {**good[2], "user_id": "nobody", "event_id": str(uuid.uuid4())},
        {**good[0], "match_score": 0.9},
        {**good[2], "occurred_at": "1999-01-01T00:00:00Z"},
        good[2],
    ]

    answers = [_send(client, batch, as_lines=as_lines) for _ in range(2)]

    refused = [(one["index"], one["status"], one["field"]) for one in answers[0]["refused"]]
    assert refused == [
        (1, 422, "type"),
        (3, 403, "user_id"),
        (4, 409, "event_id"),
        (5, 422, "occurred_at"),
    ]
    assert [(one["stored"], one["duplicate"]) for one in answers] == [(3, 0), (0, 3)]
    assert count(engine) == (3, 3)


def _send(client: TestClient, batch: list[Any], *, as_lines: bool) -> Any:
    if as_lines:
        lines = "\n".join(json.dumps(one) for one in batch)
        headers = {"content-type": "application/x-ndjson"}
        answer = client.post(BATCH, content=lines + "\n\n", headers=headers)
    else:
        answer = client.post(BATCH, json=batch)
    assert answer.status_code == 200
    return answer.json()


def test_repetition_within_a_batch_is_judged_by_its_content(client: TestClient) -> None:
    allow(client)
    one = {"type": "match_proposed", **proposed()}

    answer = client.post(BATCH, json=[one, one, {**one, "match_score": 0.1}]).json()

    assert (answer["stored"], answer["duplicate"], len(answer["refused"])) == (1, 1, 1)


def test_person_without_consent_does_not_take_an_id_from_one_with(client: TestClient) -> None:
    allow(client)
    allowed = {"type": "match_proposed", **proposed()}
    forbidden = {**allowed, "user_id": "nobody"}

    answer = client.post(BATCH, json=[forbidden, allowed]).json()

    assert answer["stored"] == 1
    assert [(one["index"], one["status"]) for one in answer["refused"]] == [(0, 403)]


def test_books_balance_whatever_was_sent(client: TestClient, engine: Engine) -> None:
    allow(client)
    body = proposed()
    for sent in (body, body, {**body, "match_score": 0.1}, {**body, "match_score": 7}, {}):
        client.post(PROPOSED, json=sent)
    client.post(PROPOSED, json=proposed(user_id="nobody"))
    client.post(BATCH, json=[{"type": "match_proposed", **proposed()}, {"type": "no"}, body])
    client.post(PROPOSED, json=proposed())  # carries what was refused before it

    books = balance(engine)

    assert books.agrees
    assert (books.received, books.stored, books.duplicate) == (10, 3, 1)
    assert sum(books.refused.values()) == 6


def test_raw_identifiers_and_texts_are_in_no_table(client: TestClient, engine: Engine) -> None:
    canary = "canary-4711"
    allow(client, canary)
    client.post(PROPOSED, json=proposed(user_id=canary, match_id=canary, session_id=canary))
    client.post(
        "/api/tracking/event/match-feedback",
        json={"user_id": canary, "match_id": "m", "rating": 3, "feedback_text": canary},
    )

    with reading(engine) as connection:
        from schemas.tables import metadata

        dump = b"".join(
            value if isinstance(value, bytes) else str(value).encode()
            for table in metadata.sorted_tables
            for row in connection.execute(select(table))
            for value in row
        )
    assert len(dump) > 500
    assert canary.encode() not in dump


def test_erasing_person_is_refused_until_they_are_gone(client: TestClient, engine: Engine) -> None:
    allow(client)
    with writing(engine) as connection:
        connection.execute(subjects.update().values(erasing=True))

    assert client.post(PROPOSED, json=proposed()).status_code == 403
    assert client.post("/api/tracking/consent", json={"user_id": "u1"}).status_code == 409
    assert client.get("/api/tracking/consent/u1").status_code == 404


def test_erasure_stops_collection_at_once_and_is_one_request(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.launcher import Launcher

    monkeypatch.setattr(Launcher, "_start", lambda *_: _Ended())
    allow(client)
    client.post(PROPOSED, json=proposed())

    answers = [client.post("/api/privacy/erasure", json={"user_id": "u1"}) for _ in range(2)]
    followed = client.get(answers[0].json()["url"])

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["request"] == answers[1].json()["request"]
    assert followed.json()["state"] == "requested"
    assert client.post(PROPOSED, json=proposed()).status_code == 403
    assert client.post("/api/privacy/erasure", json={"user_id": "nobody"}).status_code == 404


class _Ended:
    """A process that has ended well."""

    def wait(self) -> int:
        return 0


def test_export_holds_one_person_and_hides_the_other_party(client: TestClient) -> None:
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
        "detail": [{"field": "format", "rule": refused.json()["detail"][0]["rule"]}]
    }
    assert client.post("/api/privacy/export", json={"user_id": "nobody"}).status_code == 404


def test_run_is_followed_to_its_end(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from ingest.launcher import Launcher

    monkeypatch.setattr(Launcher, "_start", lambda *_: _Ended())

    asked = client.post("/api/ml/update")

    assert asked.status_code == 202
    assert asked.json()["status"] == "accepted"
    state = client.get(asked.json()["url"]).json()
    assert state["flow"] == "retrain_model"
    assert client.get("/api/runs/unknown").status_code == 404


@pytest.mark.parametrize("name", ["acceptance", "satisfaction", "constraints", "funnel", "models"])
def test_every_metric_answers_on_an_empty_database(client: TestClient, name: str) -> None:
    answer = client.get(f"/api/metrics/{name}", params={"days": 30})

    assert answer.status_code == 200
    assert answer.json()["window"]["days"] == 30
    assert client.get(f"/api/metrics/{name}", params={"days": 0}).json() == {
        "detail": [{"field": "days", "rule": "must be at least 1"}]
    }


def test_paths_match_exactly(client: TestClient) -> None:
    for path in (PROPOSED + "/", "/" + PROPOSED, PROPOSED.upper(), "/api/ml/update/", "/health/"):
        assert client.post(path, json=proposed()).status_code in (404, 405)
    assert client.get(PROPOSED).status_code == 405
    assert client.get(PROPOSED).headers["allow"] == "POST"
