"""Whatever bytes a server or a proxy answers, the client goes on and loses nothing."""

from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tracking.plain_server import Fault
from tracking.errors import ConsentNotRecorded, ConsentUnreadable, Unreachable
from tracking.privacy import PrivacyManager
from tracking.transport import LONGEST_RETRY_AFTER, Reply, reply
from tracking.verdicts import BatchRefused, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.tracking.plain_server import PlainServer
    from tracking.collector import EventCollector
    from tracking.schema import MatchProposedEvent

FAR_AWAY = "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"
STORED = b'{"stored":1,"duplicate":0,"refused":[]}'
DEEP = b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b',"options":{}}'


def answer(status: int, body: bytes, *headers: str) -> bytes:
    """A reply as it looks on the wire."""
    lines = [f"HTTP/1.1 {status} x", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def random_replies(count: int) -> list[bytes]:
    """Bytes of no form, and replies of every form with bytes of none."""
    dice = random.Random(20261130)
    replies = []
    for _ in range(count):
        noise = dice.randbytes(dice.randrange(1, 400))
        status = dice.choice([200, 200, 413, 422, 422, 503, dice.randrange(1000)])
        header = noise[: dice.randrange(40)].replace(b"\r", b"").replace(b"\n", b"")
        body = dice.choice([noise, b'{"detail":[{"field":"' + noise + b'","rule":"x"}]}'])
        replies += [noise, answer(status, body, "retry-after: " + header.decode("latin-1"))]
    return replies


NASTY = {
    "a date beyond time": answer(503, b"busy", f"retry-after: {FAR_AWAY}"),
    "a date beyond time, stored": answer(200, b"{}", f"retry-after: {FAR_AWAY}"),
    "endless nesting": answer(200, DEEP),
    "endless nesting, refused": answer(422, DEEP),
    "no UTF-8 in a field": answer(422, b'{"detail":[{"field":"\xff","rule":"x"}]}'),
    "a lone surrogate": answer(422, b'{"detail":[{"field":"\\ud800","rule":"x"}]}'),
    "broken compression": answer(200, b"xxxx", "content-encoding: gzip"),
    "truncated compression": answer(200, gzip.compress(DEEP)[:50], "content-encoding: gzip"),
    "an unknown charset": answer(200, b"{}", "content-type: application/json; charset=\xff"),
    "less than was named": answer(200, b"{}").replace(b": 2", b": 999"),
    "less than nothing": answer(200, b'{"stored":2,"duplicate":-1,"refused":[]}'),
    "nobody's event": answer(
        200,
        b'{"stored":0,"duplicate":0,"refused":[{"index":-1,"status":422,"field":"a","rule":"b"}]}',
    ),
    "more than any reply holds": answer(200, b" " * 5_000_000 + STORED),
    "a bomb": answer(200, gzip.compress(b" " * 50_000_000 + STORED), "content-encoding: gzip"),
    "a redirect to nowhere": answer(302, b"", "location: http://[::bad"),
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat at once what would be repeated after a while."""
    monkeypatch.setattr("tracking.retrying.FIRST_BACKOFF", 0.0)
    monkeypatch.setattr("tracking.retrying.LONGEST_BACKOFF", 0.0)
    monkeypatch.setattr("tracking.transport.LONGEST_RETRY_AFTER", 0.0)


@pytest.mark.parametrize("raw", NASTY.values(), ids=NASTY)
@pytest.mark.usefixtures("impatient")
def test_reply_to_a_batch_ends_no_thread_and_loses_no_event(
    server: PlainServer,
    make_collector: Callable[..., EventCollector],
    make_event: Callable[..., MatchProposedEvent],
    raw: bytes,
) -> None:
    server.grant("ana")
    server.state.faults = [Fault(raw=raw)] * 3
    collector = make_collector(linger_seconds=0.2)
    assert collector.collect_event(make_event())
    thread = collector._sender._thread

    assert collector.flush(20) is True

    assert collector._sender._thread is thread
    assert thread.is_alive()
    assert collector.counters.stored == len(server.state.events) == 1
    assert collector.counters.failures >= 3


@pytest.mark.usefixtures("impatient")
def test_small_event_that_a_proxy_finds_too_large_is_kept(
    server: PlainServer,
    make_collector: Callable[..., EventCollector],
    make_event: Callable[..., MatchProposedEvent],
) -> None:
    server.grant("ana")
    page = Fault(status=413, body=b"<html>413 Request Entity Too Large</html>")
    server.state.faults = [page, page]
    collector = make_collector(linger_seconds=0.2)
    assert collector.collect_event(make_event())

    assert collector.flush(20) is True

    assert (collector.counters.stored, collector.counters.failures) == (1, 2)
    assert collector.refused_events() == []


@pytest.mark.parametrize(
    ("distance_names", "body"), [(64, b"<html>"), (1, b'{"detail":"The body is too large"}')]
)
@pytest.mark.usefixtures("impatient")
def test_event_that_is_too_large_holds_up_no_other(
    server: PlainServer,
    make_collector: Callable[..., EventCollector],
    make_event: Callable[..., MatchProposedEvent],
    distance_names: int,
    body: bytes,
) -> None:
    server.grant("ana")
    server.state.faults = [Fault(status=413, body=body)]
    collector = make_collector(linger_seconds=0.2)
    parameters = {f"{number:02}{'x' * 60}": 0.5 for number in range(distance_names)}
    assert collector.collect_event(make_event(match_parameters=parameters))

    assert collector.flush(20) is True

    assert [one["rule"] for one in collector.refused_events()] == ["is too large"]


@pytest.mark.usefixtures("impatient")
def test_every_status_and_random_bytes_end_no_thread_and_lose_no_event(
    server: PlainServer,
    make_collector: Callable[..., EventCollector],
    make_event: Callable[..., MatchProposedEvent],
) -> None:
    server.grant("ana")
    raw = [answer(status, b"[]") for status in range(100, 600)] + random_replies(100)
    server.state.faults = [Fault(raw=one) for one in raw]
    collector = make_collector(linger_seconds=0.2)
    for number in range(40):
        assert collector.collect_event(make_event(match_id=f"m-{number}"))
    thread = collector._sender._thread

    assert collector.flush(60) is True

    assert server.state.faults == []
    assert collector._sender._thread is thread
    kept = [refused["event"]["match_id"] for refused in collector.refused_events()]
    kept += [event["match_id"] for event in server.state.events.values()]
    assert sorted(kept) == sorted(f"m-{number}" for number in range(40))


@pytest.mark.parametrize("raw", [*NASTY.values(), *random_replies(20)])
def test_reply_to_a_question_about_consent_is_a_consent_or_unreadable(
    server: PlainServer, raw: bytes
) -> None:
    server.grant("ana")
    server.state.consent_faults = [Fault(raw=raw)]
    with PrivacyManager() as privacy:
        with pytest.raises(ConsentUnreadable):
            privacy.get_consent("ana")

        server.state.consent_faults = [Fault(raw=raw)]
        assert privacy.has_consent("ana") is False


@pytest.mark.parametrize("raw", NASTY.values(), ids=NASTY)
def test_consent_that_is_answered_so_is_not_recorded(server: PlainServer, raw: bytes) -> None:
    server.state.consent_faults = [Fault(raw=raw)] * 9
    with PrivacyManager(timeout_seconds=0.2) as privacy:
        with pytest.raises(ConsentNotRecorded):
            privacy.record_consent("ana", analytics=True)

        assert privacy.has_consent("ana") is False


@given(st.sampled_from([200, 413, 422, 503]), st.binary(max_size=200), st.integers(1, 500))
def test_bytes_are_a_verdict_or_worth_another_attempt(status: int, body: bytes, size: int) -> None:
    with pytest.raises((Unreachable, BatchRefused)):
        judge(Reply(status, body, None), size)


@given(
    st.one_of(
        st.text(max_size=80),
        st.integers().map(str),
        st.integers(min_value=1, max_value=10**30).map(
            lambda year: f"Mon, 01 Jan {year} 00:00:00 GMT"
        ),
    )
)
def test_any_header_is_patience_within_its_bound_or_none(header: str) -> None:
    told = reply(503, b"", {"retry-after": header}).retry_after

    assert told is None or 0 <= told <= LONGEST_RETRY_AFTER


@pytest.mark.usefixtures("impatient")
def test_defect_in_the_sending_ends_no_thread(
    server: PlainServer,
    make_collector: Callable[..., EventCollector],
    make_event: Callable[..., MatchProposedEvent],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.grant("ana")
    collector = make_collector(linger_seconds=0.2)
    assert collector.collect_event(make_event())
    thread = collector._sender._thread
    defects: list[Exception] = [KeyError("ana-4711"), MemoryError(), RecursionError()]
    settle = collector._spool.settle

    def defective(*arguments: Any) -> int:
        if defects:
            raise defects.pop(0)
        return settle(*arguments)

    monkeypatch.setattr(collector._spool, "settle", defective)

    assert collector.flush(20) is True

    assert collector._sender._thread is thread
    assert (collector.counters.duplicate, collector.counters.failures) == (1, 3)
    assert "KeyError" in caplog.text
    assert "ana-4711" not in caplog.text
