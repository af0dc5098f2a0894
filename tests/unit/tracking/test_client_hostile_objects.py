"""Whatever a host application passes, and wherever its spool lies, no call raises into it."""

from __future__ import annotations

import asyncio
import io
import logging
import os
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import InvalidInput, SmartMatchError
from tests.unit.tracking.test_client_processes import in_child
from tracking.asynchronous import AsyncEventCollector
from tracking.errors import SpoolUnusable
from tracking.privacy import PrivacyManager
from tracking.schema import Event, MatchViewedEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.tracking.plain_server import PlainServer
    from tracking.collector import EventCollector

    Make = Callable[..., EventCollector]
    MakeEvent = Callable[..., Any]

SECRET = "zenobia-4711"
ERRORS = [
    KeyError,
    AttributeError,
    RuntimeError,
    ZeroDivisionError,
    StopIteration,
    UnicodeError,
    RecursionError,
    MemoryError,
]
LOOKS = (
    *("__getattr__", "__hash__", "__eq__", "__str__", "__repr__", "__iter__", "__len__"),
    *("__bool__", "__float__", "__int__", "__index__", "__getitem__", "__fspath__"),
)


def hostile(error: type[Exception], base: type = object, *, faceless: bool = False) -> Any:
    """An object that raises wherever it is looked at, with a value in its error."""

    def look(*_: Any, **__: Any) -> Any:
        raise error(SECRET)

    body: dict[str, Any] = dict.fromkeys(LOOKS, look)
    body |= {name: look for name in ("encode", "items", "keys", "isoformat") if base is not object}
    if faceless:
        body["__class__"] = property(look)
    return type("Hostile", (base,), body)()


class NoZone(tzinfo):
    def utcoffset(self, _: datetime | None) -> Any:
        raise KeyError(SECRET)


def zoneless() -> datetime:
    return datetime(2026, 1, 1, tzinfo=NoZone())


def nested(depth: int) -> list[Any]:
    whole: list[Any] = []
    for _ in range(depth):
        whole = [whole]
    return whole


def circle() -> dict[str, Any]:
    ring: dict[str, Any] = {}
    ring["a"] = ring
    return ring


OBJECTS = st.one_of(
    st.builds(
        hostile,
        st.sampled_from(ERRORS),
        st.sampled_from([object, str, float, int, dict, list]),
        faceless=st.booleans(),
    ),
    st.builds(nested, st.sampled_from([1, 5_000, 200_000])),
    st.builds(circle),
    st.sampled_from([np.array("ana"), np.array([1, 2]), np.str_("ana"), np.float64("nan")]),
    st.sampled_from([object, len, b"bytes", {1, 2}, 1j, Ellipsis, 10**400, -(2**63) - 1]),
    st.builds(zoneless),
    st.floats(),
    st.integers(),
    st.text(st.characters(), max_size=300),
    st.none(),
)
KINDS = get_args(Event)
GOOD: dict[str, Any] = {
    "user_id": "ana",
    "match_id": "m",
    "match_score": 0.5,
    "view_duration_seconds": 1.0,
    "decision": True,
    "rating": 3,
    "completed": True,
}


@st.composite
def events(draw: st.DrawFn) -> Any:
    """Events of every type with one or two fields that hold anything."""
    kind = draw(st.sampled_from(KINDS))
    names = list(kind.__struct_fields__)
    odd = draw(st.dictionaries(st.sampled_from(names), OBJECTS, min_size=1, max_size=2))
    return kind(**{name: GOOD[name] for name in names if name in GOOD} | odd)


once_made = settings(
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def answers(collector: EventCollector) -> int:
    counted = collector.counters
    return (
        counted.accepted
        + counted.without_consent
        + counted.consent_unreadable
        + counted.invalid
        + counted.unexpected
    )


def test_no_event_of_any_object_raises_and_each_is_counted(
    server: PlainServer, make_collector: Make, caplog: pytest.LogCaptureFixture
) -> None:
    server.grant("ana")
    collector = make_collector()

    @once_made
    @given(st.one_of(events(), OBJECTS))
    def check(event: Any) -> None:
        before = answers(collector)
        assert collector.collect_event(event) in {True, False}
        assert answers(collector) == before + 1

    check()

    assert collector.flush(20) is True
    assert collector.counters.unexpected == 0
    assert collector.counters.stored == collector.counters.accepted
    assert SECRET not in caplog.text


def test_strict_collector_raises_nothing_but_errors_without_a_value(
    server: PlainServer, make_collector: Make
) -> None:
    server.grant("ana")
    collector = make_collector(strict=True)

    @once_made
    @given(st.one_of(events(), OBJECTS))
    def check(event: Any) -> None:
        try:
            collector.collect_event(event)
        except SmartMatchError as error:
            hidden = error.__suppress_context__ or error.__context__ is None
            assert (SECRET in str(error), hidden) == (False, True)  # noqa: PT017 - or it raises nothing

    check()


def test_no_other_call_raises_whatever_it_is_given(
    server: PlainServer, make_collector: Make, privacy: PrivacyManager
) -> None:
    collector = make_collector()

    @once_made
    @given(OBJECTS, OBJECTS)
    def check(first: Any, second: Any) -> None:
        assert privacy.has_consent(first, second) is False
        assert privacy.has_consent("ana", second) is False
        for call in (privacy.record_consent, privacy.get_consent):
            if not issubclass(type(first), str):
                with pytest.raises(InvalidInput):
                    call(first)
        if not issubclass(type(second), int | float):  # it would wait for so long
            assert collector.flush(second) in {True, False}

    check()

    assert collector.refused_events() == []
    assert collector.retry_refused() == 0
    collector.close()
    assert collector.collect_event(hostile(KeyError)) is False
    assert (collector.flush(0.1), collector.retry_refused()) == (True, 0)
    collector.close()


def test_text_of_numpy_is_the_person_that_it_names(
    server: PlainServer, make_collector: Make, make_event: MakeEvent
) -> None:
    server.grant("ana")
    collector = make_collector()

    assert collector.collect_event(make_event(np.array("ana"))) is True
    assert collector.collect_event(make_event(np.array("bob"))) is False

    assert collector.flush() is True
    assert [event["user_id"] for event in server.state.events.values()] == ["ana"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_a_program_passes_and_leaves_the_collector_whole(
    server: PlainServer, make_collector: Make, make_event: MakeEvent, kind: type[BaseException]
) -> None:
    class Ending:
        def __getattr__(self, _: str) -> Any:
            raise kind

    server.grant("ana")
    collector = make_collector()

    with pytest.raises(kind):
        collector.collect_event(
            MatchViewedEvent(user_id="ana", match_id="m", view_duration_seconds=Ending())  # type: ignore[arg-type]
        )

    assert collector.collect_event(make_event()) is True
    assert collector.flush() is True


@pytest.mark.usefixtures("server")
def test_logger_that_fails_is_no_exception_for_the_host(make_collector: Make) -> None:
    class Failing(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            raise OSError

    handler = Failing()
    logging.getLogger("tracking").addHandler(handler)
    try:
        assert make_collector().collect_event("no event") is False  # type: ignore[arg-type]
    finally:
        logging.getLogger("tracking").removeHandler(handler)


@pytest.mark.usefixtures("server")
def test_log_that_the_host_has_closed_gets_no_line_and_the_open_one_does(
    make_collector: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    closed, kept = io.StringIO(), io.StringIO()
    handlers = logging.StreamHandler(closed), logging.StreamHandler(kept)
    closed.close()
    logger = logging.getLogger("tracking")
    for handler in handlers:
        logger.addHandler(handler)
    try:
        assert make_collector().collect_event("no event") is False  # type: ignore[arg-type]
    finally:
        for handler in handlers:
            logger.removeHandler(handler)

    assert kept.getvalue().count("An event was not collected") == 1
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "place",
    ["~nosuchuser/spool.db", "/tmp/" + "a" * 300, "a\0b", "/dev/null/spool.db", "\ud800", object()],
    ids=["no home", "too long", "no name", "no directory", "no text", "no path"],
)
def test_collector_whose_spool_cannot_lie_there_refuses_and_says_so(
    server: PlainServer,
    make_collector: Make,
    make_event: MakeEvent,
    caplog: pytest.LogCaptureFixture,
    place: Any,
) -> None:
    server.grant("ana")
    with pytest.raises(SpoolUnusable):
        make_collector(spool=place, strict=True)
    caplog.clear()

    collector = make_collector(spool=place)

    assert "No event can be collected: the spool" in caplog.text
    assert collector.collect_event(make_event()) is False
    assert (collector.counters.spool_unusable, collector.counters.waiting) == (1, -1)
    assert (collector.flush(1), collector.refused_events()) == (False, [])
    assert collector.retry_refused() == 0
    PrivacyManager().withdraw("ana")
    collector.close()


@pytest.mark.usefixtures("server")
def test_user_without_a_home_is_no_exception_for_the_host(
    make_collector: Make, monkeypatch: pytest.MonkeyPatch, make_event: MakeEvent
) -> None:
    for name in ("SMARTMATCH_SPOOL", "SMARTMATCH_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", str)  # as where nobody knows the user's number

    assert make_collector(spool=None).flush(0.1) is False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_spool_that_may_not_be_read_is_tried_again_with_each_event(
    server: PlainServer, make_collector: Make, make_event: MakeEvent, tmp_path: Path
) -> None:
    server.grant("ana")
    is_root, place = os.geteuid() == 0, tmp_path / "closed" / "spool"

    def let_in(*, let: bool) -> None:
        if is_root:  # whom no mode keeps out
            os.seteuid(0 if let else 65_534)
        else:
            place.parent.chmod(0o700 if let else 0)

    def check() -> bool:
        let_in(let=False)
        collector = make_collector(spool=place)
        refused = collector.collect_event(make_event())
        let_in(let=True)
        accepted = collector.collect_event(make_event())
        return (refused, accepted, collector.counters.spool_unusable) == (False, True, 1)

    place.parent.mkdir(mode=0o700)
    assert in_child(check)


def test_awaited_collector_goes_on_when_the_pool_of_threads_has_ended(
    server: PlainServer, privacy: PrivacyManager, make_event: MakeEvent, tmp_path: Path
) -> None:
    server.grant("ana")

    async def platform() -> bool:
        collector = AsyncEventCollector(privacy, spool=tmp_path / "spool.db")
        await asyncio.get_running_loop().shutdown_default_executor()
        accepted = await collector.collect_event(make_event())
        await collector.close()
        return accepted

    assert asyncio.run(platform()) is True
    assert len(server.state.events) == 1


@pytest.mark.parametrize("value", ["yes", 1, None, np.True_])
def test_purpose_that_is_neither_true_nor_false_is_not_recorded(
    server: PlainServer, privacy: PrivacyManager, value: Any
) -> None:
    with pytest.raises(InvalidInput, match="improvement: must be True or False"):
        privacy.record_consent("ana", analytics=True, improvement=value)

    assert (server.state.consents, privacy.has_consent("ana")) == ({}, False)
