"""A batch over HTTP: each event is judged by itself, and none is stored twice."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from ingest.hot import _split
from ingest.replies import Refused
from tests.serving import allow, client_of, count_stored, proposed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.in_process import Client

BATCH = "/api/tracking/events"


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with client_of(settings) as called:
        yield called


@pytest.mark.parametrize("as_lines", [False, True])
def test_bad_events_of_a_batch_are_refused_by_themselves(
    client: Client, engine: Engine, as_lines: bool
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
    assert count_stored(engine) == (3, 3)


def _send(client: Client, batch: list[Any], *, as_lines: bool) -> Any:
    if as_lines:
        lines = "\n".join(json.dumps(one) for one in batch)
        headers = {"content-type": "application/x-ndjson"}
        answer = client.post(BATCH, content=lines + "\n\n", headers=headers)
    else:
        answer = client.post(BATCH, json=batch)
    assert answer.status_code == 200
    return answer.json()


def test_repetition_within_a_batch_is_judged_by_its_content(client: Client) -> None:
    allow(client)
    one = {"type": "match_proposed", **proposed()}

    answer = client.post(BATCH, json=[one, one, {**one, "match_score": 0.1}]).json()

    assert (answer["stored"], answer["duplicate"], len(answer["refused"])) == (1, 1, 1)


def test_person_without_consent_does_not_take_an_id_from_one_with(client: Client) -> None:
    allow(client)
    allowed = {"type": "match_proposed", **proposed()}
    forbidden = {**allowed, "user_id": "nobody"}

    answer = client.post(BATCH, json=[forbidden, allowed]).json()

    assert answer["stored"] == 1
    assert [(one["index"], one["status"]) for one in answer["refused"]] == [(0, 403)]


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (b"[" + b"1," * 5_000 + b"1]", b"", 422),
        (b"[" + b"{}," * 5_000 + b"{}]", b"", 422),
        (b'[{"type":"match_viewed"}' + b',{"type":"match_viewed"}' * 500 + b"]", b"", 413),
        (b"[" + b"1," * 10 + b"1]", b"", 413),
        (b"1\n" * 11, b"application/x-ndjson", 413),
        (b"\n" * 5_000, b"application/x-ndjson", 413),
    ],
)
def test_batch_of_millions_of_pieces_is_refused_before_it_is_cut(
    body: bytes, content_type: bytes, said: int
) -> None:
    with pytest.raises(Refused) as refused:
        _split(body, content_type, 10)

    assert refused.value.refusal.status == said


def test_batch_of_events_with_much_in_each_is_taken() -> None:
    parameters = {f"constraint {number}": number for number in range(64)}
    events = [proposed(type="match_proposed", match_parameters=parameters) for _ in range(10)]

    assert len(_split(json.dumps(events).encode(), b"", 10)) == 10
    assert len(_split(b"\n\n".join([b"{}"] * 10), b"application/x-ndjson", 10)) == 10
