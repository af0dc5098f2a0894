"""Where more comes than can be taken: who is passed over, and told in the end; no clock decides."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from ingest import turnstile as module
from ingest.turnstile import MOST_WAITING
from tests.unit.crowd import MOST_INSIDE, NONE, Crowd, flood, run


@pytest.fixture
def no_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take each line for one that does not empty."""
    monkeypatch.setattr(module, "BURST_SECONDS", -1.0)


@pytest.mark.usefixtures("no_burst")
def test_late_ones_are_passed_over_and_told_at_the_end_of_their_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.0)
    most = 3 * MOST_INSIDE

    async def trial(crowd: Crowd) -> None:
        flood(crowd, "loud", most)
        assert await crowd.finish(1) == []
        await asyncio.sleep(0.01)
        assert crowd.turnstile.waiting == most - MOST_INSIDE  # late, and not told yet

        crowd.send("loud new")
        assert crowd.inside[-1] == "loud new"

        monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
        late = [f"loud {number} turned back" for number in range(MOST_INSIDE, most)]
        assert await crowd.told() == late
        assert await crowd.finish(MOST_INSIDE) == []

    run(trial, NONE)


@pytest.mark.usefixtures("no_burst")
def test_who_saw_a_round_of_others_go_in_is_late_and_nobody_before() -> None:
    async def trial(crowd: Crowd) -> None:
        flood(crowd, "loud", 6 * MOST_INSIDE)
        assert len(await crowd.finish(MOST_INSIDE)) == MOST_INSIDE

        assert await crowd.finish(MOST_INSIDE) == [f"loud {2 * MOST_INSIDE}"]

    run(trial, MOST_INSIDE)


@pytest.mark.usefixtures("no_burst")
def test_no_new_burst_begins_while_somebody_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 30.0)

    async def trial(crowd: Crowd) -> None:
        flood(crowd, "loud", 4 * MOST_INSIDE)
        assert await crowd.finish(1) == []  # all who waited are late, and the line is empty
        monkeypatch.setattr(module, "BURST_SECONDS", inf)
        flood(crowd, "also", MOST_INSIDE)

        assert await crowd.finish(1) == []

    run(trial, NONE)


def test_burst_goes_in_however_long_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BURST_SECONDS", inf)

    async def trial(crowd: Crowd) -> None:
        flood(crowd, "loud", 4 * MOST_INSIDE)
        for _ in range(3):
            assert len(await crowd.finish(MOST_INSIDE)) == MOST_INSIDE

    run(trial, NONE)


@pytest.mark.usefixtures("no_burst")
def test_nobody_is_late_beside_no_more_than_can_be_under_way_at_once() -> None:
    async def trial(crowd: Crowd) -> None:
        flood(crowd, "loud", 2 * MOST_INSIDE)
        assert len(await crowd.finish(MOST_INSIDE)) == MOST_INSIDE

    run(trial, NONE)


@pytest.mark.usefixtures("no_burst")
def test_who_was_passed_over_saved_no_turns_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_SWEEP_SECONDS", 0.0)
    late = f"loud {3 * MOST_INSIDE - 1}"

    async def trial(crowd: Crowd) -> None:
        flood(crowd, "loud", 3 * MOST_INSIDE)
        await crowd.finish(1)
        await crowd.finish(MOST_INSIDE - 1)
        for _ in range(5):  # rounds of others, while they wait to be told
            flood(crowd, "loud", MOST_INSIDE)
            await crowd.finish(MOST_INSIDE)
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
        assert f"{late} turned back" in await crowd.told()
        flood(crowd, "loud", MOST_INSIDE)
        before = len(crowd.inside)

        for _ in range(5):
            crowd.send(late)

        # By the turn that the others have had since, but not by those while it waited.
        assert crowd.inside[before:] == [late]

    run(trial, NONE)


@pytest.mark.usefixtures("no_burst")
def test_a_full_line_turns_back_who_is_late_for_who_comes() -> None:
    async def trial(crowd: Crowd) -> None:
        flood(crowd, "loud", MOST_INSIDE + MOST_WAITING)
        await crowd.finish(1)
        crowd.send("loud new")
        assert crowd.inside[-1] == "loud new"

        crowd.send("loud other")

        assert crowd.inside[-1] == f"loud {MOST_INSIDE} turned back"
        assert crowd.turnstile.waiting == MOST_WAITING

    run(trial, NONE)
