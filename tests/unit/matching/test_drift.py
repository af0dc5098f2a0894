import numpy as np
import pandas as pd
import pytest

from matching.candidates import Fitting
from matching.drift import drift, stability
from matching.evaluation import canonical
from matching.model import Model, Prior, first_champion
from tests.unit.matching.evenings import TRUTH, as_training, simulated


@pytest.fixture(scope="module")
def reference() -> pd.DataFrame:
    return as_training(simulated(5, seed=51))


@pytest.fixture(scope="module")
def model(reference: pd.DataFrame) -> Model:
    return Fitting(canonical(reference), Prior()).linear


def test_stability_is_nought_for_the_same_and_the_published_sum_otherwise() -> None:
    old = np.arange(1000.0)
    assert stability(old, old) == pytest.approx(0)

    half = stability(old, old[:500])

    shares = np.array([0.2] * 5 + [1e-4] * 5)
    assert half == pytest.approx(((shares - 0.1) * np.log(shares / 0.1)).sum(), rel=0.01)


def test_later_rounds_of_the_same_world_ask_for_nothing(
    reference: pd.DataFrame, model: Model
) -> None:
    found = drift(reference, as_training(simulated(8, seed=52, first=30)), model)

    assert not found.beyond, found.sentence
    assert found.table["day"].nunique() == 8
    assert set(found.table["measure"]) >= {
        "match_score",
        "score",
        "outcome",
        "calibration",
        "slope",
    }


def test_other_decisions_of_the_same_proposals_are_calibration_drift(
    reference: pd.DataFrame, model: Model
) -> None:
    current = as_training(simulated(2, seed=53, first=30))
    turned = current.assign(accepted=np.where(current.index % 2 == 0, 1.0, current["accepted"]))

    found = drift(reference, turned, model)

    moved = set(found.table[found.table["beyond"]]["measure"])
    assert "calibration" in moved
    assert "constraint:pace" not in moved
    assert "a retrain is asked for" in found.sentence


def test_tastes_that_turn_while_as_many_accept_are_seen_by_the_slope(
    reference: pd.DataFrame, model: Model
) -> None:
    turned = as_training(simulated(4, seed=57, first=30, truth=TRUTH | {"pace": -6.0}))

    found = drift(reference, turned, model)

    moved = found.table[found.table["beyond"]]
    assert set(moved["measure"]) == {"slope"}
    assert moved["day"].nunique() == 4


def test_a_belief_that_learned_from_nobody_has_no_slope_to_keep(reference: pd.DataFrame) -> None:
    found = drift(reference.head(0), reference, first_champion())

    assert set(found.table["measure"]) == {"calibration"}


def test_constraint_that_goes_missing_or_shifts_is_seen_on_its_day(
    reference: pd.DataFrame, model: Model
) -> None:
    current = as_training(simulated(2, seed=54, first=30))
    last = current["group"] == current["group"].max()
    gone = current.assign(**{"constraint:craft": current["constraint:craft"].mask(last)})

    found = drift(reference, gone, model)

    moved = found.table[found.table["beyond"] & (found.table["measure"] == "constraint:craft")]
    assert moved["day"].tolist() == [current["group"].max()]


def test_undecided_days_and_small_days_are_no_evidence(
    reference: pd.DataFrame, model: Model
) -> None:
    current = as_training(simulated(1, seed=55, first=30))

    waiting = drift(reference, current.assign(accepted=np.nan), model)
    few = drift(reference, current.head(10), model)

    assert not {"outcome", "calibration"} & set(waiting.table["measure"])
    assert (few.beyond, len(few.table)) == (False, 0)
    assert isinstance(few.table, pd.DataFrame)
