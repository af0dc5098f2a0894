"""Order, delay and repetition do not matter: any delivery of a history gives the same metrics."""

from __future__ import annotations

import itertools
import random
from sqlite3 import IntegrityError
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.worlds import Worlds
from tests.histories import admit, history, tables
from tests.population import arrive, process
from warehouse.engine import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import SecretStr

    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("order, delay and repetition do not matter")

PEOPLE, EVENTS = 5, 60
SAME = ("matches", "sums", "events", "rejected", "counted", "staged")


def _people(engine: Any) -> None:
    admit(engine, range(1, PEOPLE + 1))


def delivered(copies: Iterator[SecretStr], parts: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Deliver events part by part, with a run of the flow behind each; return what is left."""
    engine = connect(next(copies))
    for part in parts:
        arrive(engine, part)
        process(engine)
    found = tables(engine)
    engine.dispose()
    return {name: found[name] for name in SAME}


def scrambled(rows: list[dict[str, Any]], seed: int, cuts: list[int]) -> list[list[dict[str, Any]]]:
    """Shuffle events, cut them into parts, and send some of each part again with a later one."""
    draw = random.Random(seed)
    shuffled = draw.sample(rows, len(rows))
    bounds = [0, *sorted(cuts), len(rows)]
    parts = [shuffled[first:last] for first, last in itertools.pairwise(bounds)]
    again = [draw.sample(shuffled[:last], min(last, 9)) for last in bounds[1:]]
    return [one for pair in zip(parts, again, strict=True) for one in pair]


@pytest.mark.trials(short=10, full=2_000)
def test_any_delivery_gives_the_same_metrics(
    tally: Tally, make_worlds: Callable[..., Worlds]
) -> None:
    copies = make_worlds("sqlite", _people).copies()

    @settings(max_examples=tally.planned, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32), st.lists(st.integers(0, EVENTS), max_size=4))
    def hold(seed: int, cuts: list[int]) -> None:
        rows = history(seed, length=EVENTS, subjects=PEOPLE, matches=6)
        tally.count()
        assert delivered(copies, scrambled(rows, seed, cuts)) == delivered(copies, [rows])

    hold()
    copies.close()


def test_flow_that_lets_the_last_one_win_is_caught(
    tally: Tally, make_worlds: Callable[..., Worlds], monkeypatch: pytest.MonkeyPatch
) -> None:
    from warehouse import matches

    stand = matches._stand

    def last_wins(after: Any, facet: str, fills: Any, fresh: Any, group: Any) -> None:
        after[f"{facet}_at"][:] = matches.ABSENT
        stand(after, facet, fills, fresh, group)

    monkeypatch.setattr(matches, "_stand", last_wins)
    copies = make_worlds("sqlite", _people).copies()
    rows = history(3, length=EVENTS, subjects=PEOPLE, matches=6)
    try:
        whole = delivered(copies, [rows])
        tally.mutant_caught = delivered(copies, scrambled(rows, 3, [20, 40])) != whole
    except IntegrityError:
        tally.mutant_caught = True
    assert tally.mutant_caught
