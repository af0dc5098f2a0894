"""The end of a process, and of a worker of multiprocessing, which ends in a way of its own."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.tracking.plain_server import Fault
from tests.unit.tracking.test_client_processes import PROLOGUE

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.unit.tracking.plain_server import PlainServer
    from tracking.collector import EventCollector
    from tracking.schema import MatchProposedEvent

    Start = Callable[..., subprocess.Popen[str]]

WORKERS = """
import multiprocessing

def work(collector, close):
    collector = collector or EventCollector(privacy, close_seconds=20.0)
    for number in range(20):
        collect(collector, f"{os.getpid()}-{number}")
    if close:
        collector.close()

inherited = EventCollector(privacy, close_seconds=20.0) if sys.argv[1] == "inherited" else None
fork = multiprocessing.get_context("fork")
workers = [fork.Process(target=work, args=(inherited, sys.argv[2] == "close")) for _ in range(2)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
    assert worker.exitcode == 0
print("ended", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.parametrize("end", ["end", "close"])
@pytest.mark.parametrize("whose", ["inherited", "own"])
def test_worker_of_multiprocessing_sends_what_it_accepted_before_it_ends(
    server: PlainServer, start_script: Start, whose: str, end: str
) -> None:
    server.grant("ana")

    process = start_script(PROLOGUE + WORKERS, whose, end)

    assert process.stdout is not None
    assert process.stdout.readline() == "ended\n"
    assert len(server.state.events) == 40
    assert set(server.state.arrivals.values()) == {1}


def test_close_waits_no_longer_than_it_may_for_a_server_that_keeps_still(
    server: PlainServer,
    make_collector: Callable[..., EventCollector],
    make_event: Callable[..., MatchProposedEvent],
) -> None:
    server.grant("ana")
    server.state.faults = [Fault(delay_seconds=60)]
    collector = make_collector(close_seconds=1.0, linger_seconds=0.0)
    assert collector.collect_event(make_event())
    while not server.state.batch_sizes:
        time.sleep(0.01)
    begun = time.monotonic()

    collector.close()

    assert 0.8 < time.monotonic() - begun < 30
