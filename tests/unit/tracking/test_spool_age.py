"""What is old in the spool, by clocks that jump, and in files of an earlier version."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.tracking.plain_server import Fault
from tests.unit.tracking.spools import DAY, NOW, SetClock, claim, open_spool
from tracking import spool as spools
from tracking.clock import MOST_OFF_SECONDS, Clock
from tracking.spool import Refusal, Spool

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.tracking.plain_server import PlainServer
    from tracking.collector import EventCollector
    from tracking.schema import MatchProposedEvent

FIRST_VERSION = """
PRAGMA user_version = 1;
CREATE TABLE waiting (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, user_id TEXT NOT NULL,
    spooled_at REAL NOT NULL, body BLOB NOT NULL, owner TEXT, lease_until REAL
);
CREATE INDEX claimed ON waiting (owner, lease_until) WHERE owner IS NOT NULL;
CREATE TABLE refused (
    seq INTEGER PRIMARY KEY, target TEXT NOT NULL, user_id TEXT NOT NULL,
    refused_at REAL NOT NULL, body BLOB NOT NULL, field TEXT NOT NULL, rule TEXT NOT NULL
);
"""


def test_what_was_kept_too_long_is_deleted_by_time_that_passed(
    spool: Spool, clock: SetClock
) -> None:
    spool.append("ana", b"1")
    spool.append("ana", b"2")
    taken = spool.claim(limit=1, max_bytes=100, lease_seconds=60)
    spool.settle([Refusal(taken[0].seq, "rating", "must be less")])
    clock.pass_by(6.9 * DAY)
    spool.append("ana", b"3")

    assert (spool.expire(7 * DAY), len(spool.refused()), spool.count()) == (0, 1, 2)
    clock.pass_by(0.2 * DAY)

    assert (spool.expire(7 * DAY), len(spool.refused()), spool.count()) == (1, 0, 1)


def test_others_collect_between_two_steps_of_the_expiry(
    spool: Spool, clock: SetClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        spool.append("ana", b"1")
    clock.pass_by(7.1 * DAY)
    other = open_spool(tmp_path, clock=clock)
    monkeypatch.setattr(spools, "EXPIRED_AT_ONCE", 2)
    monkeypatch.setattr(spools, "sleep", lambda _seconds: other.append("bob", b"2"))

    assert (spool.expire(7 * DAY), spool.count()) == (5, 2)
    other.close()


@pytest.mark.parametrize("jump", [10 * DAY, 50 * 365 * DAY, -10 * DAY])
def test_calendar_that_jumps_deletes_nothing_early_and_keeps_nothing_longer(
    spool: Spool, clock: SetClock, tmp_path: Path, jump: float
) -> None:
    spool.append("ana", b"1")
    spool.expire(7 * DAY)
    clock.calendar += jump

    assert spool.expire(7 * DAY) == 0
    other = open_spool(tmp_path, clock=clock)  # as another process of this machine
    assert other.expire(7 * DAY) == 0
    clock.pass_by(7.1 * DAY)

    assert other.expire(7 * DAY) == 1
    other.close()


@pytest.mark.parametrize("years", [-50, 50])
def test_boot_with_another_calendar_counts_for_a_day_at_most(
    spool: Spool, clock: SetClock, tmp_path: Path, years: int
) -> None:
    spool.append("ana", b"1")
    spool.expire(7 * DAY)
    spool.close()
    clock.reboot("second", 60, calendar=NOW + years * 365 * DAY)
    other = open_spool(tmp_path, clock=clock)

    assert other.expire(7 * DAY) == 0
    clock.calendar = NOW  # put right
    clock.pass_by(7 * DAY - MOST_OFF_SECONDS - 60)
    assert other.expire(7 * DAY) == 0
    clock.pass_by(MOST_OFF_SECONDS + 61)

    assert other.expire(7 * DAY) == 1
    other.close()


def test_time_that_the_machine_was_off_counts(
    spool: Spool, clock: SetClock, tmp_path: Path
) -> None:
    spool.append("ana", b"1")
    spool.expire(7 * DAY)
    for night in range(7):
        clock.pass_by(0.4 * DAY)
        spool.expire(7 * DAY)
        spool.close()
        clock.reboot(str(night), 0.6 * DAY)
        spool = open_spool(tmp_path, clock=clock)
        assert spool.count() == 1
    clock.pass_by(60)

    assert spool.expire(7 * DAY) == 1
    spool.close()


def test_spool_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "spool.db") as connection:
        connection.executescript(FIRST_VERSION)
        for age in (8, 6):
            row = ("here", "ana", time.time() - age * DAY, b"1")
            connection.execute(
                "INSERT INTO waiting (target, user_id, spooled_at, body) VALUES (?, ?, ?, ?)", row
            )
            connection.execute(
                "INSERT INTO refused (target, user_id, refused_at, body, field, rule)"
                " VALUES (?, ?, ?, ?, 'rating', 'must be less')",
                row,
            )
    connection.close()
    spool = open_spool(tmp_path)

    assert spool.expire(7 * DAY) == 1

    assert (spool.count(), len(spool.refused())) == (1, 1)
    assert claim(spool) == [b"1"]
    spool.close()


def test_clock_of_this_machine_runs_on_and_is_named_alike_everywhere() -> None:
    clock = Clock()
    command = [sys.executable, "-c", "from tracking.clock import Clock; print(Clock().boot)"]

    elsewhere = subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()

    assert (elsewhere == clock.boot) is Path("/proc/sys/kernel/random/boot_id").exists()
    assert 0 <= clock.steady() - clock.steady() + 1 <= 1


def test_event_accepted_by_a_late_clock_survives_its_being_put_right(
    server: PlainServer,
    make_collector: Callable[..., EventCollector],
    make_event: Callable[..., MatchProposedEvent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.grant("ana")
    server.state.faults = [Fault(status=503, retry_after="600")]
    right = time.time
    monkeypatch.setattr("time.time", lambda: right() - 10 * 86_400)
    first = make_collector()
    assert first.collect_event(make_event()) is True
    first.close()
    monkeypatch.setattr("time.time", right)

    second = make_collector()

    assert second.counters.dropped_for_age == 0
    assert second.flush() is True
    assert len(server.state.events) == 1
