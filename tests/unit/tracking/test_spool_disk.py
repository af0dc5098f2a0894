"""A spool whose disk is full: what was accepted is sent from it nonetheless."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.tracking.plain_server import Fault
from tests.unit.tracking.spools import claim, open_spool
from tracking import reserve
from tracking.collector import EventCollector
from tracking.errors import SpoolFull
from tracking.privacy import PrivacyManager
from tracking.schema import MatchFeedbackEvent
from tracking.spool import Refusal, Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.unit.tracking.plain_server import PlainServer
    from tracking.schema import MatchProposedEvent

DISK_BYTES = 8 * 1024 * 1024


class FullDisk:
    """Refuses what SQLite writes, as long as the spool's reserve holds the last of the disk."""

    def __init__(self, directory: Path) -> None:
        self.full = False
        self.refused = 0
        self._reserve = directory / "spool.db.reserve"

    @property
    def reserve_bytes(self) -> int:
        return self._reserve.stat().st_size

    def check(self, statement: str) -> None:
        writes = statement.startswith(("INSERT", "UPDATE", "DELETE", "REPLACE", "VACUUM"))
        if self.full and writes and self.reserve_bytes:
            self.refused += 1
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    disk = FullDisk(tmp_path)

    class Connection(sqlite3.Connection):
        def execute(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
            disk.check(statement)
            return super().execute(statement, *arguments)

        def executemany(self, statement: str, *arguments: Any) -> sqlite3.Cursor:
            disk.check(statement)
            return super().executemany(statement, *arguments)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Connection))
    return disk


def test_full_disk_takes_no_event_and_gives_all_it_has(tmp_path: Path, disk: FullDisk) -> None:
    spool = open_spool(tmp_path)
    for number in range(5):
        spool.append(f"person-{number}", str(number).encode())
    held = disk.reserve_bytes
    disk.full = True

    with pytest.raises(SpoolFull):
        spool.append("ana", b"x")
    assert spool.drop_user("person-4") == 1
    assert claim(spool, limit=1) == [b"0"]
    spool.release()
    assert claim(spool, limit=3) == [b"0", b"1", b"2"]
    assert spool.settle([Refusal(1, "rating", "must be less")]) == 0
    assert disk.reserve_bytes == held
    assert spool.expire(-1.0) == 1
    spool.tidy()

    assert spool.count() == 0
    assert disk.refused >= 6
    spool.close()


def test_nothing_is_accepted_where_the_reserve_has_no_room(
    tmp_path: Path,
    server: PlainServer,
    make_event: Callable[..., MatchProposedEvent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.grant("ana")
    monkeypatch.setattr(reserve, "free_bytes", lambda _: 100_000)
    with PrivacyManager() as privacy:
        collector = EventCollector(privacy, spool=tmp_path / "spool.db")
        strict = EventCollector(privacy, spool=tmp_path / "spool.db", strict=True)

        assert collector.collect_event(make_event()) is False
        with pytest.raises(SpoolFull, match="the disk is full"):
            strict.collect_event(make_event())
        counted = collector.counters
        monkeypatch.undo()
        monkeypatch.setenv("SMARTMATCH_URL", server.url)

        assert (counted.spool_full, counted.accepted, counted.waiting) == (1, 0, 0)
        assert collector.collect_event(make_event()) is True
        assert (tmp_path / "spool.db.reserve").stat().st_size > reserve.SLACK_BYTES
        strict.close()
        collector.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of eight megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a disk of its own can be mounted by root only, and not in every sandbox")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(collector: EventCollector, disk: Path) -> int:
    """Collect until nothing is accepted, then let others take the rest; how many were accepted."""
    accepted = refused = 0
    while refused < 20:
        event = MatchFeedbackEvent(
            user_id="ana", match_id=f"m-{accepted}", rating=3, feedback_text="x" * 2_000
        )
        taken = collector.collect_event(event)
        accepted, refused = accepted + taken, refused + (not taken)
    assert collector.counters.spool_full == 20
    with collector._spool._locked():  # not in a moment in which a step has the reserve
        take_the_rest(disk)
    return accepted


def take_the_rest(disk: Path) -> None:
    with suppress(OSError), (disk / "others").open("ab", 0) as file:
        while True:
            file.write(b"x" * 1_024)


@pytest.mark.parametrize("end", ["none", "closed", "killed"])
def test_spool_that_filled_its_disk_is_sent_when_the_server_is_back(
    server: PlainServer, small_disk: Path, end: str
) -> None:
    server.grant("ana")
    privacy = PrivacyManager(cache_seconds=600)
    collector = EventCollector(privacy, spool=small_disk, close_seconds=0.1)
    server.state.faults = [Fault(status=503)] * 10_000
    if end == "killed":
        accepted = fill_and_die(collector, small_disk)
    else:
        accepted = fill(collector, small_disk)
    if end == "closed":
        collector.close()
        take_the_rest(small_disk)
    server.state.faults.clear()

    if end == "closed":
        collector = EventCollector(privacy, spool=small_disk)
    assert collector.flush(60) is True

    names = sorted(event["match_id"] for event in server.state.events.values())
    assert names == sorted(f"m-{number}" for number in range(accepted))
    assert accepted > 500
    (small_disk / "others").unlink()
    assert collector.collect_event(MatchFeedbackEvent(user_id="ana", match_id="m", rating=3))
    collector.close()


def fill_and_die(collector: EventCollector, disk: Path) -> int:
    """Fill in another process, which is killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            os.write(writing, str(fill(collector, disk)).encode())
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    os.close(writing)
    with os.fdopen(reading) as file:
        return int(file.read())


def test_step_of_the_sending_writes_less_than_the_reserve(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", "here", max_bytes=300_000, fsync=False)
    for _ in range(40):
        spool.append("ana", b"x" * 5_000)
    spool._deleted = True
    spool.tidy()

    taken = spool.claim(limit=500, max_bytes=10**6, lease_seconds=60)
    claimed = (tmp_path / "spool.db-wal").stat().st_size
    spool.tidy()
    spool.settle([Refusal(event.seq, "rating", "must be less") for event in taken])
    settled = (tmp_path / "spool.db-wal").stat().st_size

    assert 10 < len(taken) < 40
    assert max(claimed, settled) < (tmp_path / "spool.db.reserve").stat().st_size
    spool.close()
