"""No error of one round ends a thread that the server stands on: what comes later goes on."""

from __future__ import annotations

import errno
import io
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from ingest import access_log
from ingest.access_log import AccessLog
from ingest.hot import EventRoute
from schemas.errors import NotReady
from schemas.events import EventKind
from tests.committing import held_up
from tests.histories import admit, make_row
from tests.serving import allow, client_of, proposed
from warehouse import watch as watching
from warehouse.committer import Committer
from warehouse.disk import DiskReserve
from warehouse.engine import connect, is_postgres, writing
from warehouse.staging import Arrival, Outcome, Staged
from warehouse.tickets import Ticket
from warehouse.watch import KnownConsents
from warehouse.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr
    from sqlalchemy import Engine

    from schemas.settings import Settings

PROPOSED = "/api/tracking/event/match-proposed"
NAMED = "candidate-4711"
"""What an error may say of somebody, and no log."""


class Told:
    """Tickets whose fate is known; telling the first ones fails, if so wanted."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.tickets: list[Ticket] = []
        self.changed = threading.Condition()

    def __call__(self, tickets: list[Ticket]) -> None:
        with self.changed:
            self.tickets += tickets
            self.changed.notify()
            if self.failures:
                self.failures -= 1
                raise RuntimeError

    def wait(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.tickets) >= count, 60)


def raising(error: Exception, times: int = 1) -> Callable[..., Any]:
    """Return a function that raises an error so many times, and then does nothing."""
    left = [error] * times

    def fail(*_: object) -> int:
        if left:
            raise left.pop()
        return 0

    return fail


def writer(engine: Engine, told: Told, **given: Any) -> Committer:
    calls = {"observed": lambda *_: None} | given
    reserve = DiskReserve(engine, 0)
    return Committer(engine, KnownConsents(), reserve, queue_events=100, settled=told, **calls)


ERRORS = [OSError(errno.EMFILE, "Too many open files"), KeyError(NAMED), MemoryError()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["work", "observed", "worked"])
def test_no_error_ends_the_writer_and_none_is_logged_with_what_it_says(
    engine: Engine, error: Exception, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    fail = raising(error)
    committer = writer(engine, told, **({} if where == "work" else {where: fail}))
    committer.submit(Ticket(work=fail if where == "work" else lambda _connection: 1))
    told.wait(1)
    committer.submit(Ticket(work=lambda _connection: 2))
    told.wait(2)
    alive, waiting = committer.alive, committer.waiting
    committer.close()

    assert alive
    assert waiting == 0
    assert [type(ticket.error).__name__ for ticket in told.tickets] == ["NotReady", "NoneType"]
    assert told.tickets[1].result == 2
    assert type(error).__name__ in caplog.text
    assert NAMED not in caplog.text


def test_what_a_request_fails_by_is_logged_by_its_class_and_place(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fail = raising(OSError(errno.EIO, NAMED), times=20)
    monkeypatch.setattr(EventRoute, "handle", fail)
    monkeypatch.setattr("ingest.people.consents.find", fail)

    with client_of(settings) as client:
        hot = client.post(PROPOSED, json=proposed()).status_code
        cold = client.get("/api/tracking/consent/u1").status_code

    assert (hot, cold) == (503, 503)
    assert caplog.text.count("OSError at test_ingest_endurance.py:") >= 2
    assert NAMED not in caplog.text


def test_a_writer_that_can_tell_nobody_goes_on(engine: Engine) -> None:
    told = Told(failures=1)
    committer = writer(engine, told)
    committer.submit(Ticket(work=lambda _connection: 1))
    told.wait(1)
    committer.submit(Ticket(work=lambda _connection: 2))
    told.wait(2)
    waiting = committer.waiting
    committer.close()

    assert waiting == 0
    assert [ticket.result for ticket in told.tickets] == [1, 2]


def test_a_disk_that_does_not_answer_once_costs_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    statvfs, calls = os.statvfs, []

    def fail_once(path: Any) -> os.statvfs_result:
        calls.append(path)
        if len(calls) == 1:
            raise OSError(errno.EIO, "Input/output error")
        return statvfs(path)

    with client_of(settings) as client:
        allow(client)
        monkeypatch.setattr("os.statvfs", fail_once)
        answers = [client.post(PROPOSED, json=proposed()).status_code for _ in range(2)]

    assert answers == [200, 200]


def test_a_watch_that_cannot_read_says_so_and_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_witness: Witness) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(watching, "_BLIND_SECONDS", 1.0)
    with client_of(settings) as client:
        allow(client)
        before = client.get("/ready").status_code
        with monkeypatch.context() as patched:
            patched.setattr(Witness, "stamp", fail)
            time.sleep(1.5)
            blind = client.get("/ready").status_code, client.post(PROPOSED, json=proposed())
        allow(client)
        after = client.get("/ready").status_code, client.post(PROPOSED, json=proposed())

    assert (before, blind[0], blind[1].status_code) == (200, 503, 503)
    assert (after[0], after[1].status_code) == (200, 200)
    said = [record.getMessage() for record in caplog.records if record.name == "smartmatch.watch"]
    assert said == ["Consents and keys could not be read: OSError"]


class FullOnce(io.StringIO):
    """A stream whose disk is full when first written to."""

    full = True

    def flush(self) -> None:
        if self.full:
            self.full = False
            self.truncate(0)
            self.seek(0)
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_that_takes_no_line_once_takes_the_next() -> None:
    stream = FullOnce()
    log = AccessLog(stream)
    log.note("GET", "/lost", 200, 0.001)
    deadline = time.monotonic() + 60
    while stream.full and time.monotonic() < deadline:
        time.sleep(0.05)
    log.note("GET", "/kept", 200, 0.001)
    while "/kept" not in stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.05)
    kept = stream.getvalue()
    log.close()

    assert '"route":"/kept"' in kept
    assert "/lost" not in kept


def arrival(number: int, **given: Any) -> Arrival:
    row = make_row(EventKind.VIEWED, subject=1, **given) | {"event_id": number.to_bytes(16, "big")}
    return Arrival(Staged(**row), bytes(16), (b"p" * 32,))


def test_events_are_told_in_time_while_somebody_else_writes(
    engine: Engine, database_url: SecretStr
) -> None:
    admit(engine, [1])
    told = Told()
    impatient = connect(database_url, busy_timeout_ms=100)
    committer = writer(impatient, told)
    with writing(engine) as connection:
        if is_postgres(engine):
            connection.exec_driver_sql("LOCK TABLE receipts IN EXCLUSIVE MODE")
        committer.submit(Ticket(arrivals=[arrival(1)]))
        told.wait(1)
    committer.submit(Ticket(arrivals=[arrival(1)]))
    told.wait(2)
    committer.close()
    impatient.dispose()

    refused, stored = told.tickets
    assert isinstance(refused.error, NotReady)
    assert (stored.error, stored.outcomes) == (None, [Outcome.STORED])


def test_an_event_that_cannot_be_stored_takes_no_other_with_it(engine: Engine) -> None:
    admit(engine, [1])
    told = Told()
    committer = writer(engine, told)
    tickets = [Ticket(arrivals=[arrival(n, match_key=n or 1 << 70)]) for n in range(3)]
    with held_up(committer):
        committer.submit(*tickets)
    told.wait(4)
    committer.close()

    bad, *good = tickets
    assert isinstance(bad.error, NotReady)
    assert [(one.error, one.outcomes) for one in good] == [(None, [Outcome.STORED])] * 2


class Unread(io.StringIO):
    """A stream that takes nothing, as a pipe that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.read = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        self.read.wait(60)
        return super().write(text)


def test_a_log_that_nobody_reads_keeps_no_process_from_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access_log, "_PATIENCE_SECONDS", 0.05)
    stream = Unread()
    log = AccessLog(stream)
    log.note("GET", "/unread", 200, 0.001)
    assert stream.entered.wait(30)
    log.note("GET", "/lost", 200, 0.001)
    closing = threading.Thread(target=log.close, daemon=True)
    closing.start()
    closing.join(20)
    ended = not closing.is_alive()
    stream.read.set()

    assert ended
