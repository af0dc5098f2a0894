"""The simulated market is reproducible, keeps its settings, and can be learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from matching.assignment import assign
from matching.market import (
    Effect,
    Market,
    MarketSettings,
    hold_round,
    open_market,
    places,
    rounds,
    true_effects,
    true_utility,
)
from matching.pairing import Pairing, read_pairing
from matching.rounds import proposals
from schemas.errors import InvalidInput

ROUND_COLUMNS = {
    "match_id", "user_id", "partner_id", "side", "group", "occurred_at", "match_score",
    "alternatives_count", "parameter:side", "accepted", "rating",
}  # fmt: skip


Utility = Callable[[pd.DataFrame, Pairing], np.ndarray]


def both_accept(probability: np.ndarray, pairing: Pairing) -> np.ndarray:
    both = np.empty_like(probability)
    both[pairing.first] = both[pairing.second] = (
        probability[pairing.first] * probability[pairing.second]
    )
    return pairing.matrix(both)


def mutual_matches(market: Market, count: int, utility_of: Utility) -> float:
    """Expected mutual matches of the assignments by some utility over some rounds."""
    total = 0.0
    for held in rounds(market, count):
        pairing = read_pairing(held.pairs)
        found = assign(utility_of(held.pairs, pairing), places(market))
        total += true_utility(held.pairs, pairing)[found.rows, found.columns].sum()
    return total


def by_equal_weights(pairs: pd.DataFrame, pairing: Pairing) -> np.ndarray:
    return both_accept(pairs["match_score"].to_numpy(), pairing)


def by_true_effects(pairs: pd.DataFrame, pairing: Pairing) -> np.ndarray:
    """What a learner can know at best: the effects of constraints, not the hidden tastes."""
    effects = np.array([effect.weights for effect in MarketSettings().effects])
    seen = pairs.filter(like="constraint:").fillna(0.5).to_numpy() - 0.5
    log_odds = (seen * effects[:, pairs["side"]].T).sum(axis=1) - 0.9
    return both_accept(expit(log_odds), pairing)


def test_same_seed_gives_the_same_round_whatever_was_held_before() -> None:
    straight = list(rounds(open_market(seed=3), 4))

    again = hold_round(open_market(seed=3), 3)

    pd.testing.assert_frame_equal(straight[3].pairs, again.pairs)
    assert straight[3].day == again.day
    assert not straight[2].pairs["true_probability"].equals(again.pairs["true_probability"])


def test_another_seed_gives_other_people_and_decisions() -> None:
    one, two = (hold_round(open_market(seed=seed), 0).pairs for seed in (3, 4))

    assert not one["true_probability"].head(1000).equals(two["true_probability"].head(1000))


def test_round_holds_every_feasible_pair_in_both_directions() -> None:
    market = open_market(replace(MarketSettings(), infeasible=0.2), seed=1)
    held = hold_round(market, 0)

    pairing = read_pairing(held.pairs)

    assert set(held.pairs.columns) >= ROUND_COLUMNS
    assert len(pairing.rows) == len(pairing.columns) == 40
    assert pairing.row_of.size == pytest.approx(0.8 * 1600, rel=0.1)
    one, two = held.pairs.iloc[pairing.first], held.pairs.iloc[pairing.second]
    assert (one["user_id"].to_numpy() == two["partner_id"].to_numpy()).all()
    assert (one["partner_id"].to_numpy() == two["user_id"].to_numpy()).all()


def test_values_are_those_that_an_event_may_carry() -> None:
    held = hold_round(open_market(seed=2), 5)
    satisfaction = held.pairs.filter(like="constraint:").to_numpy()
    known = satisfaction[np.isfinite(satisfaction)]

    assert known.min() >= 0
    assert known.max() <= 1
    assert held.pairs["match_score"].between(0, 1).all()
    assert (held.pairs["alternatives_count"] >= 0).all()
    assert held.pairs["rating"].dropna().isin([1, 2, 3, 4, 5]).all()
    assert str(held.pairs["occurred_at"].dtype) == "datetime64[us, UTC]"
    assert held.pairs["accepted"].dtype == bool
    assert len(proposals(held.pairs)) == len(held.pairs)


def test_decisions_happen_as_often_as_their_true_probabilities_say() -> None:
    pairs = pd.concat([held.pairs for held in rounds(open_market(seed=5), 10)])
    band = pd.cut(pairs["true_probability"], np.linspace(0, 1, 11))
    by_band = pairs.groupby(band, observed=True)[["accepted", "true_probability"]].mean()

    np.testing.assert_allclose(by_band["accepted"], by_band["true_probability"], atol=0.03)


def test_people_consent_and_show_up_in_the_shares_asked_for() -> None:
    settings = MarketSettings(people=2000, turnout=400, consents=(0.8, 0.5, 0.25), no_show=0.3)
    market = open_market(settings, seed=6)

    held = hold_round(market, 0).pairs

    assert market.people["analytics"].mean() == pytest.approx(0.8, abs=0.03)
    assert market.people["improvement"].mean() == pytest.approx(0.4, abs=0.03)
    assert market.people["preferences"].mean() == pytest.approx(0.2, abs=0.03)
    per_person = held.groupby("user_id")["shows_up"].agg(["min", "max"])
    assert (per_person["min"] == per_person["max"]).all()
    assert per_person["max"].mean() == pytest.approx(0.7, abs=0.05)


def test_effects_drift_only_when_asked_to() -> None:
    still = open_market(replace(MarketSettings(), drift=0.0), seed=7)
    drifting = open_market(replace(MarketSettings(), drift=0.5), seed=7)

    assert np.array_equal(true_effects(still, 0), true_effects(still, 9))
    assert np.abs(true_effects(drifting, 9) - true_effects(drifting, 0)).mean() > 0.5


def test_knowing_the_effects_gains_most_of_what_the_oracle_has_over_equal_weights() -> None:
    shares = []
    for seed in range(3):
        market = open_market(seed=seed)
        equal = mutual_matches(market, 5, by_equal_weights)
        known = mutual_matches(market, 5, by_true_effects)
        oracle = mutual_matches(market, 5, true_utility)
        assert equal < known < oracle
        shares.append((known - equal) / (oracle - equal))

    assert np.mean(shares) > 0.6


def test_more_places_on_one_side_are_used() -> None:
    market = open_market(MarketSettings(turnout=20, people=60, places=(1, 3)), seed=8)
    held = hold_round(market, 0)

    found = assign(true_utility(held.pairs, read_pairing(held.pairs)), places(market))

    assert np.bincount(found.columns).max() == 3
    assert np.bincount(found.rows).max() == 1


def test_unknown_satisfaction_is_absent_and_scores_one_half_when_nothing_is_known() -> None:
    settings = MarketSettings(effects=(Effect("only", (1.0, 1.0), missing=1.0),))

    pairs = hold_round(open_market(settings, seed=9), 0).pairs

    assert pairs["constraint:only"].isna().all()
    assert (pairs["match_score"] == 0.5).all()


def test_assigned_pairs_lead_back_to_both_their_rows() -> None:
    held = hold_round(open_market(seed=10), 0)
    pairing = read_pairing(held.pairs)
    found = assign(true_utility(held.pairs, pairing), places(open_market(seed=10)))

    proposed = held.pairs.iloc[pairing.positions(found)]

    assert len(proposed) == 2 * len(found.pairs)
    assert (proposed.groupby("match_id").size() == 2).all()
    assert not proposed["user_id"].duplicated().any()
    named = {(pairing.rows[row], pairing.columns[column]) for row, column in found.pairs}
    first = proposed[proposed["side"] == 0]
    assert set(zip(first["user_id"], first["partner_id"], strict=True)) == named


def test_match_with_one_row_alone_is_refused() -> None:
    held = hold_round(open_market(seed=11), 0)

    with pytest.raises(InvalidInput):
        read_pairing(held.pairs.iloc[1:])


@pytest.mark.parametrize(
    "broken", [{"turnout": 0}, {"turnout": 200}, {"no_show": 1.5}, {"drift": -1.0}]
)
def test_settings_that_make_no_market_are_refused_by_name(broken: dict[str, float]) -> None:
    with pytest.raises(InvalidInput) as failure:
        MarketSettings(**broken)

    assert failure.value.field in broken
