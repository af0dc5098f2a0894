"""What keeps much from holding little up: pieces, an order, bounded memory; no clock decides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ingest import service as service_module
from ingest import turnstile as turnstile_module
from ingest.app import make_door
from ingest.hot import BatchRoute
from ingest.service import Service
from ingest.turnstile import Line, Turn, Turnstile
from tests.serving import LOOPBACK, allow, client_of, proposed
from warehouse.committer import Committer
from warehouse.keyfile import make_ring
from warehouse.staging import Arrival
from warehouse.tickets import TICKET_EVENTS, Ticket, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from ingest.door import Door
    from schemas.errors import QueueFull
    from schemas.settings import Settings

PIECE = 64


def test_batch_of_several_tickets_judges_what_it_repeats(settings: Settings) -> None:
    events = [proposed(type="match_proposed") for _ in range(2 * TICKET_EVENTS + 90)]
    events[-1] = events[0]
    events[-2] = events[1] | {"match_score": 0.25}

    with client_of(settings) as client:
        allow(client)
        first = client.post("/api/tracking/events", json=events).json()
        again = client.post("/api/tracking/events", json=events).json()

    differs = {
        "index": len(events) - 2,
        "status": 409,
        "field": "event_id",
        "rule": "was stored with other content",
    }
    assert (first["stored"], first["duplicate"]) == (len(events) - 2, 1)
    assert (again["stored"], again["duplicate"]) == (0, len(events) - 1)
    assert first["refused"] == again["refused"] == [differs]


def test_batch_waits_for_each_of_its_commits_by_itself(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "LARGEST_COMMIT", 2 * TICKET_EVENTS)
    submitted: list[int] = []
    submit = Service.submit

    def note(service: Service, loop: asyncio.AbstractEventLoop, *tickets: Ticket) -> None:
        submitted.append(size_of(tickets))
        submit(service, loop, *tickets)

    events = [proposed(type="match_proposed") for _ in range(5 * TICKET_EVENTS + 3)]
    with client_of(settings) as client:
        allow(client)
        monkeypatch.setattr(Service, "submit", note)
        reply = client.post("/api/tracking/events", json=events).json()

    assert reply["stored"] == len(events)
    assert submitted == [2 * TICKET_EVENTS, 2 * TICKET_EVENTS, TICKET_EVENTS + 3]


def test_batches_are_read_in_pieces_and_one_at_a_time(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine is not None
    make_ring(settings.keys, 0)
    service = Service(settings)
    read: list[int] = []
    arrive = service.intake.arrive

    def counted(event: Any, now: int, *, fresh: bool) -> Arrival:
        read.append(len(read))
        return arrive(event, now, fresh=fresh)

    monkeypatch.setattr(service.intake, "arrive", counted)
    bodies = [
        msgspec.json.encode([proposed(type="match_proposed") for _ in range(5 * PIECE)])
        for _ in range(3)
    ]

    async def trial() -> list[int]:
        route = BatchRoute(service)
        batches = asyncio.gather(*(route.handle(b"", body, b"") for body in bodies))
        pieces = []
        while not batches.done():
            before = len(read)
            await asyncio.sleep(0)
            pieces.append(len(read) - before)
        await batches
        return pieces

    try:
        pieces = asyncio.run(trial())
    finally:
        service.close()
    assert sum(pieces) == 3 * 5 * PIECE
    # One batch's last piece and the next one's first may lie between two looks of this task.
    assert max(pieces) <= 2 * PIECE


@pytest.mark.parametrize("beside_singles", [True, False])
def test_batch_rests_after_each_piece_where_single_events_come(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, *, beside_singles: bool
) -> None:
    assert engine is not None
    monkeypatch.setattr(Committer, "serves_short", beside_singles)
    rests: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        rests.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", noted)
    body = msgspec.json.encode([proposed(type="match_proposed") for _ in range(3 * PIECE)])
    make_ring(settings.keys, 0)
    service = Service(settings)
    try:
        asyncio.run(BatchRoute(service).handle(b"", body, b""))
    finally:
        service.close()

    assert len(rests) == 3
    assert [rest > 0 for rest in rests] == [beside_singles] * 3


class Guest:
    """A request that notes whether it went in."""

    def __init__(self) -> None:
        self.inside = False

    def proceed(self) -> None:
        self.inside = True

    def turn_back(self, error: QueueFull) -> None:
        raise error


def test_request_that_costs_as_much_as_many_takes_as_many_turns() -> None:
    turnstile, line, much, little = Turnstile(10), Line(), Turn(), Turn()

    def enter(turn: Turn, cost: float) -> bool:
        guest = Guest()
        turnstile.enter(guest, line, turn, cost)
        return guest.inside

    async def trial() -> None:
        assert enter(little, 1)
        assert enter(much, 9)
        assert not enter(much, 9)
        assert not enter(much, 9)
        turnstile.leave(9)
        await asyncio.sleep(0)
        assert turnstile.waiting == 1
        assert enter(little, 1)  # it had one turn, the others nine each

    asyncio.run(trial())


def test_connections_share_a_line_by_their_address() -> None:
    line = Line()

    assert line.turn_of(("127.0.0.1", 1)) is line.turn_of(("127.0.0.1", 1))
    assert line.turn_of(("127.0.0.1", 1)) is not line.turn_of(("127.0.0.1", 2))


@pytest.fixture
def door(settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """A door where nobody waits in line."""
    assert engine is not None
    monkeypatch.setattr(turnstile_module, "PATIENCE_SECONDS", 0.0)
    make_ring(settings.keys, 0)
    made = make_door(settings, log=None)
    yield made
    made.service.close()


async def ask(door: Door, path: str, body: bytes = b"", reads: asyncio.Event | None = None) -> int:
    """Send a request and return the status of the reply, which is not read before an event."""
    scope = {
        "type": "http",
        "method": "POST" if body else "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-length", b"%d" % len(body))],
        "client": LOOPBACK,
    }
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if reads is not None:
            await reads.wait()
        statuses.append(message.get("status", 0))

    await door(scope, receive, send)
    return statuses[0]


CONSENT = "/api/tracking/consent"
ANSWER = b'{"user_id":"u1"}'


def test_health_is_told_while_all_other_routes_have_no_room(door: Door) -> None:
    async def trial() -> list[int]:
        before = await ask(door, "/metrics")
        others = door.ways().others
        crowd, turn = Line(), Turn()
        for _ in range(8):
            others.enter(Guest(), crowd, turn, 2)
        return [before, await ask(door, "/metrics"), await ask(door, "/health")]

    assert asyncio.run(trial()) == [200, 503, 200]


def test_pages_take_no_turns_of_consents(door: Door) -> None:
    async def trial() -> list[int]:
        before = await ask(door, "/openapi.json")
        crowd, turn = Line(), Turn()
        for _ in range(8):
            door.ways().pages.enter(Guest(), crowd, turn, 1)
        return [before, await ask(door, "/openapi.json"), await ask(door, CONSENT, ANSWER)]

    assert asyncio.run(trial()) == [200, 503, 200]


def test_reply_that_nobody_reads_takes_no_turn_and_no_memory_of_bodies(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine commits more slowly than these consents come.
    monkeypatch.setattr(turnstile_module, "PATIENCE_SECONDS", 30.0)

    async def trial() -> tuple[list[int], int, list[int]]:
        reads = asyncio.Event()
        statuses = [await ask(door, CONSENT, ANSWER)]
        unread = []
        for path, body in (("/metrics", b""), (CONSENT, ANSWER + b" " * 9_000)):
            for _ in range(40):
                unread.append(asyncio.create_task(ask(door, path, body, reads)))
                await asyncio.sleep(0.02)
        statuses.append(await ask(door, CONSENT, ANSWER))
        held = door._bodies.held
        reads.set()
        return statuses, held, await asyncio.gather(*unread)

    statuses, held, read = asyncio.run(trial())

    assert statuses == [200, 200]
    assert held == 0
    assert set(read) == {200}


def test_few_pages_are_made_before_the_loop_looks_at_its_sockets_again(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turnstile_module, "PATIENCE_SECONDS", 30.0)

    async def trial() -> tuple[list[int], int]:
        await ask(door, "/openapi.json")
        pages = [asyncio.create_task(ask(door, "/openapi.json")) for _ in range(80)]
        most = done = 0
        while done < len(pages):
            await asyncio.sleep(0)
            before, done = done, sum(page.done() for page in pages)
            most = max(most, done - before)
        return [page.result() for page in pages], most

    statuses, most = asyncio.run(trial())

    assert statuses == [200] * 80
    assert most <= 16


def test_body_of_a_consent_is_short(door: Door) -> None:
    assert asyncio.run(ask(door, CONSENT, ANSWER + b" " * 16_384)) == 413
