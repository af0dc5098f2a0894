"""What lies behind the routes: midnight, a full queue, a rotated key, a flow that dies."""

from __future__ import annotations

import asyncio
import math
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from ingest.launcher import Launcher
from ingest.service import Service
from ingest_api import create_app
from schemas.clock import MICROS_PER_DAY
from schemas.environment import inherited
from schemas.errors import NotReady, QueueFull
from schemas.events import Event
from schemas.settings import Settings
from schemas.tables import staged, subjects
from tests.committing import held_up
from tests.erasing import in_a_child
from tests.serving import LOOPBACK, PatientClient, allow, client_of, now_us, proposed
from warehouse import accounts
from warehouse.committer import Committer
from warehouse.disk import DiskReserve
from warehouse.engine import reading
from warehouse.keyfile import PseudonymKey, day_key, make_ring, read_ring, replace_ring
from warehouse.staging import Outcome
from warehouse.tickets import SHORT_EVENTS, Ticket
from warehouse.watch import KnownConsents

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine

PROPOSED = "/api/tracking/event/match-proposed"
FEEDBACK = "/api/tracking/event/match-feedback"


def test_text_that_is_under_way_at_midnight_is_sealed_under_the_new_day(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client_of(settings) as client:
        allow(client)
        arrive = Service.arrive
        days = iter([1])

        def late(self: Service, event: Any) -> Any:
            before = next(days, 0) * MICROS_PER_DAY
            return self.intake.arrive(event, now_us() - before, fresh=False)

        monkeypatch.setattr(Service, "arrive", late)
        body = {"user_id": "u1", "match_id": "m", "rating": 3, "feedback_text": "hello"}
        answer = client.post(FEEDBACK, json=body)
        monkeypatch.setattr(Service, "arrive", arrive)

    today = now_us() // MICROS_PER_DAY
    with reading(engine) as connection:
        row = connection.execute(select(staged)).one()
    assert answer.status_code == 200
    assert answer.json()["event_id"].replace("-", "") == row.event_id.hex()
    assert row.sealed_day == today
    assert _opened(settings, row) == b'["hello"]'


def _opened(settings: Settings, row: Any) -> bytes:
    from privacy.sealing import unseal

    return unseal(day_key(settings.keys, row.sealed_day), row.sealed, row.event_id)


def test_rotated_key_keeps_people_and_their_matches_together(
    settings: Settings, engine: Engine
) -> None:
    with client_of(settings) as client:
        allow(client)
        client.post(PROPOSED, json=proposed())
        ring = read_ring(settings.keys)
        fresh = PseudonymKey("new", b"n" * 32, now_us())
        keys = [*ring.pseudonym_keys, fresh]
        replace_ring(settings.keys, type(ring)(keys, ring.digest_key))
        watch = client.app.service.watch
        while fresh not in watch.ring.pseudonym_keys:
            time.sleep(0.01)
        before_consent = client.post(PROPOSED, json=proposed()).status_code
        allow(client)
        after_consent = client.post(PROPOSED, json=proposed()).status_code

    with reading(engine) as connection:
        people = connection.execute(select(subjects.c.key_id)).scalars().all()
        rows = connection.execute(select(staged.c.subject, staged.c.match_key)).all()
    assert (before_consent, after_consent) == (200, 200)
    assert people == ["new"]
    assert len(rows) == 3
    assert len(set(rows)) == 1


def test_full_queue_is_refused_and_what_was_accepted_is_told(engine: Engine) -> None:
    settled: list[Ticket] = []
    committer = Committer(
        engine,
        KnownConsents(),
        DiskReserve(engine, 0),
        queue_events=2,
        settled=settled.extend,
        observed=lambda *_: None,
    )
    with held_up(committer):
        committer.submit(Ticket(work=lambda _connection: 7))
        with pytest.raises(QueueFull):
            committer.submit(Ticket(work=lambda _connection: 8))
    committer.close()

    assert [ticket.result for ticket in settled] == [None, 7]
    with pytest.raises(NotReady):
        committer.submit(Ticket(work=lambda _connection: 9))


def test_work_that_fails_takes_nothing_else_of_its_commit_with_it(engine: Engine) -> None:
    def insert(connection: Any, name: str) -> None:
        connection.exec_driver_sql(f"INSERT INTO versions (name, value) VALUES ('{name}', 1)")

    def fail(connection: Any) -> None:
        insert(connection, "half done")
        raise NotReady("no")

    settled: list[Ticket] = []
    committer = Committer(
        engine,
        KnownConsents(),
        DiskReserve(engine, 0),
        queue_events=100,
        settled=settled.extend,
        observed=lambda *_: None,
    )
    with held_up(committer):
        for work in (fail, lambda connection: insert(connection, "whole")):
            committer.submit(Ticket(work=work))
    committer.close()

    assert [type(ticket.error) for ticket in settled] == [type(None), NotReady, type(None)]
    with reading(engine) as connection:
        names = connection.exec_driver_sql("SELECT name FROM versions").scalars().all()
    assert list(names) == ["whole"]


def test_batch_that_the_disk_has_no_room_for_takes_nothing_else_of_its_commit_with_it(
    settings: Settings, engine: Engine
) -> None:
    class Small(DiskReserve):
        def take(self, events: int, content_bytes: int) -> bool:
            return events <= SHORT_EVENTS and super().take(events, content_bytes)

    make_ring(settings.keys, 0)
    service = Service(settings)
    body = {"type": "match_proposed", **proposed()}
    arrivals = [
        service.arrive(msgspec.convert(body | {"event_id": str(uuid.uuid4())}, Event))
        for _ in range(SHORT_EVENTS + 2)
    ]
    service.close()
    settled: list[Ticket] = []
    committer = Committer(
        engine,
        KnownConsents(),
        Small(engine, 0),
        queue_events=100,
        settled=settled.extend,
        observed=lambda *_: None,
    )
    tickets = [Ticket(arrivals[1:]), Ticket(arrivals[:1])]
    with held_up(committer):
        for ticket in tickets:
            committer.submit(ticket)
    committer.close()

    assert [type(ticket.error) for ticket in tickets] == [NotReady, type(None)]
    assert tickets[1].outcomes == [Outcome.FORBIDDEN]


def test_stale_answer_is_not_learned_after_a_change() -> None:
    known = KnownConsents()
    known.learn({b"a": 1}, seen=3)
    known.forget([b"a"], 4)
    known.learn({b"a": 1}, seen=3)
    stale = known.get(b"a")
    known.learn({b"a": 2}, seen=4)

    assert stale is None
    assert known.get(b"a") == 2


def test_flow_that_dies_without_a_word_is_noted_as_failed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dead:
        def wait(self, _seconds: float) -> int:
            return -9

    monkeypatch.setattr(Launcher, "_start", lambda *_: Dead())
    with client_of(settings) as client:
        url = client.post("/api/privacy/cleanup").json()["url"]
        deadline = time.monotonic() + 60
        while (state := client.get(url).json())["state"] == "requested":
            assert time.monotonic() < deadline
            time.sleep(0.05)

    assert state["state"] == "failed"
    assert "-9" in state["detail"]


def test_flow_finds_the_settings_of_the_server(settings: Settings) -> None:
    changed = settings.model_copy(update={"cors_origins": ("https://a.example",), "port": 9})

    given = inherited(changed)

    assert given["SMARTMATCH_HOME"] == str(settings.home)
    assert given["SMARTMATCH_CORS_ORIGINS"] == "https://a.example"
    assert given["SMARTMATCH_PORT"] == "9"
    assert settings.database_url is not None
    assert given["SMARTMATCH_DATABASE_URL"] == settings.database_url.get_secret_value()


def test_requests_from_several_loops_are_each_told_in_their_own(settings: Settings) -> None:
    import httpx

    from ingest_api import create_app
    from warehouse.keyfile import make_ring

    make_ring(settings.keys, 0)
    app = create_app(settings)

    def batch() -> list[Any]:
        return [{"type": "match_proposed", **proposed()} for _ in range(100)]

    async def send() -> list[int]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await client.post("/api/tracking/consent", json={"user_id": "u1", "analytics": True})
            one = client.post(PROPOSED, json=proposed())
            batches = [client.post("/api/tracking/events", json=batch()) for _ in range(3)]
            return [sent.status_code for sent in await asyncio.gather(one, *batches)]

    statuses = [asyncio.run(send()) for _ in range(3)]
    app.service.close()

    assert statuses == [[200] * 4] * 3


def refused_by(settings: Settings, engine: Engine, body: Any, **more: Any) -> tuple[int, int]:
    """Return the status of an answer, and how many refused events were in the books before it."""
    from warehouse.audit import balance

    with client_of(settings) as client:
        allow(client)
        status = client.post(more.get("path", PROPOSED), json=body).status_code
        books = balance(engine)  # the server still runs
    assert books.received == books.stored + sum(books.refused.values())
    return status, sum(books.refused.values())


def test_an_event_is_refused_when_it_is_in_the_books(settings: Settings, engine: Engine) -> None:
    assert refused_by(settings, engine, {"user_id": 5}) == (422, 1)
    assert refused_by(settings, engine, proposed(user_id="a stranger")) == (403, 2)
    batch = [{"type": "match_proposed", **proposed(user_id=who)} for who in ("a stranger", "u1")]
    events = [*batch, {"type": "match_viewed"}, 7]
    assert refused_by(settings, engine, events, path="/api/tracking/events") == (200, 5)


def test_a_refusal_that_could_not_be_counted_is_not_told(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from warehouse.audit import balance

    add, failures = accounts.add, iter([NotReady("a disk")])

    def add_the_second_time(*arguments: Any) -> None:
        for failure in failures:
            raise failure
        add(*arguments)

    monkeypatch.setattr(accounts, "add", add_the_second_time)
    told: list[Ticket] = []
    committer = Committer(
        engine,
        KnownConsents(),
        DiskReserve(engine, 0),
        queue_events=2,
        settled=told.extend,
        observed=lambda *_: None,
    )
    first, second = (Ticket(refused=["a rule"] * 3) for _ in range(2))
    committer.submit(first)
    while not told:
        time.sleep(0.01)
    committer.submit(second)
    committer.close()

    # It may have been committed or not: nobody counts it again.
    assert isinstance(first.error, NotReady)
    assert second.error is None
    assert balance(engine).refused == {"a rule": 3}


def test_work_is_not_done_again_where_its_commit_may_have_happened(engine: Engine) -> None:
    """Else an answer to the notice would be recorded twice."""
    settled = threading.Event()
    committer = Committer(
        engine,
        KnownConsents(),
        DiskReserve(engine, 0),
        queue_events=100,
        settled=lambda *_: settled.set(),
        observed=lambda *_: None,
    )
    done = []

    def lose_the_connection(_connection: Connection) -> None:
        done.append(1)
        raise OperationalError("COMMIT", {}, Exception("connection lost"))

    ticket = Ticket(work=lose_the_connection)
    committer.submit(ticket)
    assert settled.wait(60)
    committer.close()

    assert isinstance(ticket.error, NotReady)
    assert len(done) == 1


def test_who_allows_it_at_another_server_is_heard_at_once_by_one_that_hears_no_changes(
    settings: Settings,
) -> None:
    with client_of(settings) as deaf, client_of(settings) as other:
        before = deaf.post(PROPOSED, json=proposed()).status_code
        watch = deaf.app.service.watch
        watch.close()
        watch.api_keys_until = math.inf
        allow(other)
        after = deaf.post(PROPOSED, json=proposed()).status_code

    assert (before, after) == (403, 200)


def test_an_application_may_be_made_before_its_process_forks(
    settings: Settings, tmp_path: Path
) -> None:
    make_ring(settings.keys, 0)
    app, told = create_app(settings), tmp_path / "told"
    app.service.watch.api_keys_until = 0.0  # as when the request comes a second later

    def serve() -> None:
        with PatientClient(app, LOOPBACK) as client:
            allow(client)
            sent = client.post(PROPOSED, json=proposed())
            told.write_text(f"{sent.status_code} {client.get('/ready').status_code}")

    assert in_a_child(serve) == 0
    app.service.close()
    assert told.read_text() == "200 200"


def test_nothing_is_counted_before_its_day_key_exists(settings: Settings, engine: Engine) -> None:
    with client_of(settings) as client:
        allow(client)
        client.post(
            FEEDBACK,
            json={"user_id": "u1", "match_id": "m", "rating": 3, "feedback_text": "x"},
        )

    today = int(datetime.now(UTC).timestamp()) // 86_400
    assert (settings.keys / "days" / f"{today}.key").exists()
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(staged)).scalar_one() == 1
