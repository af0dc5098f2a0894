"""A killed flow changes nothing but time: SIGKILL at step boundaries, then a run to the end."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.flow_runs import FlowRun, differences
from tests.faults.worlds import STATES, Worlds, left_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("a killed flow changes nothing but time")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("flow", sorted(STATES))
@pytest.mark.trials(short=2, full=15)
def test_rerun_after_a_kill_leaves_what_one_run_leaves(
    flow: str,
    kind: str,
    tally: Tally,
    make_worlds: Callable[[str, Any], Worlds],
    run_flow: Callable[..., FlowRun],
) -> None:
    copies = make_worlds(kind, STATES[flow]).copies()
    url = next(copies)
    boundaries, _ = run_flow(flow, url).passed()
    expected = left_by(url)
    assert expected["balanced"]

    for at in _chosen(boundaries, tally.planned):
        url = next(copies)
        assert run_flow(flow, url, at=at).wait() == -signal.SIGKILL
        assert run_flow(flow, url).wait() == 0
        different = differences(expected, left_by(url))
        tally.count(f"{flow}, killed at boundary {at}: {different} differ" if different else None)
    copies.close()
    assert tally.failures == []


def _chosen(boundaries: int, trials: int) -> list[int]:
    """Choose boundaries: all of them where there are no more than trials."""
    every = range(1, boundaries + 1)
    return sorted(random.Random(boundaries).sample(every, min(trials, boundaries)))
