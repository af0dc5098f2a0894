"""A fit of more decisions in the champion's own way, and data that were spoiled on their way."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from matching.candidates import Candidate, Fitting
from matching.evaluation import canonical
from matching.evidence import Evidence, Limits
from matching.model import Model, Prior
from matching.refresh import checks, slope
from matching.training import Retraining, retrain
from tests.unit.matching.evenings import as_training, simulated


@pytest.fixture(scope="module")
def known() -> pd.DataFrame:
    return as_training(simulated(6, seed=61))


@pytest.fixture(scope="module")
def champion(known: pd.DataFrame) -> Model:
    return Fitting(canonical(known), Prior()).linear


@pytest.fixture(scope="module")
def new() -> pd.DataFrame:
    return as_training(simulated(2, seed=62, first=6))


def judged(known: pd.DataFrame, new: pd.DataFrame, champion: Model) -> Retraining:
    return retrain(pd.concat([known, new], ignore_index=True), champion, seed=0)


def failed(found: Retraining) -> set[str]:
    return {check.name for check in found.verdict.checks if not check.passed}


def test_a_refresh_goes_on_from_the_champion_though_its_gain_cannot_be_shown_yet(
    known: pd.DataFrame, new: pd.DataFrame, champion: Model
) -> None:
    found = judged(known, new, champion)

    assert found.metrics["gain_lower"] <= 0
    assert found.verdict.promote, found.verdict.sentence
    assert "goes on with newer decisions" in found.verdict.sentence
    assert found.model.trained_rows == len(known) + len(new)


def test_labels_that_are_swapped_from_now_on_stop_the_loop_at_the_gate(
    known: pd.DataFrame, new: pd.DataFrame, champion: Model
) -> None:
    tonight = new[new["group"] == new["group"].min()]

    found = judged(known, tonight.assign(accepted=1 - tonight["accepted"]), champion)

    assert {"champion's word", "labels"} <= failed(found)
    assert "are labels swapped?" in found.verdict.sentence


def test_swapped_labels_are_refused_where_learning_from_them_seems_to_gain(
    known: pd.DataFrame, new: pd.DataFrame, champion: Model
) -> None:
    found = judged(known, new.assign(accepted=1 - new["accepted"]), champion)

    assert found.metrics["gain_lower"] > 0
    assert "labels" in failed(found)


def test_decisions_by_lot_are_no_ground_to_go_on(
    known: pd.DataFrame, new: pd.DataFrame, champion: Model
) -> None:
    tonight = new[new["group"] == new["group"].min()]
    lot = np.random.default_rng(1).permutation(tonight["accepted"])

    found = judged(known, tonight.assign(accepted=lot), champion)

    assert "champion's word" in failed(found)


def test_a_constraint_that_knows_the_decision_is_named(
    known: pd.DataFrame, new: pd.DataFrame, champion: Model
) -> None:
    leaked = new.assign(**{"constraint:noise": 0.1 + 0.8 * new["accepted"]})

    found = judged(known, leaked, champion)

    assert "too good" in failed(found)
    assert "noise alone tells accepted from rejected" in found.verdict.sentence


def test_only_the_champions_own_way_of_fitting_is_a_refresh(
    known: pd.DataFrame, new: pd.DataFrame, champion: Model
) -> None:
    def other(fitting: Fitting) -> Model:
        return fitting.linear

    both = pd.concat([known, new], ignore_index=True)
    foreign = retrain(both, champion, seed=0, offered=[Candidate("update", other, 0)])
    another = retrain(both, replace(champion, kind="interactions"), seed=0)

    assert failed(foreign) == failed(another) == {"gain"}


@pytest.mark.parametrize(("means", "passes"), [(1.0, True), (0.0, False), (-1.0, False)])
def test_slope_is_what_the_champions_log_odds_mean(means: float, passes: bool) -> None:
    generator = np.random.default_rng(3)
    expected = generator.normal(0, 1.5, 2_000)
    codes = np.repeat(np.arange(100), 20)
    found = Evidence(
        accepted=(generator.random(2_000) < expit(means * expected)).astype("float64"),
        champion=expit(expected),
        candidate=expit(expected),
        person=codes,
        partner=generator.integers(0, 100, 2_000),
        round=codes // 10,
    )

    assert slope(found, Limits()).mean == pytest.approx(means, abs=0.15)
    asked = {check.name: check.passed for check in checks(replace(found, record=found), Limits())}
    assert asked["champion's word"] is passes
    assert asked["record"] is False
    assert checks(found, Limits()) == ()
