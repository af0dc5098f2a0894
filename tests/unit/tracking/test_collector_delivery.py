"""What becomes of accepted events when the server is away, busy, or refuses them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.tracking.plain_server import Fault
from tests.unit.tracking.test_client_docs import PAGE
from tracking.collector import EventCollector
from tracking.privacy import PrivacyManager
from tracking.spool import MOST_REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.tracking.plain_server import PlainServer
    from tracking.schema import MatchProposedEvent

    Make = Callable[..., EventCollector]
    MakeEvent = Callable[..., MatchProposedEvent]


def test_events_accepted_before_an_outage_arrive_once_after_it(
    server: PlainServer, make_collector: Make, make_event: MakeEvent
) -> None:
    server.grant("ana")
    privacy = PrivacyManager(cache_seconds=60)
    collector = make_collector(privacy)
    privacy.has_consent("ana")
    server.stop()

    answers = [collector.collect_event(make_event(match_id=f"m-{i}")) for i in range(50)]
    assert collector.flush(0.2) is False
    server.start()

    assert all(answers)
    assert collector.flush(10) is True
    assert {event["match_id"] for event in server.state.events.values()} == {
        f"m-{i}" for i in range(50)
    }
    assert set(server.state.arrivals.values()) == {1}
    assert collector.counters.failures >= 1


def test_reply_that_is_lost_after_storing_makes_no_second_event(
    server: PlainServer, collector: EventCollector, make_event: MakeEvent
) -> None:
    server.grant("ana")
    server.state.faults = [Fault(lose_reply=True), Fault(lose_reply=True)]

    collector.collect_event(make_event())

    assert collector.flush(10) is True
    assert len(server.state.events) == 1
    assert list(server.state.arrivals.values()) == [3]
    assert collector.counters.duplicate == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(status=401),
        Fault(status=404),
        Fault(status=302),
        Fault(status=400),
        Fault(status=422, body=b'{"detail": "Unprocessable"}'),
        Fault(status=200, body=b"<html>it works</html>"),
        Fault(
            status=200, body=b'{"status": "success", "stored": 9, "duplicate": 0, "refused": []}'
        ),
    ],
    ids=[
        "broken",
        "key refused",
        "no route",
        "moved",
        "a proxy's word",
        "a gateway's word",
        "a proxy's page",
        "another batch's reply",
    ],
)
def test_answer_that_is_no_verdict_loses_nothing(
    server: PlainServer, collector: EventCollector, make_event: MakeEvent, fault: Fault
) -> None:
    server.grant("ana")
    server.state.faults = [fault]

    collector.collect_event(make_event())

    assert collector.flush(10) is True
    assert len(server.state.events) == 1
    assert collector.counters.failures == 1


@pytest.mark.parametrize("status", [429, 503])
def test_server_that_names_a_time_is_left_alone_until_then(
    server: PlainServer, collector: EventCollector, make_event: MakeEvent, status: int
) -> None:
    server.grant("ana")
    server.state.faults = [Fault(status=status, retry_after="1")]

    collector.collect_event(make_event())
    assert collector.flush(10) is True

    first, second = (at for at, _, path in server.state.requests if path.endswith("/events"))
    assert 1.0 <= second - first < 4.0


def test_flush_does_not_wait_for_a_server_that_asked_for_more_patience(
    server: PlainServer, collector: EventCollector, make_event: MakeEvent
) -> None:
    server.grant("ana")
    server.state.faults = [Fault(status=503, retry_after="30")]
    collector.collect_event(make_event())
    begun = time.monotonic()

    assert collector.flush(5) is False

    assert time.monotonic() - begun < 3
    assert collector.counters.waiting == 1


def test_refused_event_is_kept_apart_with_its_reason_and_can_be_sent_again(
    server: PlainServer, collector: EventCollector, make_event: MakeEvent
) -> None:
    server.grant("ana")
    server.state.refuse = {"m-bad": {"field": "occurred_at", "rule": "must not be in the future"}}

    for match_id in ("m-1", "m-bad", "m-2"):
        collector.collect_event(make_event(match_id=match_id))
    assert collector.flush() is True

    assert {event["match_id"] for event in server.state.events.values()} == {"m-1", "m-2"}
    (refused,) = collector.refused_events()
    assert (refused["field"], refused["rule"]) == ("occurred_at", "must not be in the future")
    assert refused["event"]["match_id"] == "m-bad"
    assert collector.counters.rejected == 1
    assert set(server.state.arrivals.values()) == {1}
    server.state.refuse = {}
    assert collector.retry_refused() == 1
    assert collector.flush() is True
    assert (len(server.state.events), collector.refused_events()) == (3, [])


def test_books_balance_when_refused_events_are_sent_again(
    server: PlainServer, collector: EventCollector, make_event: MakeEvent
) -> None:
    server.grant("ana")
    rule = {"field": "occurred_at", "rule": "must not be in the future"}
    server.state.refuse = {"m-bad": rule, "m-worse": rule}

    for match_id in ("m-1", "m-bad", "m-worse"):
        collector.collect_event(make_event(match_id=match_id))
    assert collector.flush() is True
    del server.state.refuse["m-bad"]
    assert collector.retry_refused() == 2
    assert collector.flush() is True

    counted = collector.counters
    assert (counted.accepted, counted.retried) == (3, 2)
    assert (counted.stored, counted.rejected, counted.waiting) == (2, 3, 0)
    assert counted.accepted + counted.retried == counted.stored + counted.rejected


def test_refused_events_that_had_to_make_room_are_counted(
    server: PlainServer, make_collector: Make, make_event: MakeEvent
) -> None:
    server.grant("ana")
    server.state.refuse = {"m-bad": {"field": "match_id", "rule": "must be known"}}
    collector = make_collector()

    for _ in range(MOST_REFUSED + 200):
        assert collector.collect_event(make_event(match_id="m-bad"))
    assert collector.flush(30) is True

    counted = collector.counters
    assert (counted.rejected, counted.refused_discarded) == (MOST_REFUSED + 200, 200)
    assert len(collector.refused_events()) == MOST_REFUSED
    assert f"newest {MOST_REFUSED:,} are kept" in PAGE


def test_event_whose_consent_the_server_refuses_is_dropped_and_counted(
    server: PlainServer, make_collector: Make, make_event: MakeEvent
) -> None:
    server.grant("ana")
    privacy = PrivacyManager(cache_seconds=60)
    privacy.has_consent("ana")
    del server.state.consents["ana"]
    collector = make_collector(privacy)

    collector.collect_event(make_event())
    assert collector.flush() is True

    assert (server.state.events, collector.refused_events()) == ({}, [])
    assert collector.counters.dropped_for_consent == 1
    assert "True means that each event has left the spool for good" in PAGE


@pytest.mark.parametrize("end", [EventCollector.flush, EventCollector.close])
def test_nobody_who_wants_them_sent_now_waits_for_others_to_come(
    server: PlainServer,
    make_collector: Make,
    make_event: MakeEvent,
    end: Callable[[EventCollector], object],
) -> None:
    server.grant("ana")
    collector = make_collector(linger_seconds=60.0)
    collector.collect_event(make_event(match_id="m-1"))
    assert collector.flush() is True
    time.sleep(0.2)  # it waits for the next one

    collector.collect_event(make_event(match_id="m-2"))
    time.sleep(0.2)
    begun = time.monotonic()
    end(collector)

    assert time.monotonic() - begun < 5.0
    assert len(server.state.events) == 2


def test_batch_that_is_too_large_is_halved_until_it_fits(
    server: PlainServer, make_collector: Make, make_event: MakeEvent
) -> None:
    server.grant("ana")
    server.state.most_events = 30
    collector = make_collector(linger_seconds=0.5)

    for number in range(100):
        collector.collect_event(make_event(match_id=f"m-{number}"))

    assert collector.flush() is True
    assert len(server.state.events) == 100
    assert set(server.state.arrivals.values()) == {1}
    assert max(server.state.batch_sizes) > 30


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=413, body=b'{"detail": "The body is too large"}'),
        Fault(status=422, body=b'{"detail": [{"field": "body", "rule": "must be valid JSON"}]}'),
    ],
    ids=["too large", "not readable"],
)
def test_event_that_no_batch_can_hold_stops_no_other(
    server: PlainServer, collector: EventCollector, make_event: MakeEvent, fault: Fault
) -> None:
    server.grant("ana")
    server.state.faults = [fault]

    collector.collect_event(make_event(match_id="m-large"))
    collector.flush()
    collector.collect_event(make_event(match_id="m-small"))

    assert collector.flush() is True
    assert [event["match_id"] for event in server.state.events.values()] == ["m-small"]
    assert [refused["event"]["match_id"] for refused in collector.refused_events()] == ["m-large"]
