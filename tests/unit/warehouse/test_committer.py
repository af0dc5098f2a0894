"""In what order, and when, the one writer commits what waits for it; no clock decides."""

from __future__ import annotations

import threading
import time
import uuid
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from warehouse import committer as committer_module
from warehouse import consents, queue
from warehouse.committer import Committer
from warehouse.disk import DiskReserve
from warehouse.engine import reading
from warehouse.staging import Arrival, Staged
from warehouse.tickets import REMEMBERED_COMMITS, TICKET_EVENTS, Ticket, most_beside_short
from warehouse.watch import KnownConsents

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine


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


ALL_AT_ONCE = [[1, TICKET_EVENTS, TICKET_EVENTS, TICKET_EVENTS]]


@pytest.mark.parametrize(
    ("remembered", "commits"),
    [(1e9, [[1, TICKET_EVENTS], [TICKET_EVENTS], [TICKET_EVENTS]]), (0.0, ALL_AT_ONCE)],
)
def test_short_ticket_is_written_first_and_beside_little_where_more_of_them_may_come(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, remembered: float, commits: list[list[int]]
) -> None:
    monkeypatch.setattr(committer_module, "_REMEMBER_SECONDS", remembered)
    writer = HeldWriter(engine)

    writer.committer.submit(*tickets(TICKET_EVENTS, TICKET_EVENTS, TICKET_EVENTS))
    writer.committer.submit(*tickets(1))

    assert writer.write() == commits


def test_where_every_commit_takes_long_more_goes_beside_a_short_ticket(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer_module, "_REMEMBER_SECONDS", 1e9)
    monkeypatch.setattr(committer_module, "perf_counter", count(0, 0.3).__next__)
    writer = HeldWriter(engine)
    writer.committer._took.extend([0.3] * REMEMBERED_COMMITS)

    writer.committer.submit(*tickets(TICKET_EVENTS, TICKET_EVENTS, TICKET_EVENTS))
    writer.committer.submit(*tickets(1))

    assert writer.write() == ALL_AT_ONCE


@pytest.mark.parametrize("dear_us", [0, 60, 150])
def test_however_dear_an_event_is_a_database_that_is_near_gets_no_more_of_them(
    dear_us: int,
) -> None:
    took, most = [0.01] * REMEMBERED_COMMITS, TICKET_EVENTS
    for _ in range(50):
        took = [0.01 + most * dear_us / 1e6] * REMEMBERED_COMMITS
        most = most_beside_short(took)

    assert most == TICKET_EVENTS


def test_probe_is_written_after_other_work_of_its_commit(engine: Engine) -> None:
    writer = HeldWriter(engine)

    def look(connection: Any) -> None:
        seen.append("probe" in consents.counters(connection))

    seen: list[bool] = []
    writer.committer.submit(Ticket(work=queue.probe), Ticket(work=look))
    writer.write()

    assert seen == [False]
    with reading(engine) as connection:
        assert "probe" in consents.counters(connection)


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


@pytest.mark.parametrize(("remembered", "serves"), [(1e9, True), (0.0, False)])
def test_writer_remembers_for_a_moment_that_short_tickets_come(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, remembered: float, *, serves: bool
) -> None:
    monkeypatch.setattr(committer_module, "_REMEMBER_SECONDS", remembered)
    writer = HeldWriter(engine)
    writer.committer.submit(*tickets(1))
    writer.write()

    assert writer.committer.serves_short is serves
