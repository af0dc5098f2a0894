"""What keeps much from holding little up: pieces, an order, bounded memory; no clock decides."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ingest import turnstile as turnstile_module
from ingest.app import make_door
from ingest.hot import BatchRoute
from ingest.service import Service
from ingest.turnstile import Line, Turn, Turnstile
from tests.serving import LOOPBACK, allow, client_of, proposed
from warehouse import committer as committer_module
from warehouse.committer import Committer
from warehouse.disk import DiskReserve
from warehouse.keyfile import make_ring
from warehouse.staging import Arrival, Staged
from warehouse.tickets import TICKET_EVENTS, Ticket
from warehouse.watch import KnownConsents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from ingest.door import Door
    from schemas.errors import QueueFull
    from schemas.settings import Settings

PIECE = 64


class HeldWriter:
    """A writer that waits until it is told to go on, and notes what each commit settled."""

    def __init__(self, engine: Engine) -> None:
        self._commits: list[list[Ticket]] = []
        self._go_on = threading.Event()
        self.committer = _committer(engine, self._commits.append)
        begun = threading.Event()

        def wait(_connection: Any) -> None:
            begun.set()
            self._go_on.wait(30)

        self.committer.submit(Ticket(work=wait))
        assert begun.wait(30)

    def write(self) -> list[list[int]]:
        """Write what waits and return the sizes of the tickets of each commit."""
        self._go_on.set()
        self.committer.close()
        return [[len(ticket.arrivals) for ticket in commit] for commit in self._commits[1:]]


def _committer(engine: Engine, settled: Callable[[list[Ticket]], None]) -> Committer:
    """Return a writer that waits for something to write."""
    committer = Committer(
        engine,
        KnownConsents(),
        DiskReserve(engine, 0),
        queue_events=100_000,
        settled=settled,
        observed=lambda *_: None,
    )
    deadline = time.monotonic() + 30
    while not committer._idle:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return committer


def tickets(*sizes: int) -> list[Ticket]:
    """Return tickets with events of somebody unknown: they are looked up and not stored."""
    return [Ticket([_stranger() for _ in range(size)]) for size in sizes]


def _stranger() -> Arrival:
    row = Staged(uuid.uuid4().bytes, "match_viewed", 0, 1, None, 1, 1, b"{}", None, None)
    return Arrival(row, bytes(16), (b"p" * 32,), key_id="key")


@pytest.mark.parametrize(
    ("remembered", "commits"),
    [
        (1e9, [[1, TICKET_EVENTS], [TICKET_EVENTS], [TICKET_EVENTS]]),
        (0.0, [[1, TICKET_EVENTS, TICKET_EVENTS, TICKET_EVENTS]]),
    ],
)
def test_short_ticket_is_written_first_and_beside_little_where_more_of_them_may_come(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, remembered: float, commits: list[list[int]]
) -> None:
    monkeypatch.setattr(committer_module, "_REMEMBER_SECONDS", remembered)
    writer = HeldWriter(engine)

    writer.committer.submit(*tickets(TICKET_EVENTS, TICKET_EVENTS, TICKET_EVENTS))
    writer.committer.submit(*tickets(1))

    assert writer.write() == commits


@pytest.mark.parametrize("kept", [True, False], ids=["promise is kept", "promise is broken"])
def test_a_commit_waits_for_what_is_said_to_come_at_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    commits: list[int] = []
    settled = threading.Event()

    def note(tickets: list[Ticket]) -> None:
        commits.append(len(tickets))
        settled.set()

    for name in ("_PATIENCE_FOR_MORE_SECONDS", "_IDLE_SECONDS"):
        monkeypatch.setattr(committer_module, name, 30.0 if kept else 0.01)
    committer = _committer(engine, note)
    for _ in range(5):
        committer.submit(Ticket(work=lambda _connection: None), more=True)
    if kept:
        assert not settled.wait(0.2)
        committer.go()
    assert settled.wait(30)
    committer.close()

    assert sum(commits) == 5
    assert commits == [5] or not kept


def test_the_loop_rests_until_few_events_are_committed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_module, "_LENT_SECONDS", 60.0)
    committer = _committer(engine, lambda _tickets: None)

    for ticket in tickets(1, committer_module._LENT_EVENTS):
        committer.submit(ticket, more=True)
        committer.go()
        assert ticket.settled
    committer.close()


@pytest.mark.parametrize(
    ("events", "seconds"), [(TICKET_EVENTS, 60.0), (1, 0.01)], ids=["many", "slow"]
)
def test_the_loop_rests_for_no_commit_of_many_and_for_none_that_is_slow_or_under_way(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, events: int, seconds: float
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def hold(_connection: Any) -> None:
        begun.set()
        assert go_on.wait(30)

    committer = _committer(engine, lambda _tickets: None)
    first, second, third = Ticket(work=hold), *tickets(events, 1)
    monkeypatch.setattr(committer_module, "_LENT_SECONDS", seconds)
    committer.submit(first, second, more=True)
    committer.go()
    assert begun.wait(30)
    monkeypatch.setattr(committer_module, "_LENT_SECONDS", 60.0)
    committer.submit(third, more=True)
    committer.go()
    settled = [ticket.settled for ticket in (first, second, third)]
    go_on.set()
    committer.close()

    assert settled == [False, False, False]
    assert third.settled


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
    assert max(pieces) <= PIECE


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


@pytest.mark.parametrize(("remembered", "serves"), [(1e9, True), (0.0, False)])
def test_writer_remembers_for_a_moment_that_short_tickets_come(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, remembered: float, *, serves: bool
) -> None:
    monkeypatch.setattr(committer_module, "_REMEMBER_SECONDS", remembered)
    writer = HeldWriter(engine)
    writer.committer.submit(*tickets(1))
    writer.write()

    assert writer.committer.serves_short is serves


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


def test_reply_that_nobody_reads_takes_no_turn_and_no_memory_of_bodies(door: Door) -> None:
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
