"""Clients that are killed, forked, restarted and many: every accepted event arrives once."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.tracking.plain_server import Fault

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.unit.tracking.plain_server import PlainServer
    from tracking.collector import EventCollector
    from tracking.privacy import PrivacyManager
    from tracking.schema import MatchProposedEvent

    Start = Callable[..., subprocess.Popen[str]]
    Make = Callable[..., EventCollector]
    MakeEvent = Callable[..., MatchProposedEvent]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")

PROLOGUE = """
import os, sys, time
from tracking.collector import EventCollector
from tracking.privacy import PrivacyManager
from tracking.schema import MatchProposedEvent

privacy = PrivacyManager(cache_seconds=60)

def collect(collector, name):
    event = MatchProposedEvent(user_id="ana", match_id=name, match_score=0.5)
    assert collector.collect_event(event) is True
"""

KILLED = """
collector = EventCollector(privacy, linger_seconds=float(sys.argv[1]))
for number in range(1_000_000):
    collect(collector, f"{os.getpid()}-{number}")
    print(f"{os.getpid()}-{number}", flush=True)
"""

FORKING = """
collector = EventCollector(privacy, close_seconds=20.0)
for number in range(50):
    collect(collector, f"parent-{number}")
time.sleep(float(sys.argv[2]))
children = []
for child in range(3):
    process = os.fork()
    if process == 0:
        for number in range(100):
            collect(collector, f"child-{child}-{number}")
        assert collector.counters.accepted == 100, collector.counters
        if sys.argv[1] == "abrupt":
            os._exit(0)
        sys.exit(0)
    children.append(process)
for number in range(50, 100):
    collect(collector, f"parent-{number}")
for process in children:
    assert os.waitpid(process, 0)[1] == 0
assert collector.flush(20)
counters = collector.counters
assert (counters.accepted, counters.waiting) == (100, 0), counters
"""

SHARING = """
collector = EventCollector(privacy, batch_events=20, close_seconds=20.0)
for number in range(300):
    collect(collector, f"{sys.argv[1]}-{number}")
assert collector.flush(20)
"""


def names(server: PlainServer) -> list[str]:
    """Names of the stored events, one an event."""
    return sorted(event["match_id"] for event in server.state.events.values())


@pytest.mark.parametrize("linger", ["60", "0.01"], ids=["before sending", "while sending"])
def test_events_accepted_by_a_killed_process_arrive_once(
    server: PlainServer, start_script: Start, make_collector: Make, linger: str
) -> None:
    server.grant("ana")
    accepted: list[str] = []
    for _ in range(2):
        process = start_script(PROLOGUE + KILLED, linger)
        assert process.stdout is not None
        before = len(accepted)
        while len(accepted) < before + 500:
            accepted.append(process.stdout.readline().strip())
        process.send_signal(signal.SIGKILL)
        accepted += process.stdout.read().split("\n")[:-1]

    collector = make_collector()

    assert collector.flush(20) is True
    stored = names(server)
    assert sorted(set(accepted) & set(stored)) == sorted(accepted)
    assert len(set(stored)) == len(stored)
    assert len(stored) <= len(accepted) + 2  # accepted, and killed before it could say so


def test_killed_process_does_not_delay_what_it_had_claimed(
    server: PlainServer, start_script: Start, make_collector: Make
) -> None:
    server.grant("ana")
    server.state.faults = [Fault(delay_seconds=30)]
    process = start_script(PROLOGUE + KILLED, "0.01")
    while not server.state.batch_sizes:
        time.sleep(0.01)
    process.kill()
    process.wait()
    begun = time.monotonic()

    assert make_collector().flush(20) is True

    assert time.monotonic() - begun < 15
    assert len(server.state.events) >= 1


@pytest.mark.parametrize("end", ["clean", "abrupt"])
@pytest.mark.parametrize("pause", ["0", "0.06"], ids=["at once", "while sending"])
def test_events_of_forked_processes_arrive_once(
    server: PlainServer, start_script: Start, end: str, pause: str
) -> None:
    server.grant("ana")

    process = start_script(PROLOGUE + FORKING, end, pause)

    assert process.wait(60) == 0
    children = [f"child-{child}-{number}" for child in range(3) for number in range(100)]
    assert names(server) == sorted(children + [f"parent-{number}" for number in range(100)])
    if end == "clean":  # an abrupt end may cut a reply off
        assert set(server.state.arrivals.values()) == {1}


def test_processes_that_share_a_spool_send_each_event_once(
    server: PlainServer, start_script: Start
) -> None:
    server.grant("ana")

    processes = [start_script(PROLOGUE + SHARING, str(number)) for number in range(3)]

    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert names(server) == sorted(f"{p}-{n}" for p in range(3) for n in range(300))
    assert set(server.state.arrivals.values()) == {1}


def test_end_of_a_process_sends_what_it_accepted(server: PlainServer, start_script: Start) -> None:
    server.grant("ana")

    process = start_script(
        PROLOGUE + 'collector = EventCollector(privacy)\ncollect(collector, "last")'
    )

    assert process.wait(30) == 0
    assert names(server) == ["last"]


def test_restarted_process_sends_what_the_last_one_left_without_a_new_event(
    server: PlainServer, start_script: Start, make_collector: Make
) -> None:
    server.grant("ana")
    script = """
collector = EventCollector(privacy)
privacy.has_consent("ana")
print("ready", flush=True)
time.sleep(0.5)
collect(collector, "left")
"""
    process = start_script(PROLOGUE + script)
    assert process.stdout is not None
    process.stdout.readline()
    server.stop()
    assert process.wait(30) == 0
    server.start()

    make_collector()

    deadline = time.monotonic() + 60
    while not server.state.events and time.monotonic() < deadline:
        time.sleep(0.02)
    assert names(server) == ["left"]


def test_forked_child_reads_consent_anew(server: PlainServer, privacy: PrivacyManager) -> None:
    server.grant("ana")
    assert privacy.has_consent("ana")
    server.state.consents.clear()

    child = os.fork()
    if child == 0:
        os._exit(int(privacy.has_consent("ana")))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert privacy.has_consent("ana") is True


def in_child(check: Callable[[], bool]) -> bool:
    """Fork, and return what a check says in the child; False when it does not end."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if check() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not list files")
def test_forked_child_has_no_file_of_the_spool_open(
    server: PlainServer, make_collector: Make, make_event: MakeEvent
) -> None:
    def open_files() -> str:
        links = Path("/proc/self/fd").iterdir()
        return " ".join(name for link in links if "spool.db" in (name := os.path.realpath(link)))

    server.grant("ana")
    collector = make_collector(linger_seconds=0)
    for _ in range(30):  # while the sender claims, sends, settles, or is about to
        assert collector.collect_event(make_event())
        assert "spool.db" in open_files()

        assert in_child(lambda: open_files() == "")

    assert collector.flush()
    assert set(server.state.arrivals.values()) == {1}


def test_forked_child_waits_for_no_lock_of_a_thread_that_it_does_not_have(
    server: PlainServer, make_collector: Make, make_event: MakeEvent, privacy: PrivacyManager
) -> None:
    server.grant("ana")
    collector = make_collector()
    assert collector.collect_event(make_event())
    assert collector.flush()
    sender = collector._sender
    event = make_event()

    with collector._tally._lock, privacy._remembered._lock, sender._starting:
        assert in_child(lambda: collector.collect_event(event) and collector.flush(10))

    assert len(server.state.events) == 2
