"""Processes that fork while a thread of the client imports a library."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tracking import forking

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.unit.tracking.plain_server import PlainServer

    Start = Callable[..., subprocess.Popen[str]]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")

PROLOGUE = """
import os, signal, sys, threading, time
from tracking.collector import EventCollector
from tracking.privacy import PrivacyManager
from tracking.schema import MatchProposedEvent

signal.alarm(20)
privacy = PrivacyManager()
collector = EventCollector(privacy)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1] and not importing.is_set():
            importing.set()
            while_importing()

def collect(name):
    privacy.record_consent("ana", analytics=True)
    event = MatchProposedEvent(user_id="ana", match_id=name, match_score=0.5)
    assert collector.collect_event(event), collector.counters
    assert collector.flush(10)

importing = threading.Event()
sys.meta_path.insert(0, Finder())
"""

IN_ANOTHER_THREAD = """
def while_importing():
    time.sleep(1)

thread = threading.Thread(target=collect, args=("parent",))
thread.start()
assert importing.wait(10)
child = os.fork()
if child == 0:
    signal.alarm(10)
    collect("child")
    os._exit(0)
thread.join()
assert os.waitpid(child, 0)[1] == 0
"""

IN_THE_SAME_THREAD = """
def while_importing():
    global child
    child = os.fork()
    if child == 0:
        signal.alarm(10)

PrivacyManager().get_consent("ana")
if child == 0:
    collect("child")
    os._exit(0)
collect("parent")
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("library", ["httpx", "httpcore", "encodings.idna", "tenacity"])
def test_child_forked_while_a_thread_imports_goes_on(
    server: PlainServer, start_script: Start, library: str
) -> None:
    process = start_script(PROLOGUE + IN_ANOTHER_THREAD, library)

    assert process.wait(40) == 0
    names = {event["match_id"] for event in server.state.events.values()}
    assert names == {"parent", "child"}


@pytest.mark.parametrize("library", ["httpx", "encodings.idna"])
def test_import_that_forks_waits_for_nobody(
    server: PlainServer, start_script: Start, library: str
) -> None:
    process = start_script(PROLOGUE + IN_THE_SAME_THREAD, library)

    assert process.wait(40) == 0
    names = {event["match_id"] for event in server.state.events.values()}
    assert names == {"parent", "child"}


def test_fork_waits_for_no_import_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "LONGEST_IMPORT_SECONDS", 0.1)
    held, done = threading.Event(), threading.Event()

    def import_for_ever() -> None:
        with forking.imports:
            held.set()
            done.wait()

    thread = threading.Thread(target=import_for_ever)
    thread.start()
    held.wait()

    child = os.fork()
    if child == 0:
        signal.alarm(10)
        with forking.imports:
            os._exit(0)

    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert forking.imports._lock.acquire(blocking=False)
    forking.imports._lock.release()
