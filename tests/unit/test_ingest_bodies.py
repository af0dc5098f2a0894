"""Memory for bodies: bounds for one and for all, and who is slow keeps nobody out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from ingest import bodies as bodies_module
from ingest.bodies import Bodies, ClientGone
from ingest.replies import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator


def parts(*sizes: int) -> Any:
    """Return what hands out a body in parts, as a server does."""
    supply: Iterator[int] = iter(sizes)
    left = len(sizes)

    async def receive() -> dict[str, Any]:
        nonlocal left
        left -= 1
        return {"type": "http.request", "body": bytes(next(supply)), "more_body": left > 0}

    return receive


def test_bodies_are_bounded_one_by_one_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies_module, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(bodies_module, "SHORT_BYTES", 15)

    async def trial() -> None:
        bodies = Bodies(1_600)
        with pytest.raises(Refused) as large:
            async with bodies.read(parts(1_500, 101), 1_601, "caller"):
                raise AssertionError
        assert large.value.refusal.status == 413
        async with bodies.read(parts(90, 20), -1, "caller") as first:
            assert (len(first), bodies.held) == (110, 110)
            with pytest.raises(Refused) as full:
                async with bodies.read(parts(10, 10), 20, "caller"):
                    raise AssertionError
            assert full.value.refusal.status == 503
            async with bodies.read(parts(10), 10, "caller") as short:
                assert len(short) == 10
        assert bodies.held == 0
        async with bodies.read(parts(90, 20), -1, "caller") as after:
            assert len(after) == 110

    asyncio.run(trial())


def stalled(size: int, rest: asyncio.Event) -> Any:
    """Return what hands out the first part of a body, and the rest after an event."""
    begun = False

    async def receive() -> dict[str, Any]:
        nonlocal begun
        if begun:
            await rest.wait()
            return {"type": "http.request", "body": b"", "more_body": False}
        begun = True
        return {"type": "http.request", "body": bytes(size), "more_body": True}

    return receive


@pytest.mark.parametrize("slow", [[500], [90] * 20, [500, 700] + [99] * 10])
def test_slow_bodies_keep_no_others_out_and_the_slowest_are_closed(
    monkeypatch: pytest.MonkeyPatch, slow: list[int]
) -> None:
    monkeypatch.setattr(bodies_module, "SLOW_SECONDS", 0.01)
    monkeypatch.setattr(bodies_module, "SHORT_BYTES", 20)

    async def trial() -> list[int]:
        bodies, rest = Bodies(1_600), asyncio.Event()

        async def send(receive: Any) -> int:
            try:
                async with bodies.read(receive, -1, "caller") as body:
                    return len(body)
            except Refused as refused:
                return -refused.refusal.status

        senders = []
        for size in slow:
            senders.append(asyncio.create_task(send(stalled(size, rest))))
            await asyncio.sleep(0.02)
        others = [await send(parts(90, 20)) for _ in range(3)]
        held = bodies.held
        rest.set()
        ended = await asyncio.gather(*senders)
        assert bodies.held == 0
        kept = [size for size in ended if size > 0]
        assert held == sum(kept)
        assert sum(kept) - max(kept) <= 100
        assert kept == slow[len(slow) - len(kept) :]
        assert ended.count(-408) == len(slow) - len(kept)
        return others

    assert asyncio.run(trial()) == [110, 110, 110]


def test_few_wait_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies_module, "MOST_WAITING", 2)
    monkeypatch.setattr(bodies_module, "PATIENCE_SECONDS", 30.0)

    async def trial() -> None:
        bodies = Bodies(160_000)
        async with bodies.read(parts(20_000), 20_000, "caller"):
            waiting = [
                asyncio.create_task(_length(bodies.read(parts(20_000), 20_000, "caller")))
                for _ in range(2)
            ]
            await asyncio.sleep(0)
            with pytest.raises(Refused) as full:
                await _length(bodies.read(parts(20_000), 20_000, "caller"))
            assert full.value.refusal.status == 503
        assert await asyncio.gather(*waiting) == [20_000, 20_000]

    asyncio.run(trial())


async def _length(reading: Any) -> int:
    async with reading as body:
        return len(body)


def test_client_that_goes_away_leaves_no_bytes_behind() -> None:
    async def trial() -> None:
        bodies = Bodies(1_600)
        messages: Iterator[dict[str, Any]] = iter(
            [
                {"type": "http.request", "body": b"1234", "more_body": True},
                {"type": "http.disconnect"},
            ]
        )

        async def receive() -> dict[str, Any]:
            return next(messages)

        with pytest.raises(ClientGone):
            async with bodies.read(receive, -1, "caller"):
                raise AssertionError
        assert bodies.held == 0

    asyncio.run(trial())


def paced(sizes: list[int], pause: float) -> Any:
    """Return what hands out a body in parts, each after a pause."""
    receive = parts(*sizes)

    async def after_a_pause() -> Any:
        await asyncio.sleep(pause)
        return await receive()

    return after_a_pause


def test_bodies_that_come_in_pieces_at_once_are_all_read() -> None:
    async def trial() -> list[int]:
        bodies = Bodies(16 * 64_000)
        reading = [
            _length(bodies.read(paced([32_000] * 4, 0.001), 128_000, "caller")) for _ in range(20)
        ]
        return await asyncio.gather(*reading)

    assert asyncio.run(trial()) == [128_000] * 20


@pytest.mark.parametrize("length", [100_000, -1])
def test_who_sends_a_byte_now_and_then_keeps_no_others_out(
    monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(bodies_module, "SLOW_SECONDS", 0.03)
    monkeypatch.setattr(bodies_module, "PATIENCE_SECONDS", 0.3)

    async def trial() -> None:
        bodies = Bodies(16 * 64_000)
        dripping = [20_000, *[1] * 1_000]
        slow = [
            asyncio.create_task(_length(bodies.read(paced(dripping, 0.01), length, "caller")))
            for _ in range(3)
        ]
        await asyncio.sleep(0.2)
        assert await _length(bodies.read(parts(50_000, 50_000), 100_000, "caller")) == 100_000
        assert [task.done() for task in slow] == [False] * 3
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        assert bodies.held == 0
        assert await _length(bodies.read(parts(50_000, 50_000), 100_000, "caller")) == 100_000

    asyncio.run(trial())


def test_callers_who_wait_are_let_in_by_turns() -> None:
    async def trial() -> list[str]:
        bodies = Bodies(16 * 64_000)
        order: list[str] = []

        async def send(caller: str) -> None:
            async with bodies.read(paced([50_000] * 2, 0.001), 100_000, caller):
                order.append(caller)

        many = [asyncio.create_task(send("much")) for _ in range(10)]
        await asyncio.sleep(0)
        await asyncio.gather(*many, send("little"))
        return order

    assert asyncio.run(trial()).index("little") == 2
