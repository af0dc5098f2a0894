"""What collect_event answers, and what is kept of what it accepted."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import numpy as np
import pytest

from schemas.errors import InvalidInput
from tests.unit.tracking.plain_server import Fault
from tracking.asynchronous import AsyncEventCollector
from tracking.collector import EventCollector
from tracking.errors import CollectorClosed, ConsentUnreadable, SpoolFull, SpoolUnusable
from tracking.privacy import PrivacyManager
from tracking.schema import MatchDecisionEvent, MatchFeedbackEvent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.tracking.plain_server import PlainServer
    from tracking.schema import MatchProposedEvent

    Make = Callable[..., EventCollector]
    MakeEvent = Callable[..., MatchProposedEvent]

SECRET = "zenobia-4711"


def test_event_of_a_consenting_person_reaches_the_server_once(
    server: PlainServer, collector: EventCollector, make_event: MakeEvent
) -> None:
    server.grant("ana")

    assert collector.collect_event(make_event(constraint_satisfaction={"skills": 0.9})) is True

    assert collector.flush() is True
    (event,) = server.state.events.values()
    assert UUID(event["event_id"]).version == 7
    assert abs(datetime.fromisoformat(event["occurred_at"]) - datetime.now(UTC)) < timedelta(
        seconds=10
    )
    assert event["constraint_satisfaction"] == {"skills": 0.9}
    assert (collector.counters.accepted, collector.counters.stored) == (1, 1)
    assert collector.counters.waiting == 0


def test_batches_without_room_for_an_event_have_room_for_one(
    server: PlainServer, privacy: PrivacyManager, tmp_path: Path, make_event: MakeEvent
) -> None:
    server.grant("ana")
    with EventCollector(privacy, spool=tmp_path / "events.db", batch_events=0) as collector:
        assert collector.collect_event(make_event()) is True
        assert collector.flush() is True
    assert collector.counters.stored == 1


def test_id_and_time_that_the_caller_chose_are_kept(
    server: PlainServer, collector: EventCollector, make_event: MakeEvent
) -> None:
    server.grant("ana")
    chosen = UUID("11111111-2222-4333-8444-555555555555")
    moment = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))

    collector.collect_event(make_event(event_id=chosen, occurred_at=moment))
    collector.flush()

    (event,) = server.state.events.values()
    assert event["event_id"] == str(chosen)
    assert datetime.fromisoformat(event["occurred_at"]) == moment


def test_event_without_consent_leaves_no_trace(
    server: PlainServer, collector: EventCollector, make_event: MakeEvent, tmp_path: Path
) -> None:
    assert collector.collect_event(make_event(SECRET)) is False

    assert server.state.events == {}
    assert collector.counters.without_consent == 1
    assert all(SECRET.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_event_is_refused_while_nobody_can_say_whether_its_person_consented(
    server: PlainServer, collector: EventCollector, make_event: MakeEvent
) -> None:
    server.grant("ana")
    server.stop()

    assert collector.collect_event(make_event()) is False

    assert collector.counters.consent_unreadable == 1
    assert collector.counters.waiting == 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"match_score": SECRET}, "match_score"),
        ({"match_score": 1.5}, "match_score"),
        ({"match_score": float("nan")}, "match_score"),
        ({"propensity": float("nan")}, "propensity"),
        ({"match_parameters": {SECRET: float("inf")}}, "match_parameters[]"),
        ({"match_parameters": {SECRET + "\n": 1.0}}, "match_parameters"),
        ({"match_parameters": {"a": object()}}, "event"),
        ({"user_id": SECRET + "\x00"}, "user_id"),
        ({"user_id": "\ud800"}, "event"),
        ({"event_id": SECRET}, "event_id"),
        ({"occurred_at": datetime(2026, 1, 1)}, "occurred_at"),  # noqa: DTZ001 - naive on purpose
        ({"alternatives_count": 2**64}, "alternatives_count"),
    ],
)
def test_broken_field_is_named_with_its_rule_and_without_its_value(
    make_collector: Make,
    make_event: MakeEvent,
    caplog: pytest.LogCaptureFixture,
    fields: dict[str, object],
    field: str,
) -> None:
    event = make_event(**fields)

    with pytest.raises(InvalidInput) as raised:
        make_collector(strict=True).collect_event(event)

    assert raised.value.field == field
    assert len(raised.value.rule) > 10
    lenient = make_collector()
    assert lenient.collect_event(event) is False
    assert lenient.counters.invalid == 1
    assert "not collected" in caplog.text
    assert SECRET not in caplog.text + str(raised.value)


def test_what_is_no_event_is_refused(
    server: PlainServer, make_collector: Make, collector: EventCollector
) -> None:
    assert collector.collect_event({"type": "match_viewed"}) is False  # type: ignore[arg-type]

    with pytest.raises(InvalidInput, match=r"events of tracking\.schema"):
        make_collector(strict=True).collect_event("x")  # type: ignore[arg-type]


def test_numbers_of_numpy_are_taken_as_numbers(
    server: PlainServer, collector: EventCollector, make_event: MakeEvent
) -> None:
    server.grant("ana")

    collector.collect_event(
        make_event(match_score=np.float64(0.25), match_parameters={"reach": np.float32(2)})
    )
    collector.flush()

    (event,) = server.state.events.values()
    assert (event["match_score"], event["match_parameters"]) == (0.25, {"reach": 2.0})


def test_full_spool_refuses_and_loses_nothing_that_was_accepted(
    server: PlainServer, make_collector: Make, make_event: MakeEvent
) -> None:
    server.grant("ana")
    privacy = PrivacyManager(cache_seconds=60)
    privacy.has_consent("ana")
    server.stop()
    collector = make_collector(privacy, max_spool_bytes=100_000)

    answers = [collector.collect_event(make_event(match_id=f"m-{i}")) for i in range(1_000)]
    server.start()

    assert 20 < sum(answers) < 1_000
    # A claim that ends gives the page of its index back.
    assert sum(answers[answers.index(False) :]) <= 10
    assert collector.counters.spool_full == 1_000 - sum(answers)
    with pytest.raises(SpoolFull):
        make_collector(privacy, max_spool_bytes=1, strict=True).collect_event(make_event())
    assert collector.flush(20) is True
    assert len(server.state.events) == sum(answers)
    assert collector.collect_event(make_event()) is True


def test_unusable_spool_never_hurts_the_host(
    server: PlainServer, make_collector: Make, make_event: MakeEvent, tmp_path: Path
) -> None:
    server.grant("ana")
    (tmp_path / "spool.db").write_bytes(b"no database at all" * 1_000)

    collector = make_collector()

    assert collector.collect_event(make_event()) is False
    assert collector.flush(1) is False
    assert (collector.counters.spool_unusable, collector.counters.waiting) == (1, -1)
    with pytest.raises(SpoolUnusable):
        make_collector(strict=True)


def test_withdrawal_deletes_what_waits_of_the_person_and_of_nobody_else(
    server: PlainServer, make_collector: Make, make_event: MakeEvent, tmp_path: Path
) -> None:
    server.grant("ana", SECRET)
    privacy = PrivacyManager(cache_seconds=60)
    collector = make_collector(privacy)
    server.state.faults = [Fault(status=503, retry_after="600")]
    for person in ("ana", SECRET, SECRET):
        assert collector.collect_event(make_event(person))
    collector.flush(0.5)

    privacy.withdraw(SECRET)

    assert collector.counters.dropped_on_withdrawal == 2
    assert collector.counters.waiting == 1
    assert collector.collect_event(make_event(SECRET)) is False
    assert all(SECRET.encode() not in path.read_bytes() for path in tmp_path.iterdir())
    assert any(b"ana" in path.read_bytes() for path in tmp_path.iterdir())


def deliver_many(server: PlainServer, collector: EventCollector, make_event: MakeEvent) -> None:
    server.grant(SECRET)
    for number in range(300):
        collector.collect_event(make_event(SECRET, f"m-{number}"))
    assert collector.flush() is True


def test_delivered_events_leave_no_byte_on_disk(
    server: PlainServer, collector: EventCollector, make_event: MakeEvent, tmp_path: Path
) -> None:
    deliver_many(server, collector, make_event)
    collector.close()

    assert len(server.state.events) == 300
    assert all(SECRET.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_delivered_events_leave_no_byte_within_seconds(
    server: PlainServer, collector: EventCollector, make_event: MakeEvent, tmp_path: Path
) -> None:
    deliver_many(server, collector, make_event)
    deadline = time.monotonic() + 4.0

    while any(SECRET.encode() in path.read_bytes() for path in tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_events_older_than_the_retention_are_deleted_unsent(
    server: PlainServer, make_collector: Make, make_event: MakeEvent, tmp_path: Path
) -> None:
    server.grant("ana")
    first = make_collector()
    server.state.faults = [Fault(status=503, retry_after="600")]
    first.collect_event(make_event())
    first.close()
    with sqlite3.connect(tmp_path / "spool.db") as spool:
        spool.execute("UPDATE waiting SET spooled_at = spooled_at - 8 * 86400")
    spool.close()

    second = make_collector()

    assert second.counters.dropped_for_age == 1
    assert second.counters.waiting == 0


def test_spool_is_readable_by_its_owner_only(
    server: PlainServer, make_collector: Make, make_event: MakeEvent, tmp_path: Path
) -> None:
    server.grant("ana")
    collector = make_collector(spool=tmp_path / "new" / "spool.db")
    collector.collect_event(make_event())

    files = list((tmp_path / "new").iterdir())

    assert len(files) >= 3
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_closed_collector_accepts_nothing(
    server: PlainServer, make_collector: Make, make_event: MakeEvent
) -> None:
    server.grant("ana")
    with make_collector() as collector:
        assert collector.collect_event(make_event()) is True

    assert len(server.state.events) == 1
    assert collector.collect_event(make_event()) is False
    assert collector.counters.after_close == 1
    strict = make_collector(strict=True)
    strict.close()
    with pytest.raises(CollectorClosed):
        strict.collect_event(make_event())


def test_close_does_not_wait_for_a_server_that_is_down(
    server: PlainServer, make_collector: Make, make_event: MakeEvent
) -> None:
    server.grant("ana")
    collector = make_collector(close_seconds=20.0)
    server.state.faults = [Fault(status=503)]
    collector.collect_event(make_event())
    server.stop()
    begun = time.monotonic()

    collector.close()

    assert time.monotonic() - begun < 5


def test_strict_collector_raises_when_consent_cannot_be_read(
    server: PlainServer, make_collector: Make, make_event: MakeEvent
) -> None:
    server.stop()

    with pytest.raises(ConsentUnreadable):
        make_collector(strict=True).collect_event(make_event())


def test_events_of_another_server_stay_in_the_shared_spool(
    server: PlainServer, make_collector: Make, make_event: MakeEvent
) -> None:
    server.grant("ana")
    server.state.faults = [Fault(status=503, retry_after="600")]
    here = make_collector()
    here.collect_event(make_event())
    elsewhere = make_collector(PrivacyManager("http://127.0.0.1:9"))

    assert elsewhere.counters.waiting == 0
    assert elsewhere.flush(1) is True
    assert here.counters.waiting == 1


def test_nothing_that_is_logged_names_a_person(
    server: PlainServer,
    make_collector: Make,
    make_event: MakeEvent,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    server.grant(SECRET)
    privacy = PrivacyManager(cache_seconds=0)
    collector = make_collector(privacy, strict=False)
    server.state.refuse = {"m-bad": {"field": "match_id", "rule": "must be known"}}
    server.state.faults = [Fault(status=500)]

    collector.collect_event(make_event(SECRET))
    collector.collect_event(make_event(SECRET, "m-bad"))
    collector.flush(10)
    server.stop()
    collector.collect_event(make_event(SECRET))
    collector.close()

    assert "HTTP Request: GET" in caplog.text
    assert "The server refused 1 events" in caplog.text
    assert SECRET not in caplog.text


def test_async_collector_keeps_the_same_promises(
    server: PlainServer, privacy: PrivacyManager, tmp_path: Path
) -> None:
    server.grant("ana")

    async def platform() -> list[bool]:
        async with AsyncEventCollector(privacy, spool=tmp_path / "spool.db") as collector:
            events = [
                MatchDecisionEvent(user_id=person, match_id=f"m-{number}", decision=True)
                for person in ("ana", "bob")
                for number in range(10)
            ]
            answers = await asyncio.gather(*(collector.collect_event(event) for event in events))
            assert await collector.flush() is True
            assert collector.counters.stored == 10
            return list(answers)

    assert asyncio.run(platform()) == [True] * 10 + [False] * 10
    assert len(server.state.events) == 10


def test_every_type_of_event_is_sent_with_its_name(
    server: PlainServer, collector: EventCollector
) -> None:
    server.grant("ana")

    collector.collect_event(MatchDecisionEvent(user_id="ana", match_id="m", decision=False))
    collector.collect_event(
        MatchFeedbackEvent(user_id="ana", match_id="m", rating=4, feedback_text="très bien")
    )
    collector.flush()

    sent = {event["type"]: event for event in server.state.events.values()}
    assert set(sent) == {"match_decision", "match_feedback"}
    assert sent["match_feedback"]["feedback_text"] == "très bien"
    assert msgspec.json.decode(msgspec.json.encode(sent["match_decision"]))["decision"] is False
