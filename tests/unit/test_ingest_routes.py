"""Events singly, runs and metrics over HTTP, through the whole application, on both databases."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from ingest.app import ColdRoutes
from ingest.service import Service
from schemas.tables import staged
from tests.engines import on_sqlite
from tests.serving import Ended, allow, client_of, count_stored, proposed
from warehouse import weights
from warehouse.audit import balance
from warehouse.engine import reading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.in_process import Client

PROPOSED = "/api/tracking/event/match-proposed"
BATCH = "/api/tracking/events"


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with client_of(settings) as called:
        yield called


def test_calls_of_the_first_module_work_unchanged(client: Client, engine: Engine) -> None:
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


def test_same_event_again_gets_the_same_reply_and_changes_nothing(
    client: Client, engine: Engine
) -> None:
    allow(client)
    body = proposed(match_parameters={"a": 1, "b": 2})

    first = client.post(PROPOSED, json=body)
    again = client.post(PROPOSED, json={**body, "match_parameters": {"b": 2.0, "a": 1.0}})

    assert first.json() == again.json() == {"status": "success", "event_id": body["event_id"]}
    assert count_stored(engine) == (1, 1)


NOON = datetime.now(UTC).replace(hour=12) - timedelta(days=1)
SAME_FIELDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "match-viewed",
        {"view_duration_seconds": 1, "occurred_at": NOON.isoformat()},
        {
            "view_duration_seconds": 1,
            "occurred_at": NOON.astimezone(timezone(timedelta(hours=1))).isoformat(),
        },
    ),
    ("match-viewed", {"view_duration_seconds": 0}, {"view_duration_seconds": -0.0}),
    ("match-decision", {"decision": True}, {"decision": True, "decision_time_seconds": -0.0}),
    ("match-completed", {"completed": True}, {"completed": True, "completion_rate": 0}),
    (
        "match-completed",
        {"completed": False, "success_indicators": {"a": 0, "b": -1}},
        {"completed": False, "success_indicators": {"b": -1.0, "a": -0.0}},
    ),
]


@pytest.mark.parametrize(("path", "fields", "again"), SAME_FIELDS)
def test_same_event_written_otherwise_is_the_same_event(
    client: Client,
    engine: Engine,
    path: str,
    fields: dict[str, Any],
    again: dict[str, Any],
) -> None:
    allow(client)
    told = {"user_id": "u1", "match_id": "m1", "event_id": str(uuid.uuid4())}

    for body in (told | fields, told | again):
        reply = client.post(f"/api/tracking/event/{path}", json=body)
        assert reply.json() == {"status": "success", "event_id": told["event_id"]}
    assert count_stored(engine) == (1, 1)


@pytest.mark.parametrize(
    ("path", "fields", "other"),
    [
        (
            "match-decision",
            {"decision": True, "reasons": ['":-0.0,', "x"]},
            {"decision": True, "reasons": ['":0.0,', "x"]},
        ),
        (
            "match-completed",
            {"completed": True, "success_indicators": {"completion_rate": 0}},
            {"completed": True, "success_indicators": {}},
        ),
    ],
)
def test_what_only_looks_like_the_same_content_is_told_apart(
    client: Client, path: str, fields: dict[str, Any], other: dict[str, Any]
) -> None:
    allow(client)
    told = {"user_id": "u1", "match_id": "m1", "event_id": str(uuid.uuid4())}

    answers = [
        client.post(f"/api/tracking/event/{path}", json=told | body).status_code
        for body in (fields, other)
    ]

    assert answers == [200, 409]


@pytest.mark.parametrize(
    "change",
    [{"match_score": 0.6}, {"user_id": "u2"}, {"match_id": "m2"}, {"session_id": "s"}],
)
def test_same_id_with_other_content_is_409_and_changes_nothing(
    client: Client, engine: Engine, change: dict[str, Any]
) -> None:
    allow(client)
    allow(client, "u2")
    body = proposed()
    client.post(PROPOSED, json=body)

    answer = client.post(PROPOSED, json={**body, **change})

    assert answer.status_code == 409
    assert count_stored(engine) == (1, 1)


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
        (
            {"type": "canary"},
            "type",
            "must be a type of event, and that of the route where it has one",
        ),
    ],
)
def test_bad_field_is_named_with_its_rule_and_never_its_value(
    client: Client, changes: dict[str, Any], field: str, rule: str
) -> None:
    allow(client)

    answer = client.post(PROPOSED, json=proposed(**changes))

    assert answer.status_code == 422
    assert answer.json() == {"detail": [{"field": field, "rule": rule}]}


def test_clock_of_a_client_may_be_a_little_ahead(client: Client) -> None:
    allow(client)
    soon = datetime.now(UTC) + timedelta(minutes=4)

    assert client.post(PROPOSED, json=proposed(occurred_at=soon.isoformat())).status_code == 200


def test_books_balance_whatever_was_sent(client: Client, engine: Engine) -> None:
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


def test_raw_identifiers_and_texts_are_in_no_table(client: Client, engine: Engine) -> None:
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


@pytest.mark.parametrize("path", ["/api/runs/%00", "/api/privacy/erasure/a%00"])
def test_what_no_engine_can_hold_is_unknown(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_run_is_followed_to_its_end(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from ingest.launcher import Launcher

    monkeypatch.setattr(Launcher, "_start", lambda *_: Ended())

    asked = client.post("/api/ml/update")

    assert asked.status_code == 202
    assert asked.json()["status"] == "accepted"
    state = client.get(asked.json()["url"]).json()
    assert state["flow"] == "retrain_model"
    assert client.get("/api/runs/unknown").status_code == 404


@pytest.mark.parametrize("name", ["acceptance", "satisfaction", "constraints", "funnel", "models"])
def test_every_metric_answers_on_an_empty_database(client: Client, name: str) -> None:
    answer = client.get(f"/api/metrics/{name}", params={"days": 30})

    assert answer.status_code == 200
    assert answer.json()["window"]["days"] == 30
    assert client.get(f"/api/metrics/{name}", params={"days": 0}).json() == {
        "detail": [{"field": "days", "rule": "must be at least 1"}]
    }
    twice = client.get(f"/api/metrics/{name}?days=7&days=30")
    assert twice.status_code == 422
    assert twice.json()["detail"] == [{"field": "days", "rule": "must not be given twice"}]
    unknown = client.get(f"/api/metrics/{name}?day=7")
    assert unknown.status_code == 422
    rule = "must not have unknown parameters"
    assert unknown.json()["detail"] == [{"field": "query", "rule": rule}]


def test_paths_match_exactly(client: Client) -> None:
    for path in (PROPOSED + "/", "/" + PROPOSED, PROPOSED.upper(), "/api/ml/update/", "/health/"):
        assert client.post(path, json=proposed()).status_code in (404, 405)
    assert client.get(PROPOSED).status_code == 405
    assert client.get(PROPOSED).headers["allow"] == "POST"
    allow(client)
    for path in ("/metrics", "/api/ml/model", "/api/metrics/funnel", "/api/tracking/consent/u1"):
        assert client.get(path + "%0A").json() == {"detail": "Not Found"}
        assert client.get(path + "%0D%0A").status_code == 404
    assert client.get("/api/tracking/consent/u1%0D").status_code == 422


def fail(*_arguments: Any, **_more: Any) -> Any:
    raise KeyError("canary-4711")


@on_sqlite
@pytest.mark.parametrize(
    ("place", "call"),
    [
        ((Service, "arriving"), ("POST", PROPOSED)),
        ((Service, "arriving"), ("POST", BATCH)),
        ((weights, "newest"), ("GET", "/api/ml/weights")),
        ((ColdRoutes, "load"), ("GET", "/docs")),
    ],
)
def test_defect_costs_a_request_its_answer_and_is_counted_and_logged_without_values(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: tuple[Any, str],
    call: tuple[str, str],
) -> None:
    body = {"type": "match_proposed", **proposed()}
    with monkeypatch.context() as patch:
        patch.setattr(*place, fail)
        answer = client.request(*call, json=[body] if BATCH in call else body)

    assert (answer.status_code, answer.json()) == (503, {"detail": "Not ready, try again"})
    told = sum(line.startswith("A request failed: KeyError") for line in caplog.messages)
    assert "canary-4711" not in caplog.text
    counted = re.search(r'requests_total\{status="5xx"\} (\d+)', client.get("/metrics").text)
    assert counted is not None
    assert int(counted[1]) >= told >= 1
