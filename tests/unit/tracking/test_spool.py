"""The spool by itself: bounds, claims, threads."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.tracking.spools import DAY, NOW, SetClock, claim, open_spool
from tracking import owners
from tracking.collector import EventCollector
from tracking.errors import SpoolFull, SpoolUnusable
from tracking.privacy import PrivacyManager
from tracking.reserve import SLACK_BYTES
from tracking.spool import MOST_REFUSED, Refusal, Spool
from tracking.spoolfile import default_path

if TYPE_CHECKING:
    pass


def test_events_are_claimed_oldest_first_up_to_number_and_size(spool: Spool) -> None:
    for number in range(5):
        spool.append("ana", b"x" * 99 + str(number).encode())

    assert [body[-1:] for body in claim(spool, limit=3)] == [b"0", b"1", b"2"]
    spool.release()
    assert len(claim(spool, max_bytes=250)) == 2
    spool.release()
    assert len(claim(spool, max_bytes=1)) == 1


def test_claimed_event_is_nobody_elses_until_it_is_released(
    spool: Spool, tmp_path: Path, clock: SetClock
) -> None:
    other = open_spool(tmp_path, clock=clock)
    spool.append("ana", b"1")
    spool.append("ana", b"2")

    assert claim(spool) == [b"1", b"2"]
    assert claim(other) == []
    spool.release()

    assert claim(other) == [b"1", b"2"]
    other.close()


def test_claim_ends_with_its_lease(spool: Spool, tmp_path: Path, clock: SetClock) -> None:
    other = open_spool(tmp_path, clock=clock)
    spool.append("ana", b"1")
    claim(spool)

    clock.calendar += 10 * DAY  # put right
    assert claim(other) == []
    clock.pass_by(59)
    assert claim(other) == []
    clock.pass_by(2)
    assert claim(other) == [b"1"]
    spool.settle([])

    assert spool.count() == 1  # what another took over is not settled by the first
    other.close()


def test_claim_ends_with_its_process(spool: Spool) -> None:
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    spool.append("ana", b"1")
    spool.owner = f"{dead.pid}.0"
    claim(spool)
    dead.wait()
    spool.owner = owners.new()

    assert claim(spool) == [b"1"]


def test_claim_of_an_earlier_process_with_our_number_ends(spool: Spool) -> None:
    spool.append("ana", b"1")
    earlier = spool.owner
    claim(spool)
    owners.discard(earlier)
    spool.owner = owners.new()

    assert claim(spool) == [b"1"]


def test_process_that_is_dead_but_not_waited_for_does_not_live() -> None:
    zombie = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    assert zombie.stdout is not None
    zombie.stdout.read()

    for _ in range(100):
        if not owners.lives(f"{zombie.pid}.0"):
            break
        threading.Event().wait(0.02)
    else:
        pytest.fail("it counts as alive")
    zombie.wait()
    zombie.stdout.close()


def test_full_spool_has_room_again_when_events_left(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=200_000)

    def fill() -> None:
        for _ in range(10_000):
            spool.append("ana", b"x" * 500)

    with pytest.raises(SpoolFull):
        fill()
    accepted = spool.count()

    while claim(spool):
        spool.settle([])
    spool.append("ana", b"x" * 500)

    assert 200 < accepted < 400
    assert spool.count() == 1
    spool.close()


def test_refused_events_are_bounded_and_the_newest_stay(spool: Spool) -> None:
    for number in range(MOST_REFUSED + 10):
        spool.append("ana", str(number).encode())
    taken = spool.claim(limit=10_000, max_bytes=10**9, lease_seconds=60)

    discarded = spool.settle([Refusal(event.seq, "rating", "must be less") for event in taken])

    assert discarded == 10
    refused = spool.refused()
    assert (len(refused), spool.count()) == (MOST_REFUSED, 0)
    assert refused[-1] == (NOW, str(MOST_REFUSED + 9).encode(), "rating", "must be less")


def test_refused_events_of_others_take_no_room(spool: Spool, tmp_path: Path) -> None:
    other = open_spool(tmp_path, "elsewhere")

    def refuse(spool: Spool, count: int, user_id: str) -> int:
        for _ in range(count):
            spool.append(user_id, b"x")
        taken = spool.claim(limit=10_000, max_bytes=10**9, lease_seconds=60)
        return spool.settle([Refusal(event.seq, "rating", "must be less") for event in taken])

    assert refuse(spool, 600, "ana") == 0
    assert refuse(other, MOST_REFUSED, "bob") == 0
    assert refuse(spool, 400, "cyd") == 0
    spool.drop_user("cyd")
    assert refuse(spool, 400, "ana") == 0

    assert (len(spool.refused()), len(other.refused())) == (MOST_REFUSED, MOST_REFUSED)
    other.close()


def test_threads_append_claim_and_settle_without_loss(
    spool: Spool, tmp_path: Path, clock: SetClock
) -> None:
    other = open_spool(tmp_path, clock=clock)  # of the same machine: a claim lasts for both
    sent: list[bytes] = []

    def collect(thread: int) -> None:
        for number in range(200):
            spool.append("ana", f"{thread}-{number}".encode())

    def send(spool: Spool) -> None:
        while not done.is_set() or spool.count():
            sent.extend(claim(spool, limit=17))
            spool.settle([])

    done = threading.Event()
    with ThreadPoolExecutor(6) as pool:
        senders = [pool.submit(send, each) for each in (spool, other)]
        for collected in [pool.submit(collect, thread) for thread in range(4)]:
            collected.result()
        done.set()
        for sender in senders:
            sender.result()

    assert sorted(sent) == sorted(f"{t}-{n}".encode() for t in range(4) for n in range(200))
    other.close()


COUNT = """
import sys
from pathlib import Path
from tracking.spool import Spool
spool = Spool(Path(sys.argv[1]), "here", max_bytes=10_000_000, fsync=False)
print(spool.count())
spool.close()
"""


def count_elsewhere(directory: Path) -> int:
    """Open the spool in another process, count and close it."""
    command = [sys.executable, "-c", COUNT, str(directory / "spool.db")]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


def test_two_spools_of_a_process_lose_nothing_when_another_process_closes_its_own(
    spool: Spool, tmp_path: Path, clock: SetClock
) -> None:
    spool.append("ana", b"1")
    other = open_spool(tmp_path, clock=clock)
    other.append("ana", b"2")
    assert count_elsewhere(tmp_path) == 2

    spool.append("ana", b"3")
    other.append("ana", b"4")
    other.close()
    spool.append("ana", b"5")

    assert count_elsewhere(tmp_path) == 5


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not list files")
def test_call_after_the_close_leaves_no_file_open(spool: Spool, tmp_path: Path) -> None:
    spool.append("ana", b"1")
    spool.close()

    assert claim(spool) == [b"1"]

    links = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert [link for link in links if str(tmp_path) in link] == []


def test_spool_that_another_holds_too_long_is_refused_not_waited_for(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracking.spoolfile.LOCK_SECONDS", 0.1)
    spool.append("ana", b"1")
    other = sqlite3.connect(tmp_path / "spool.db", isolation_level=None)
    spool._shut()
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(SpoolUnusable, match="SQLITE_BUSY"):
        spool.append("ana", b"2")

    other.execute("ROLLBACK")
    other.close()
    spool.append("ana", b"2")
    assert spool.count() == 2


def test_spool_of_another_version_is_left_as_it_is(spool: Spool, tmp_path: Path) -> None:
    spool.append("ana", b"1")
    spool.close()
    with sqlite3.connect(tmp_path / "spool.db") as connection:
        connection.execute("PRAGMA user_version = 3")
    connection.close()

    with pytest.raises(SpoolUnusable, match="another version"):
        spool.append("ana", b"2")
    with sqlite3.connect(tmp_path / "spool.db") as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()


@pytest.mark.parametrize("fsync", [False, True])
def test_durability_is_as_documented(tmp_path: Path, fsync: bool) -> None:
    spool = Spool(tmp_path / "spool.db", "here", max_bytes=10**6, fsync=fsync)
    spool.append("ana", b"1")

    with spool._locked() as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
        (secure_delete,) = connection.execute("PRAGMA secure_delete").fetchone()

    assert (mode, synchronous, secure_delete) == ("wal", 2 if fsync else 1, 1)
    spool.close()


def test_file_shrinks_when_it_is_empty(spool: Spool, tmp_path: Path) -> None:
    for _ in range(2_000):
        spool.append("ana", b"x" * 4_000)
    while claim(spool, limit=1_000, max_bytes=10**8):
        spool.settle([])

    spool.tidy()

    assert (tmp_path / "spool.db").stat().st_size < 100_000
    assert (tmp_path / "spool.db-wal").stat().st_size == 0


@pytest.mark.parametrize("max_bytes", [100_000, 2_000_000])
def test_full_spool_and_its_log_stay_near_their_size(tmp_path: Path, max_bytes: int) -> None:
    def fill() -> None:
        while True:
            spool.append("ana", b"x" * 300)

    def size() -> int:
        return sum(path.stat().st_size for path in tmp_path.iterdir())

    spool = open_spool(tmp_path, max_bytes=max_bytes)
    with pytest.raises(SpoolFull):
        fill()
    sizes = [size()]
    while claim(spool):
        spool.settle([])
        sizes.append(size())

    assert max(sizes) < 1.5 * max_bytes + SLACK_BYTES + 200_000
    spool.close()


def test_log_that_a_dead_process_left_is_emptied_by_the_next(spool: Spool, tmp_path: Path) -> None:
    spool.append("ana", b"zenobia-4711")
    claim(spool)
    spool.settle([])
    left = tmp_path / "left"
    left.mkdir()
    for name in ("spool.db", "spool.db-wal"):
        shutil.copy(tmp_path / name, left / name)
    assert b"zenobia-4711" in (left / "spool.db-wal").read_bytes()

    with EventCollector(PrivacyManager("http://127.0.0.1:9"), spool=left / "spool.db"):
        assert all(b"zenobia-4711" not in path.read_bytes() for path in left.iterdir())


def test_default_place_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_SPOOL", "/somewhere/spool.db")
    assert str(default_path()) == "/somewhere/spool.db"
    monkeypatch.delenv("SMARTMATCH_SPOOL")
    assert default_path() == tmp_path / "data" / "spool" / "events.db"
    monkeypatch.delenv("SMARTMATCH_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert str(default_path()) == "/state/smartmatch/events.db"


def test_directory_holds_the_file_by_its_usual_name(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "here", max_bytes=10**6, fsync=False)
    spool.append("ana", b"1")

    assert spool.path == tmp_path / "events.db"
    assert spool.path.is_file()
    spool.close()
