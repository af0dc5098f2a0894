"""Retraining as a whole, on simulated rounds with a known truth."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from matching import figures
from matching.candidates import TREES_FROM, Candidate, Fitting
from matching.evaluation import canonical, splits
from matching.evidence import Limits
from matching.model import Model, explain, first_champion, score
from matching.training import Retraining, retrain
from matching.trees import Boosting, Trees, grow
from matching.weights import coefficients, weights
from schemas.errors import InvalidInput, NotEnoughDecisions
from tasks.training import fit
from tests.unit.matching.evenings import as_training, simulated


@pytest.fixture(scope="module")
def training() -> pd.DataFrame:
    return as_training(simulated(6, seed=21))


@pytest.fixture(scope="module")
def found(training: pd.DataFrame) -> Retraining:
    return retrain(training, first_champion(), seed=0)


def test_model_of_enough_rounds_is_promoted_with_its_evidence(found: Retraining) -> None:
    assert found.verdict.promote, found.verdict.sentence
    assert found.metrics["gain_lower"] > 0
    assert found.metrics["candidate_log_loss"] < found.metrics["champion_log_loss"]
    assert {"side", "person"} <= set(found.slices["slicing"])
    assert found.training_rows == found.model.trained_rows
    assert [one.name for one in found.candidates][:3] == ["update", "interactions", "selectivity"]


def test_same_rows_in_any_order_and_under_other_names_give_the_same_digest(
    training: pd.DataFrame, found: Retraining
) -> None:
    shuffled = training.sample(frac=1, random_state=7)
    renamed = shuffled.assign(
        match_key=shuffled["match_key"].map(lambda one: f"m{hash(one)}"),
        subject=pd.factorize(shuffled["subject"])[0][::1] * 7919 + 13,
    )
    columns = list(np.random.default_rng(1).permutation(training.columns))

    assert retrain(shuffled, first_champion(), seed=0).model.digest == found.model.digest
    assert retrain(renamed[columns], first_champion(), seed=0).model.digest == found.model.digest


def test_another_process_with_other_threads_gives_the_same_digest(found: Retraining) -> None:
    code = (
        "from tests.unit.matching.evenings import as_training, simulated\n"
        "from matching.model import first_champion\n"
        "from matching.training import retrain\n"
        "rows = as_training(simulated(6, seed=21))\n"
        "print(retrain(rows, first_champion(), seed=0).model.digest)\n"
    )
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, "4") | {"PYTHONHASHSEED": "7"}

    told = subprocess.run(
        [sys.executable, "-c", code],
        check=True, capture_output=True, text=True, timeout=120,
        cwd=Path(__file__).parents[3], env=environment,
    )  # fmt: skip

    assert told.stdout.split() == [found.model.digest]


def test_order_of_rows_is_that_of_their_content(training: pd.DataFrame) -> None:
    content = [name for name in training.columns if name not in ("match_key", "subject")]

    shuffled = canonical(training.sample(frac=1, random_state=5))

    pd.testing.assert_frame_equal(shuffled[content], canonical(training)[content], check_exact=True)


def test_retraining_without_a_person_gives_the_model_that_never_saw_them(
    training: pd.DataFrame,
) -> None:
    gone = training["subject"] == training["subject"].iloc[0]
    forgotten = training[~gone]
    never = training.drop(index=training.index[gone]).sample(frac=1, random_state=3)

    once = retrain(forgotten, first_champion(), seed=0)
    again = retrain(never, first_champion(), seed=0)

    assert once.model.digest == again.model.digest
    assert once.model.digest != retrain(training, first_champion(), seed=0).model.digest


def test_champion_enters_the_comparison_and_not_the_fit(
    training: pd.DataFrame, found: Retraining
) -> None:
    other = retrain(training.head(864), first_champion(), seed=0).model

    assert retrain(training, other, seed=0).model.digest == found.model.digest


def test_nothing_new_since_the_champion_is_no_ground_to_promote(
    training: pd.DataFrame, found: Retraining
) -> None:
    again = retrain(training, found.model, seed=0)

    assert not again.verdict.promote
    assert again.verdict.checks[0].name == "enough evidence"


def test_nothing_is_told_of_new_decisions_by_too_few_people(
    training: pd.DataFrame, found: Retraining
) -> None:
    last = training[training["group"] == training["group"].max()]
    later = (
        last[last["subject"] == last["subject"].iloc[0]]
        .head(7)
        .assign(
            group="newest",
            match_key=lambda one: [f"newest {row}" for row in range(len(one))],
            occurred_at=last["occurred_at"].max() + pd.Timedelta(days=1),
        )
    )
    assert 0 < len(later) <= 7
    more = pd.concat([training, later], ignore_index=True)

    told = retrain(more, found.model, seed=0)
    enough = retrain(more, first_champion(), seed=0)

    assert "fewer than 12 people" in told.verdict.sentence
    assert set(told.metrics) == {"width_share"}
    assert told.calibration.empty
    assert told.slices.empty
    assert enough.metrics["held_out_rows"] > 0
    assert not enough.calibration.empty


def test_a_platform_with_larger_groups_is_told_of_no_smaller_one(training: pd.DataFrame) -> None:
    rows: Any = SimpleNamespace(frame=training.head(288))

    told = fit.fn(rows, first_champion(), 0, 500)

    assert "decisions of fewer than 500 people" in told.verdict.sentence
    assert set(told.metrics) == {"width_share"}


@pytest.mark.parametrize("otherwise", [np.nan, 0.0])
def test_no_weight_tells_what_few_people_decided(training: pd.DataFrame, otherwise: float) -> None:
    one = training["subject"] == training["subject"].iloc[0]
    offered = np.where(one, training["constraint:pace"], otherwise)
    rows: Any = SimpleNamespace(frame=training.assign(**{"constraint:lift": offered}))

    told = fit.fn(rows, first_champion(), 0, 10)

    assert weights(told.model).table["name"].tolist() == ["craft", "noise", "pace"]
    assert not [check for check in told.verdict.checks if "lift" in check.sentence]


def test_undecided_proposals_are_not_rejections(training: pd.DataFrame, found: Retraining) -> None:
    undecided = training.tail(200).assign(accepted=np.nan, match_key=lambda one: one.index)
    more = pd.concat([training, undecided], ignore_index=True)

    assert retrain(more, first_champion(), seed=0).model.digest == found.model.digest


def test_decisions_of_one_kind_or_a_missing_column_are_refused(training: pd.DataFrame) -> None:
    with pytest.raises(NotEnoughDecisions):
        retrain(training.assign(accepted=1.0), first_champion(), seed=0)
    with pytest.raises(InvalidInput, match="group"):
        retrain(training.drop(columns="group"), first_champion(), seed=0)


def test_rounds_are_predicted_by_earlier_rounds_alone(training: pd.DataFrame) -> None:
    rows = canonical(training)
    steps = splits(rows, "")

    for step in steps:
        assert rows["group"][step.past].max() < rows["group"][step.future].min()
    later = splits(rows, "2025-03-04T00:00:00+00:00")
    judged = np.logical_or.reduce([step.future for step in later])
    assert sorted(rows["group"][judged].unique()) == ["2025-03-05", "2025-03-06"]


def test_people_of_a_single_round_are_never_predicted_from_their_own_decisions() -> None:
    rows = canonical(as_training(simulated(1, seed=22)))

    for step in splits(rows, ""):
        assert not set(rows["subject"][step.past]) & set(rows["subject"][step.future])


def poisoned(kind: str) -> Candidate:
    def fit(fitting: Fitting) -> Model:
        model = fitting.linear
        mean = model.acceptance.mean.copy()
        if kind == "flipped":
            mean = -mean
        elif kind == "shuffled":
            mean = np.random.default_rng(1).permutation(mean)
        elif kind == "certain":
            mean = 8 * mean
        elif kind == "stale":
            mean = model.prior.mean(model.design)
        return replace(model, acceptance=replace(model.acceptance, mean=mean))

    return Candidate(kind, fit, 0)


@pytest.mark.parametrize("kind", ["flipped", "shuffled", "certain", "stale"])
def test_poisoned_challenger_is_refused(training: pd.DataFrame, kind: str) -> None:
    found = retrain(training, first_champion(), seed=0, offered=[poisoned(kind)])

    assert not found.verdict.promote, found.verdict.sentence


def test_constraint_that_is_called_like_a_slicing_has_slices_of_its_own(
    training: pd.DataFrame,
) -> None:
    named = training.rename(columns={"constraint:craft": "constraint:side"})

    found = retrain(named, first_champion(), seed=0)

    labels = found.slices.groupby("slicing")["label"].agg(set)
    assert labels["side"] == {"0", "1"}
    assert labels["constraint side"] & {"low", "middle", "high"}
    assert figures.gate_figure(found).axes


@pytest.mark.parametrize("matches", [1, 2])
def test_a_handful_of_people_is_too_little_evidence_and_no_crash(
    training: pd.DataFrame, matches: int
) -> None:
    keys = training["match_key"].unique()[:matches]
    few = training[training["match_key"].isin(keys)].assign(accepted=[1.0, 0.0] * matches)

    both = retrain(few, first_champion(), seed=0)
    alone = retrain(few.assign(subject=7), first_champion(), seed=0)

    for found in (both, alone):
        assert not found.verdict.promote
        assert "decisions of" in found.verdict.sentence
        assert set(found.metrics) == {"width_share"}
        assert all(np.isnan(one.quality.log_loss) for one in found.candidates)


def test_challenger_that_remembers_its_people_is_refused(training: pd.DataFrame) -> None:
    def fit(fitting: Fitting) -> Model:
        model = fitting.linear
        matrix = model.design.matrix(fitting.rows)
        greedy = Boosting(trees=40, learning_rate=0.5, leaves=60, rows_a_leaf=1, ridge=0.0)
        rising = [False] * matrix.shape[1]
        trees = grow(matrix, fitting.accepted, rising, greedy)
        return replace(model, kind="boosted", trees=trees, blend=0.9)

    found = retrain(training, first_champion(), seed=0, offered=[Candidate("greedy", fit, 0)])

    names = {check.name for check in found.verdict.checks if not check.passed}
    assert "memorisation: attack" in names


def test_candidate_that_is_seen_through_is_held_closer_to_what_was_believed() -> None:
    few = as_training(simulated(2, seed=25))
    open_limits = Limits(max_membership_auc=1.0, max_members_found=1.0)

    free = retrain(few, first_champion(), seed=0, limits=open_limits)
    bound = free.metrics["membership_auc"] - 0.005
    bounded = replace(open_limits, max_membership_auc=bound)
    held = retrain(few, first_champion(), seed=0, limits=bounded)

    assert free.metrics["width_share"] == 1
    assert held.metrics["width_share"] < 1
    assert held.metrics["membership_auc"] <= bound
    assert held.model.widths["offers"] < free.model.widths["offers"]
    assert held.model.widths["score"] == free.model.widths["score"]


def test_trees_are_tried_on_many_decisions_and_are_the_same_after_json() -> None:
    training = as_training(simulated(3, seed=23, people=24))
    assert len(training) > TREES_FROM

    found = retrain(training, first_champion(), seed=0)

    tried = [one.name for one in found.candidates]
    assert tried == ["update", "interactions", "selectivity", "boosted"]
    generator = np.random.default_rng(1)
    matrix = generator.random((500, 3))
    accepted = (generator.random(500) < matrix[:, 0]).astype("float64")
    trees = grow(matrix, accepted, [True, False, False])
    again = Trees.from_dict(trees.to_dict())
    assert again.log_odds(matrix).tolist() == trees.log_odds(matrix).tolist()
    steps = np.column_stack([np.linspace(0, 1, 50), np.full((50, 2), 0.5)])
    assert (np.diff(trees.log_odds(steps)) >= 0).all()


def test_trees_say_what_scikit_learn_says() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    generator = np.random.default_rng(2)
    matrix = generator.random((800, 4))
    accepted = (generator.random(800) < matrix[:, 1] * matrix[:, 2]).astype("float64")
    settings = Boosting(trees=20)

    ours = grow(matrix, accepted, [False] * 4, settings)

    theirs = HistGradientBoostingClassifier(
        max_iter=20, learning_rate=settings.learning_rate, max_leaf_nodes=settings.leaves,
        min_samples_leaf=settings.rows_a_leaf, l2_regularization=settings.ridge,
        early_stopping=False, random_state=0,
    ).fit(matrix, accepted)  # fmt: skip
    assert ours.log_odds(matrix) == pytest.approx(theirs.decision_function(matrix), abs=1e-6)


def test_weights_point_to_what_decides_with_intervals_and_distance(found: Retraining) -> None:
    told = weights(found.model)
    table = told.table.set_index("name")

    assert table["weight"].abs().sum() == pytest.approx(1)
    assert table["first"].to_numpy() == pytest.approx(np.full(3, 1 / 3), abs=0.03)
    assert table["weight"].idxmax() == "pace"
    assert table["lower"]["pace"] > table["upper"]["noise"]
    assert table["lower"]["noise"] < 0.1
    assert told.moved == pytest.approx((table["weight"] - table["first"]).abs().sum() / 2)


def test_weights_that_are_published_do_not_tell_what_one_person_more_changes(
    found: Retraining,
) -> None:
    told = weights(found.model)
    said = told.to_dict()

    assert [[float(f"{one:.3g}") for one in row] for row in told.table.iloc[:, 1:].to_numpy()] == [
        list(row.values())[1:] for row in said["weights"]
    ]
    assert [row["name"] for row in said["weights"]] == told.table["name"].tolist()
    assert said["weights"][0].keys() == {"name", "weight", "lower", "upper", "first"}
    assert said["moved_from_first"] == float(f"{told.moved:.3g}")


def test_weights_of_version_one_are_the_matchers_score_alone() -> None:
    told = weights(first_champion())

    assert told.table["name"].tolist() == ["match_score"]
    assert (told.moved, told.guard) == (0.0, True)


def test_every_coefficient_comes_with_its_interval_and_prior(found: Retraining) -> None:
    table = coefficients(found.model)

    assert (table["lower"] < table["weight"]).all()
    assert table.set_index("name")["prior"]["score"] == 6.0
    assert set(table["name"]) == set(explain(found.model, pd.DataFrame({"match_score": [0.5]}))[
        "feature"]) - {"calibration"}  # fmt: skip


def test_platform_parameters_are_features_on_their_own_scale() -> None:
    training = as_training(simulated(4, seed=24))
    hours = np.random.default_rng(1).normal(3000, 800, len(training))
    late = (hours > 3000) & (np.random.default_rng(2).random(len(training)) < 0.8)
    shifted = training.assign(
        accepted=np.where(late, 0.0, training["accepted"]), **{"parameter:hours": hours}
    )

    model = retrain(shifted, first_champion(), seed=0).model

    two = shifted.head(2).assign(**{"parameter:hours": [2000.0, 4000.0]})
    same = two.assign(**{"parameter:hours": np.nan})
    told = score(model, two)["p_accept"] / score(model, same)["p_accept"]
    assert told.iloc[0] > 1 > told.iloc[1]
