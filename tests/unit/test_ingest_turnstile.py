"""The fair way in: who goes first, who waits, who is turned back; no clock decides."""

from __future__ import annotations

import asyncio
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import turnstile as module
from ingest.turnstile import MOST_WAITING, Line, Turn, passing
from tests.unit.crowd import MOST_INSIDE, NONE, Crowd, Guest, flood, run


def test_flood_of_one_caller_waits_while_another_passes_by() -> None:
    async def trial(crowd: Crowd) -> None:
        flood(crowd, "loud", 300)
        assert len(crowd.inside) == MOST_INSIDE

        crowd.send("quiet 1")

        assert crowd.inside[-1] == "quiet 1"
        assert crowd.turnstile.waiting == 300 - MOST_INSIDE

    run(trial)


def test_two_callers_that_both_send_much_go_in_by_turns() -> None:
    async def trial(crowd: Crowd) -> None:
        flood(crowd, "loud", 400)
        flood(crowd, "also", 100)

        found = await crowd.finish(MOST_INSIDE + 1)

        shares = [sum(name.startswith(who) for name in found) for who in ("loud", "also")]
        # One of the second had passed by, as if it were one of few.
        assert sum(shares) == MOST_INSIDE // 2
        assert abs(shares[0] - shares[1]) <= 2

    run(trial)


def test_connection_that_took_less_than_others_of_its_caller_does_not_wait() -> None:
    async def trial(crowd: Crowd) -> None:
        crowd.send("key calm")
        await crowd.finish(1)
        for _ in range(4):
            flood(crowd, "key", 160)
            await crowd.finish(160)

        flood(crowd, "key", 160)
        before = len(crowd.inside)
        crowd.send("key calm")

        assert crowd.inside[before:] == ["key calm"]

    run(trial)


def test_half_as_many_are_under_way_beside_a_connection_that_takes_little() -> None:
    async def trial(crowd: Crowd) -> None:
        crowd.send("key calm")
        await crowd.finish(1)
        for _ in range(6):
            flood(crowd, "key", 160)
            assert len(await crowd.finish(MOST_INSIDE)) == MOST_INSIDE
            await crowd.finish(112)
        flood(crowd, "key", 160)

        crowd.send("key calm")

        assert crowd.inside[-1] == "key calm"
        assert len(await crowd.finish(MOST_INSIDE + 1)) == MOST_INSIDE // 2

    run(trial)


def test_as_many_as_before_are_under_way_a_moment_after_a_caller_that_sends_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def trial(crowd: Crowd) -> None:
        crowd.send("quiet 1")
        await crowd.finish(1)
        flood(crowd, "loud", 400)
        await crowd.finish(8)

        crowd.send("quiet 1")
        assert len(await crowd.finish(MOST_INSIDE + 1)) == MOST_INSIDE // 2

        monkeypatch.setattr(module, "_REMEMBER_SECONDS", -1.0)
        crowd.send("quiet 1")
        assert len(await crowd.finish(MOST_INSIDE // 2 + 1)) == MOST_INSIDE

    run(trial)


def test_new_connections_begin_at_the_end_of_a_round() -> None:
    async def trial(crowd: Crowd) -> None:
        flood(crowd, "key", 200)
        await crowd.finish(50)
        waiting = crowd.turnstile.waiting

        crowd.send("key new")

        assert crowd.turnstile.waiting == waiting + 1

    run(trial)


def test_line_is_bounded_and_turns_back_the_last_of_who_sent_most() -> None:
    async def trial(crowd: Crowd) -> None:
        flood(crowd, "loud", MOST_INSIDE + MOST_WAITING + 10)
        assert crowd.turnstile.waiting == MOST_WAITING
        assert [name for name in crowd.inside if "turned back" in name] == [
            f"loud {MOST_INSIDE + MOST_WAITING + number} turned back" for number in range(10)
        ]

        for number in range(3):
            crowd.send(f"quiet {number}")

        assert crowd.turnstile.waiting == MOST_WAITING
        assert not any(name.startswith("quiet") and "back" in name for name in crowd.inside)

    run(trial)


def test_who_waits_too_long_is_turned_back_and_never_goes_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.0)

    async def trial(crowd: Crowd) -> None:
        flood(crowd, "loud", MOST_INSIDE + 5)

        late = [f"loud {MOST_INSIDE + number} turned back" for number in range(5)]
        assert await crowd.told() == late
        assert await crowd.finish(MOST_INSIDE) == []

    run(trial)


def test_visitor_that_is_gone_leaves_its_place_to_others() -> None:
    async def trial(crowd: Crowd) -> None:
        flood(crowd, "loud", MOST_INSIDE)

        async def visit() -> None:
            async with passing(crowd.turnstile, crowd.lines["loud"], Turn()):
                raise AssertionError("it was cancelled before")

        task = asyncio.create_task(visit())
        await asyncio.sleep(0)
        assert crowd.turnstile.waiting == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await crowd.finish(MOST_INSIDE)
        before = len(crowd.inside)

        flood(crowd, "loud", MOST_INSIDE)

        assert crowd.turnstile.waiting == 0
        assert len(crowd.inside) == before + MOST_INSIDE

    run(trial)


def test_visitor_that_is_cancelled_as_it_is_let_in_leaves_its_place_to_others() -> None:
    async def trial(crowd: Crowd) -> None:
        flood(crowd, "loud", MOST_INSIDE)

        async def visit() -> None:
            async with passing(crowd.turnstile, crowd.lines["loud"], Turn()):
                raise AssertionError("it was cancelled before")

        task = asyncio.create_task(visit())
        await asyncio.sleep(0)
        crowd.turnstile.leave()
        asyncio.get_running_loop().call_soon(task.cancel)  # right after whoever is due is let in
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert crowd.turnstile.waiting == 0
        await crowd.finish(MOST_INSIDE - 1)
        before = len(crowd.inside)

        flood(crowd, "loud", MOST_INSIDE)

        assert crowd.turnstile.waiting == 0
        assert len(crowd.inside) == before + MOST_INSIDE

    run(trial)


@settings(max_examples=40, deadline=None)
@given(
    most_passed=st.sampled_from((inf, NONE)),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(0, 3), st.integers(0, 40), st.integers(1, 60)),
            st.tuples(st.just("end"), st.integers(1, 50), st.just(0), st.just(0)),
        ),
        max_size=25,
    ),
)
def test_whoever_comes_goes_in_once_or_is_told(
    most_passed: float, steps: list[tuple[str, int, int, int]]
) -> None:
    async def trial(crowd: Crowd) -> None:
        sent = ended = 0

        def under_way() -> int:
            return sum("turned back" not in name for name in crowd.inside) - ended

        for what, first, second, times in steps:
            if what == "send":
                for number in range(times):
                    crowd.send(f"{first} {(second + number) % 40}")
                sent += times
            else:
                ends = min(first, under_way())
                ended += ends
                await crowd.finish(ends)
            assert len(crowd.inside) + crowd.turnstile.waiting == sent
        while ends := under_way():
            ended += ends
            await crowd.finish(ends)
        if most_passed == inf:
            assert crowd.turnstile.waiting == 0
            assert ended == sent
        await crowd.told()
        assert len(crowd.inside) == sent

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "BURST_SECONDS", -1.0)
        patched.setattr(module, "_SWEEP_SECONDS", 0.01)
        if most_passed != inf:
            patched.setattr(module, "PATIENCE_SECONDS", 0.05)
        run(trial, most_passed)


def test_request_that_costs_more_than_there_is_room_keeps_nobody_out() -> None:
    cost = 9.0 * MOST_INSIDE

    async def trial(crowd: Crowd) -> None:
        large, line = Guest(crowd.inside, "large"), Line()
        crowd.turnstile.enter(large, line, Turn(), cost)

        crowd.send("other 1")
        crowd.turnstile.enter(large, line, Turn(), cost)
        crowd.send("other 2")

        assert crowd.inside == ["large", "other 1", "other 2"]
        crowd.turnstile.leave(cost)
        assert await crowd.finish(2) == ["large"]
        crowd.turnstile.leave(cost)
        flood(crowd, "also", 2 * MOST_INSIDE)
        assert crowd.turnstile.waiting == MOST_INSIDE

    run(trial)
