"""Learning step by step against learning everything at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from matching import market
from matching.candidates import Fitting, fit_boosted
from matching.evaluation import canonical
from matching.logistic import Gaussian, posterior
from matching.model import Model, first_champion
from matching.refit import RefitDifference, compare_refit
from matching.rounds import proposals


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    """Six rounds of a third of the pairs of a market."""
    held = market.rounds(market.open_market(seed=1), 6)
    return pd.concat([proposals(round_.pairs).iloc[::3] for round_ in held], ignore_index=True)


@pytest.fixture(scope="module")
def fitting(history: pd.DataFrame) -> Fitting:
    return Fitting(canonical(history), first_champion().prior)


def trained_for(rounds: int, history: pd.DataFrame) -> Model:
    ends = sorted(history.groupby("group")["occurred_at"].max())
    return replace(first_champion(), trained_until=ends[rounds - 1].isoformat())


@pytest.mark.parametrize("rounds", [1, 3, 5])
def test_step_by_step_agrees_with_everything_at_once(
    history: pd.DataFrame, fitting: Fitting, rounds: int
) -> None:
    found = compare_refit(history, trained_for(rounds, history), fitting.linear)

    assert found is not None
    assert found.within
    assert 0 < found.probability < 0.001
    assert str(found.since) not in found.sentence.split("(")[0]
    assert found.before + found.since == history["accepted"].notna().sum()
    decided = history.groupby("group")["accepted"].count().sort_index()
    assert found.before == decided.iloc[:rounds].sum()


@pytest.mark.parametrize("rounds", [0, 6])
def test_a_champion_that_learned_nothing_or_everything_is_tried_on_the_later_half(
    history: pd.DataFrame, fitting: Fitting, rounds: int
) -> None:
    champion = trained_for(rounds, history) if rounds else first_champion()

    found = compare_refit(history, champion, fitting.linear)

    assert found is not None
    decided = history.groupby("group")["accepted"].count().sort_index()
    assert found.since == decided.iloc[3:].sum()


def test_the_linear_part_of_a_boosted_model_is_compared(
    history: pd.DataFrame, fitting: Fitting
) -> None:
    champion = trained_for(3, history)

    boosted = compare_refit(history, champion, fit_boosted(fitting, seed=1))

    assert boosted == compare_refit(history, champion, fitting.linear)


def test_nothing_came_later_than_a_single_round(history: pd.DataFrame, fitting: Fitting) -> None:
    single = history[history["group"] == history["group"].min()]

    assert compare_refit(single, first_champion(), fitting.linear) is None


def forget_the_past(rows: Any, accepted: Any, belief: Gaussian) -> Gaussian:
    """A broken update: the posterior of before is thrown away."""
    return posterior(rows, accepted, Gaussian(belief.mean * 0, np.eye(len(belief.mean))))


def count_twice(rows: Any, accepted: Any, belief: Gaussian) -> Gaussian:
    """A broken update: the new decisions are learned from twice."""
    return posterior(np.vstack([rows] * 2), np.tile(accepted, 2), belief)


@pytest.mark.parametrize("broken", [forget_the_past, count_twice])
def test_an_update_that_forgets_or_counts_twice_is_beyond_the_tolerance(
    history: pd.DataFrame, fitting: Fitting, monkeypatch: pytest.MonkeyPatch, broken: Any
) -> None:
    monkeypatch.setattr("matching.updating.posterior", broken)

    found = compare_refit(history, trained_for(2, history), fitting.linear)

    assert found is not None
    assert not found.within
    assert "differs from" in found.sentence


def test_a_distance_that_is_no_number_is_not_within_the_tolerance() -> None:
    assert not RefitDifference(float("nan"), 0.0, 1, 1).within
    assert not RefitDifference(0.0, float("nan"), 1, 1).within
