"""The collector of event loops, beside what else uses their threads."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.unit.tracking.plain_server import Fault
from tests.unit.tracking.test_client_processes import in_child
from tracking.asynchronous import AsyncEventCollector

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.tracking.plain_server import PlainServer
    from tracking.privacy import PrivacyManager
    from tracking.schema import MatchProposedEvent

    MakeEvent = Callable[..., MatchProposedEvent]


def test_collecting_waits_neither_for_a_flush_nor_for_the_host(
    server: PlainServer, privacy: PrivacyManager, make_event: MakeEvent, tmp_path: Path
) -> None:
    server.grant("ana")
    server.state.faults = [Fault(status=503)] * 99
    release = threading.Event()

    async def platform() -> list[bool]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(2))
        collector = AsyncEventCollector(privacy, spool=tmp_path / "spool.db", close_seconds=0.1)
        assert await collector.collect_event(make_event())
        busy = [asyncio.to_thread(release.wait, 60.0), *(collector.flush(60.0) for _ in range(2))]
        waiting = [asyncio.ensure_future(one) for one in busy]
        await asyncio.sleep(0.1)

        assert await collector.collect_event(make_event())

        ended = [one.done() for one in waiting]
        release.set()
        server.state.faults = []
        await asyncio.gather(*waiting)
        await collector.close()
        return ended

    assert asyncio.run(platform()) == [False] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_forked_child_collects_in_threads_of_its_own(
    server: PlainServer, privacy: PrivacyManager, make_event: MakeEvent, tmp_path: Path
) -> None:
    server.grant("ana")
    collector = AsyncEventCollector(privacy, spool=tmp_path / "spool.db", close_seconds=1.0)
    event = make_event()
    assert asyncio.run(collector.collect_event(event))

    assert in_child(
        lambda: asyncio.run(collector.collect_event(event)) and asyncio.run(collector.flush(10))
    )

    asyncio.run(collector.close())
    assert not asyncio.run(collector.collect_event(event))
    assert len(server.state.events) == 2


def test_event_for_which_no_thread_can_be_started_is_collected_once(
    server: PlainServer,
    privacy: PrivacyManager,
    make_event: MakeEvent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.grant("ana")
    start = threading.Thread.start

    def no_thread(thread: threading.Thread) -> None:
        if thread.name.startswith("smartmatch-collect"):
            raise RuntimeError("can't start new thread")
        start(thread)

    async def platform() -> tuple[list[bool], int]:
        collector = AsyncEventCollector(privacy, spool=tmp_path / "spool.db", close_seconds=1.0)
        pool, release = collector._collecting, threading.Event()
        pool.submit(release.wait, 60.0)  # its only thread is busy
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            answers = [await collector.collect_event(make_event())]
        release.set()
        await asyncio.to_thread(pool.shutdown)
        answers.append(await collector.collect_event(make_event()))
        await collector.close()
        return answers, collector.counters.accepted

    assert asyncio.run(platform()) == ([True, True], 2)
