import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from matching.candidates import Fitting
from matching.evaluation import canonical
from matching.model import Model, Prior, explain, first_champion, score
from matching.trees import Trees
from matching.updating import update
from schemas.errors import InvalidInput, NotEnoughDecisions
from tests.unit.matching.evenings import as_training, simulated


def fit(training: pd.DataFrame) -> Model:
    return Fitting(canonical(training), Prior()).linear


@pytest.fixture(scope="module")
def training() -> pd.DataFrame:
    return as_training(simulated(6, seed=11))


@pytest.fixture(scope="module")
def model(training: pd.DataFrame) -> Model:
    return fit(training)


def test_first_champion_ranks_as_the_matchers_own_score_does() -> None:
    frame = pd.DataFrame({"match_score": [0.0, 0.3, 0.5, 0.9, 1.0]})

    scored = score(first_champion(), frame)

    assert scored["p_accept"].is_monotonic_increasing
    assert scored["p_accept"][2] == pytest.approx(1 / (1 + np.exp(1.1)))
    assert scored["p_mutual"].isna().all()
    assert (scored["utility"] == scored["p_accept"] * scored["expected_satisfaction"] / 5).all()


def test_mutual_acceptance_is_the_product_over_both_parties_wherever_their_rows_are(
    training: pd.DataFrame,
) -> None:
    frame = training.sample(frac=1, random_state=1)
    frame = frame[frame["match_key"] != frame["match_key"].iloc[0]]
    alone = frame.iloc[1:]

    scored = score(first_champion(), alone)

    product = scored["p_accept"].groupby(alone["match_key"]).transform("prod")
    single = alone["match_key"] == frame["match_key"].iloc[0]
    assert single.sum() == 1
    assert scored["p_mutual"][single].isna().all()
    assert scored["p_mutual"][~single].to_numpy() == pytest.approx(product[~single].to_numpy())
    assert scored["expected_satisfaction"].between(1, 5).all()


def test_model_learns_what_decides(model: Model) -> None:
    later = as_training(simulated(4, seed=12, first=50))
    scored, first = score(model, later), score(first_champion(), later)
    accepted = later["accepted"]

    def surprise(p: pd.Series) -> float:
        return float(-np.log(np.where(accepted == 1, p, 1 - p)).mean())

    assert surprise(scored["p_accept"]) < surprise(first["p_accept"]) - 0.05
    rated = later["rating"].notna()
    satisfied = np.corrcoef(scored["expected_satisfaction"][rated], later["rating"][rated])
    assert satisfied[0, 1] > 0.3


def test_contributions_sum_to_the_log_odds_and_name_their_constraint(
    model: Model, training: pd.DataFrame
) -> None:
    frame = training.head(7)

    parts = explain(model, frame)

    total = parts.groupby("row")["contribution"].sum()
    assert total.to_numpy() == pytest.approx(logit(score(model, frame)["p_accept"].to_numpy()))
    assert set(parts["constraint"]) == {"", "pace", "craft", "noise"}
    strongest = parts.groupby("constraint")["contribution"].apply(lambda one: one.abs().sum())
    assert strongest["pace"] > strongest["noise"]


def test_json_gives_the_same_model_back_and_the_same_digest(
    model: Model, training: pd.DataFrame
) -> None:
    again = Model.from_json(model.to_json())

    assert again.digest == model.digest
    pd.testing.assert_frame_equal(score(again, training), score(model, training))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', "null"])
def test_text_that_is_no_model_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Model.from_json(text)


def test_model_holds_no_row_and_no_person(model: Model, training: pd.DataFrame) -> None:
    text = model.to_json()

    assert not any(f'"{one}"' in text for one in training["subject"].unique())
    assert not any(one in text for one in training["match_key"].unique())
    assert set(json.loads(text)["design"]["centres"]) == {"pace", "craft", "noise"}


def test_unknown_constraint_is_ignored_and_a_missing_one_is_a_value(
    model: Model, training: pd.DataFrame
) -> None:
    frame = training.head(20)
    bare = frame[["match_score"]]

    same = score(model, frame.assign(**{"constraint:brand new": 0.9}))
    without = score(model, bare)

    pd.testing.assert_frame_equal(same, score(model, frame))
    assert without["p_accept"].between(0, 1).all()
    assert np.isfinite(without["expected_satisfaction"]).all()


@pytest.mark.parametrize(
    ("column", "field"), [("match_score", "match_score"), ("constraint:pace", "constraint:[]")]
)
def test_infinite_value_is_refused_by_name_and_never_becomes_a_probability(
    model: Model, training: pd.DataFrame, column: str, field: str
) -> None:
    frame = training.head(20).copy()
    frame.loc[3, column] = np.inf

    with pytest.raises(InvalidInput) as refused:
        score(model, frame)

    assert refused.value.field == field


def test_new_constraint_gets_its_weights_without_breaking_the_champion(
    training: pd.DataFrame,
) -> None:
    later = as_training(simulated(6, seed=13, first=20, truth={"pace": 6.0, "fresh": 5.0}))

    model = fit(pd.concat([training, later], ignore_index=True))

    assert model.constraints == ("craft", "fresh", "noise", "pace")
    weights = dict(zip((t.name for t in model.design.terms), model.acceptance.mean, strict=True))
    assert weights["offers:fresh"] > 1


def test_update_by_new_rounds_is_close_to_a_full_refit(training: pd.DataFrame) -> None:
    """The stated tolerance: 0.05 at most and 0.01 on average, for twice the decisions."""
    later = as_training(simulated(6, seed=14, first=20))
    both = pd.concat([training, later], ignore_index=True)

    difference = score(update(fit(training), later), both) - score(fit(both), both)

    assert difference["p_accept"].abs().max() < 0.05
    assert difference["p_accept"].abs().mean() < 0.01
    assert difference["expected_satisfaction"].abs().mean() < 0.05


def test_version_one_can_be_updated_by_its_first_round() -> None:
    first = as_training(simulated(3, seed=15))

    updated = update(first_champion(), first)

    assert updated.trained_rows == len(first)
    assert updated.constraints == ("craft", "noise", "pace")


def test_update_without_a_decision_or_of_trees_is_refused(
    model: Model, training: pd.DataFrame
) -> None:
    with pytest.raises(NotEnoughDecisions):
        update(model, training.assign(accepted=np.nan))
    leaf = np.array([-1])
    trees = Trees(0.0, leaf, np.zeros(1), leaf, leaf, np.zeros(1), np.zeros(1, int))
    with pytest.raises(InvalidInput):
        update(replace(model, trees=trees), training)


def test_scoring_does_not_change_its_input(model: Model, training: pd.DataFrame) -> None:
    frame = training.head(10)
    before = frame.copy()

    score(model, frame)
    explain(model, frame)

    pd.testing.assert_frame_equal(frame, before)
