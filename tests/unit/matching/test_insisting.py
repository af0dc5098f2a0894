"""The price of a rule is what is lost when its pairs are forbidden and the rest assigned anew."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from matching.insisting import THRESHOLD, price_constraints
from matching.model import first_champion, score

if TYPE_CHECKING:
    from numpy.random import Generator

MODEL = first_champion()


def market(draw: Generator, rounds: int, people: int, **given: Any) -> pd.DataFrame:
    """Return rounds in which everybody of one side is proposed to everybody of the other."""
    rows = []
    for number in range(rounds):
        for left in range(people):
            for right in range(people):
                key = (number * people + left) * people + right
                satisfied = given.get("satisfied", lambda *_: draw.random())(left, right)
                score_ = round(float(draw.random()), 3)
                for side, subject in ((0, left), (1, 1_000 + right)):
                    rows.append(
                        {
                            "match_key": key,
                            "subject": subject,
                            "group": f"2026-01-{number + 1:02}",
                            "occurred_at": pd.Timestamp(f"2026-01-{number + 1:02}", tz="UTC"),
                            "match_score": score_,
                            "alternatives_count": float(people - 1),
                            "model_version": "",
                            "accepted": np.nan,
                            "rating": np.nan,
                            "parameter:side": float(side),
                            "constraint:near": satisfied,
                        }
                    )
    return pd.DataFrame(rows)


def best_by_trial(worth: np.ndarray) -> float:
    """Try every assignment; a pair that is NaN is not made."""
    size = len(worth)
    return max(
        float(np.nansum(worth[range(size), list(order)])) for order in permutations(range(size))
    )


def worth_of(frame: pd.DataFrame, people: int) -> np.ndarray:
    both = score(MODEL, frame)["p_mutual"].to_numpy()[::2]
    return both.reshape(people, people)


def test_price_is_what_trying_every_assignment_finds() -> None:
    frame = market(np.random.default_rng(3), rounds=1, people=5)

    (price,) = price_constraints(frame, MODEL, smallest=2)

    worth = worth_of(frame, 5)
    satisfied = frame["constraint:near"].to_numpy()[::2].reshape(5, 5)
    kept = np.where(satisfied < THRESHOLD, np.nan, worth)
    free = best_by_trial(worth)
    assert price.cost == pytest.approx((free - best_by_trial(kept)) / free, rel=1e-9)
    assert price.cost > 0
    assert (price.pairs, price.forbidden) == (25, int((satisfied < THRESHOLD).sum()))
    assert (price.lower, price.upper) == (None, None)


def test_rule_that_everybody_keeps_costs_nothing_and_one_that_nobody_keeps_everything() -> None:
    def priced(value: float) -> float:
        frame = market(np.random.default_rng(1), rounds=3, people=3, satisfied=lambda *_: value)
        (price,) = price_constraints(frame, MODEL, smallest=2)
        return price.cost

    assert priced(THRESHOLD) == 0.0
    assert priced(THRESHOLD - 0.01) == 1.0


def test_missing_satisfaction_is_not_held_against_a_pair() -> None:
    frame = market(np.random.default_rng(1), rounds=2, people=3, satisfied=lambda *_: np.nan)

    (price,) = price_constraints(frame, MODEL, smallest=2)

    assert (price.cost, price.forbidden) == (0.0, 0)


def test_interval_narrows_with_rounds_and_holds_the_price() -> None:
    few, many = (
        price_constraints(market(np.random.default_rng(5), n, 4), MODEL, smallest=2)[0]
        for n in (4, 24)
    )

    for price in (few, many):
        assert price.lower is not None
        assert price.upper is not None
        assert price.lower <= price.cost <= price.upper
    assert (many.upper or 1) - (many.lower or 0) < (few.upper or 1) - (few.lower or 0)


def test_rule_that_touches_or_spares_too_few_people_is_not_priced() -> None:
    one_pair = market(
        np.random.default_rng(2),
        rounds=3,
        people=6,
        satisfied=lambda left, right: 0.1 if left == right == 0 else 0.9,
    )

    assert price_constraints(one_pair, MODEL, smallest=3) == []
    assert len(price_constraints(one_pair, MODEL, smallest=2)) == 1


def test_matches_of_one_party_alone_have_no_price() -> None:
    frame = market(np.random.default_rng(2), rounds=2, people=3)
    alone = frame[frame["parameter:side"] == 0].reset_index(drop=True)

    assert price_constraints(alone, MODEL, smallest=2) == []
    assert price_constraints(frame.iloc[:0], MODEL, smallest=2) == []
