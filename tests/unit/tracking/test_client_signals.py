"""A signal handler that collects while the thread that it interrupts does so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tracking import spoolfile

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.unit.tracking.plain_server import PlainServer
    from tracking.collector import EventCollector
    from tracking.schema import MatchProposedEvent


def test_call_that_interrupts_one_that_writes_is_answered_at_once(
    server: PlainServer,
    collector: EventCollector,
    make_event: Callable[..., MatchProposedEvent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.grant("ana")
    assert collector.collect_event(make_event())
    answers, took = [], []
    reserve = collector._spool._reserve
    keep = reserve.keep
    monkeypatch.setattr(spoolfile, "LOCK_SECONDS", 60.0)

    def interrupted() -> None:
        monkeypatch.setattr(reserve, "keep", keep)
        begun = time.monotonic()
        answers.append(collector.collect_event(make_event(match_id="handler")))
        took.append(time.monotonic() - begun)
        keep()

    monkeypatch.setattr(reserve, "keep", interrupted)

    assert collector.collect_event(make_event(match_id="interrupted")) is True

    assert answers == [False]
    assert max(took) < 30
    assert (collector.counters.accepted, collector.counters.spool_unusable) == (2, 1)
    assert collector.flush()
    assert len(server.state.events) == 2


def test_call_that_interrupts_one_that_counts_or_remembers_waits_for_nobody(
    server: PlainServer, collector: EventCollector, make_event: Callable[..., MatchProposedEvent]
) -> None:
    server.grant("ana")

    with collector._tally._lock, collector._privacy._remembered._lock:
        assert collector.collect_event(make_event()) is True
