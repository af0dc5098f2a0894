"""A sound loop passes its checks; a loop broken on purpose is caught."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks.learning import (
    POLICIES,
    Learner,
    broken_loops,
    lay_out,
    one_market,
    play,
    regrets,
    summary,
)
from matching.loop_checks import check_loop
from matching.market import MarketSettings, open_market
from schemas.errors import InvalidInput

SMALL = MarketSettings(people=60, turnout=30)


def a_turn(**changed: float) -> dict[str, float]:
    """One turn of a loop that does what it claims."""
    return {
        "predicted": 10.0,
        "variance": 6.0,
        "happened": 10.0,
        "baseline": 7.0,
        "learned_from": 500.0,
        "available": 500.0,
    } | changed


def failed(turns: list[dict[str, float]]) -> list[str]:
    return [check.name for check in check_loop(pd.DataFrame(turns)) if not check.passed]


def test_loop_that_does_what_it_claims_passes() -> None:
    assert failed([a_turn() for _ in range(6)]) == []


def test_promises_that_are_not_kept_are_caught() -> None:
    assert failed([a_turn(predicted=25.0) for _ in range(6)]) == ["keeps its promises"]


def test_first_turn_promises_nothing() -> None:
    assert failed([a_turn(predicted=200.0), *(a_turn() for _ in range(5))]) == []


def test_fewer_matches_than_the_first_matcher_are_caught() -> None:
    assert failed([a_turn(baseline=12.0) for _ in range(6)]) == ["beats the baseline"]


def test_unknown_baseline_is_no_failure() -> None:
    assert failed([a_turn(baseline=float("nan")) for _ in range(6)]) == []


def test_model_that_no_longer_learns_is_caught() -> None:
    turns = [a_turn(learned_from=80.0, available=80.0 * (1 + turn)) for turn in range(6)]

    assert failed(turns) == ["is fresh"]


def test_too_few_turns_and_absent_columns_are_refused() -> None:
    with pytest.raises(InvalidInput):
        check_loop(pd.DataFrame([a_turn()]))
    with pytest.raises(InvalidInput):
        check_loop(pd.DataFrame([a_turn()] * 5).drop(columns="variance"))


@pytest.mark.parametrize(
    ("broken", "by"),
    [
        ("labels flipped", {"keeps its promises", "beats the baseline"}),
        ("stale model", {"is fresh"}),
        ("leaked future", {"keeps its promises"}),
    ],
)
def test_loop_broken_on_purpose_is_caught(broken: str, by: set[str]) -> None:
    market = open_market(SMALL, seed=1)
    tables = [lay_out(market, turn) for turn in range(6)]

    found = {
        check.name
        for check in check_loop(play(tables, broken_loops()[broken], 1))
        if not check.passed
    }

    assert by <= found


def test_sound_loop_learns_and_passes_in_the_same_market() -> None:
    market = open_market(SMALL, seed=1)
    tables = [lay_out(market, turn) for turn in range(6)]

    turns = play(tables, Learner(budget=0.01), 1)

    assert [check.name for check in check_loop(turns) if not check.passed] == []
    assert turns["value"].iloc[-3:].mean() > turns["value"].iloc[0] + 1


def test_learning_is_nearer_to_the_oracle_than_what_does_not_learn() -> None:
    played = pd.concat([one_market(seed, 5, SMALL) for seed in (2, 3)], ignore_index=True)

    late = regrets(played)[lambda table: table["turn"] == 5].set_index("policy")["regret"]

    assert late["greedy"] < late["static"] < late["random"]
    assert late["exploring"] < late["static"]
    assert [row["policy"] for row in summary(played)] == ["oracle", *POLICIES]
