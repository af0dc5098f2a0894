"""Connections whose client does not say what it wants, or does not listen, are closed in time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ingest.server import IDLE_SECONDS, Sweep
from tests.wire import until, wires

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.settings import Settings
    from tests.wire import Wire

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

GET = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
VIEWED = b"/api/tracking/event/match-viewed"
POST = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n" % VIEWED


def nothing(_wire: Wire) -> None:
    """Leave a client that reads as it is."""


def unread(wire: Wire) -> None:
    wire.protocol.pause_writing()


@pytest.mark.parametrize(
    ("sent", "then", "closed_after"),
    [
        (b"", nothing, 1.0),
        (GET[:20], nothing, 1.0),
        (POST + b"{", nothing, 5.0),
        (GET, nothing, None),
        (GET, unread, 5.0),
        (POST + b"{}", unread, 5.0),
        (GET, lambda wire: wire.close(), 5.0),
    ],
)
def test_each_stage_has_its_time(
    settings: Settings, sent: bytes, then: Callable[[Wire], None], closed_after: float | None
) -> None:
    async def trial() -> None:
        async with wires(settings) as connect:
            wire, sweep = connect(), Sweep(1.0, 5.0)
            if sent:
                await wire.receive(sent)
            if sent in (GET, POST + b"{}"):
                await until(lambda: bool(wire.statuses))
            then(wire)
            protocol = wire.protocol
            for now in (0.0, 0.9, 1.1, 4.9, 5.1):
                sweep.look([protocol], now)
                assert wire.is_aborted is (closed_after is not None and now > closed_after)

    asyncio.run(trial())


def test_who_asks_for_nothing_more_is_closed_after_a_while_and_not_before(
    settings: Settings,
) -> None:
    async def trial() -> None:
        async with wires(settings) as connect:
            wire, sweep = connect(), Sweep(1.0, 1.0)
            for at in (0.0, 10.0):
                await wire.receive(GET)
                await until(lambda: not wire.protocol.cycle or wire.protocol.is_idle)
                sweep.look([wire.protocol], at)
                sweep.look([wire.protocol], at + IDLE_SECONDS - 0.1)
                assert not wire.is_closing()
            sweep.look([wire.protocol], at + IDLE_SECONDS + 0.1)
            assert wire.is_closing()
            assert not wire.is_aborted
            assert wire.statuses == [200, 200]

    asyncio.run(trial())


REFUSED = b"POST %b HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 2\r\n\r\n{}" % VIEWED
EARLY = b"POST /health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "then", "is_idle"),
    [
        (REFUSED + GET[:20], b"", False),
        (GET, GET[:20], False),
        (EARLY, b"{", False),
        (EARLY, b"{}", True),
        (GET, b"\r\n", True),
    ],
    ids=["ahead", "begun", "rest of a body", "body after its answer", "line after a body"],
)
def test_who_has_begun_to_ask_does_not_idle_and_who_has_ended_does(
    settings: Settings, first: bytes, then: bytes, *, is_idle: bool
) -> None:
    async def trial() -> None:
        async with wires(settings) as connect:
            wire, sweep = connect(), Sweep(60.0, 60.0)
            await wire.receive(first)
            await until(lambda: bool(wire.statuses))
            await until(lambda: not wire.protocol._waiting)
            await wire.receive(*[then] * bool(then))
            for at in (0.0, IDLE_SECONDS + 0.1):
                sweep.look([wire.protocol], at)
            assert wire.is_closing() is is_idle
            assert not wire.is_aborted

    asyncio.run(trial())
