"""Off-policy estimates are right, their intervals hold, and thin support is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.ope_coverage import coverage, make_population, one_log
from matching.assignment import assign
from matching.assignment_log import round_log
from matching.exploration import explore
from matching.ope import Support, SupportTooLow, evaluate
from schemas.errors import InvalidInput

NO_BOUNDS = Support(
    least_effective_rows=0,
    least_effective_share=0,
    least_groups=2,
    least_covered=0,
    most_covered=np.inf,
)


def by_hand() -> pd.DataFrame:
    """Four logged decisions, each a context of its own, with round numbers."""
    return pd.DataFrame(
        {
            "reward": [1.0, 0.0, 1.0, 1.0],
            "propensity": [0.5, 0.25, 0.2, 1.0],
            "target_propensity": [0.25, 0.5, 0.6, 0.0],
            "prediction": [0.5, 0.5, 1.0, 0.0],
            "baseline": [0.4, 0.6, 0.8, 0.2],
        }
    )


def bandit_log(rows: int, seed: int) -> tuple[pd.DataFrame, float]:
    """Log five actions under one softmax policy, with another's propensities and the truth."""
    generator = np.random.default_rng(seed)
    context = generator.normal(size=(rows, 1))
    slopes = np.array([0.1, -0.5, 0.9, 0.4, -0.2])
    mean = 1 / (1 + np.exp(-(context * slopes - 0.5)))

    def softmax(score: np.ndarray) -> np.ndarray:
        weight = np.exp(score - score.max(axis=1, keepdims=True))
        return weight / weight.sum(axis=1, keepdims=True)

    log, target = softmax(0.5 * context * slopes[::-1]), softmax(2 * context * slopes)
    action = (log.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1)
    at = np.arange(rows)
    prediction = np.clip(mean + 0.1 * generator.normal(size=(1, 5)), 0, 1)
    frame = pd.DataFrame(
        {
            "reward": (generator.random(rows) < mean[at, action]).astype(float),
            "propensity": log[at, action],
            "target_propensity": target[at, action],
            "prediction": prediction[at, action],
            "baseline": (target * prediction).sum(axis=1),
        }
    )
    return frame, float((target * mean).sum(axis=1).mean())


def test_estimates_equal_those_worked_out_by_hand() -> None:
    # Weights 0.5, 2, 3, 0. IPS (0.5 + 3) / 4; SNIPS (0.5 + 3) / 5.5; DR adds to the mean
    # baseline 0.5 the corrections (0.25 - 1 + 0 + 0) / 4; switch-DR at 1 only the first.
    found = evaluate(by_hand(), switch_at=1.0, replicates=0, support=NO_BOUNDS).table()["value"]

    assert found["ips"] == pytest.approx(0.875, abs=1e-12)
    assert found["snips"] == pytest.approx(3.5 / 5.5, abs=1e-12)
    assert found["dr"] == pytest.approx(0.3125, abs=1e-12)
    assert found["switch-dr"] == pytest.approx(0.5625, abs=1e-12)


def test_estimators_are_those_of_the_literature_to_the_last_digit() -> None:
    """Nothing is clipped: each formula of its paper, row by row, on a log of plain contexts."""
    frame, _ = bandit_log(3_000, seed=6)
    weight = (frame["target_propensity"] / frame["propensity"]).to_numpy()
    reward, told = frame["reward"].to_numpy(), frame["prediction"].to_numpy()
    direct = frame["baseline"].to_numpy()
    assert weight.max() > 5
    papers = {
        "ips": np.mean(weight * reward),
        "snips": np.sum(weight * reward) / np.sum(weight),
        "dr": np.mean(direct + weight * (reward - told)),
        "switch-dr": np.mean(direct + weight * (reward - told) * (weight <= 2.0)),
    }

    found = evaluate(frame, switch_at=2.0, replicates=0).table()["value"]

    assert found.to_dict() == pytest.approx(papers, rel=1e-12)


def test_overlap_is_described_as_worked_out_by_hand() -> None:
    overlap = evaluate(by_hand(), replicates=0, support=NO_BOUNDS).overlap

    assert overlap.effective_rows == pytest.approx(5.5**2 / (0.25 + 4 + 9))
    assert overlap.mean_weight == pytest.approx(5.5 / 4)
    assert overlap.largest_weight == pytest.approx(3)
    assert overlap.largest_share == pytest.approx(3 / 5.5)
    assert np.isnan(overlap.unsupported)


def test_standard_error_of_rows_by_themselves_is_that_of_their_mean() -> None:
    frame, _ = bandit_log(2_000, seed=1)
    worth = frame["target_propensity"] / frame["propensity"] * frame["reward"]

    estimate = evaluate(frame, estimators=["ips"], replicates=500).estimates[0]

    assert estimate.value == pytest.approx(worth.mean())
    assert estimate.standard_error == pytest.approx(worth.std(ddof=1) / np.sqrt(2_000))
    assert estimate.bootstrap_lower == pytest.approx(estimate.lower, abs=0.5 * worth.std() / 44)
    assert estimate.bootstrap_upper == pytest.approx(estimate.upper, abs=0.5 * worth.std() / 44)


def test_same_policy_has_the_value_that_was_logged() -> None:
    frame, _ = bandit_log(1_000, seed=2)
    frame["target_propensity"] = frame["propensity"]

    table = evaluate(frame, estimators=["ips", "snips"]).table()

    assert table["value"].tolist() == pytest.approx([frame["reward"].mean()] * 2)


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr", "switch-dr"])
def test_estimates_of_a_large_log_come_close_to_the_truth(estimator: str) -> None:
    frame, truth = bandit_log(40_000, seed=3)

    estimate = evaluate(frame, estimators=[estimator], replicates=0).estimates[0]

    assert abs(estimate.value - truth) < 4 * estimate.standard_error
    assert estimate.standard_error < 0.01


def test_rows_of_one_group_do_not_count_as_independent() -> None:
    frame, _ = bandit_log(400, seed=4)
    copied = pd.concat([frame.assign(group=np.arange(400))] * 5, ignore_index=True)

    single = evaluate(frame, replicates=0)
    grouped = evaluate(copied, replicates=0)

    for one, many in zip(single.estimates, grouped.estimates, strict=True):
        assert many.value == pytest.approx(one.value)
        assert many.standard_error == pytest.approx(one.standard_error)


def test_log_of_assignments_weighs_all_feasible_pairs() -> None:
    # One pair of two is made with probability 0.75 each round; the target always makes the
    # other diagonal. Predictions are exact, so DR is the truth whatever was drawn.
    truth = np.array([[0.9, 0.4], [0.2, 0.7]])
    lottery = explore(truth, budget=0.156)
    target = assign(-truth)
    parts = []
    for seed in range(400):
        drawn = lottery.draw(seed)
        rewards = truth[drawn.assignment.rows, drawn.assignment.columns]
        parts.append(
            round_log(
                str(seed),
                feasible=np.ones((2, 2)),
                lottery=lottery,
                drawn=drawn,
                rewards=rewards,
                target=target,
                predictions=truth,
            )
        )

    found = evaluate(pd.concat(parts), replicates=0)

    assert found.proposals_per_group == pytest.approx(2)
    assert found.overlap.unsupported == 0
    table = found.table()
    assert table.loc["dr", "value"] == pytest.approx(0.3)
    assert table.loc["snips", "value"] == pytest.approx(0.3)
    assert abs(table.loc["ips", "value"] - 0.3) < 4 * table.loc["ips", "standard_error"]


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    # 1,000 replications at this size and larger ones are in benchmarks/ope_coverage.py.
    population = make_population(40, people=5, seed=5)

    table = coverage(population, rounds=60, replications=100, replicates=0)

    assert (table["asymptotic coverage"] >= 0.89).all()
    assert (table["bias"].abs() < 3 * table["standard deviation"] / np.sqrt(100) + 0.002).all()
    assert table.loc["dr", "standard deviation"] < table.loc["ips", "standard deviation"]


def test_wrong_propensities_are_not_covered() -> None:
    population = make_population(20, people=5, seed=6)
    log = one_log(population, rounds=200, seed=0)
    log["propensity"] = np.where(log["propensity"] > 0, log["propensity"] ** 0.5, 0)

    estimate = evaluate(
        log, estimators=["ips"], replicates=0, support=Support(least_covered=0)
    ).estimates[0]

    assert not estimate.lower <= population.truth <= estimate.upper


def hopeless(kind: str) -> pd.DataFrame:
    frame, _ = bandit_log(2_000, seed=7)
    generator = np.random.default_rng(8)
    if kind == "never the same":
        return frame.assign(target_propensity=0.0)
    if kind == "a few enormous weights":
        lucky = generator.random(2_000) < 0.003
        return frame.assign(
            propensity=np.where(lucky, 0.002, 0.5), target_propensity=np.where(lucky, 1.0, 0.002)
        )
    if kind == "log always does one thing":
        same = generator.random(2_000) < 0.1
        return frame.assign(propensity=1.0, target_propensity=np.where(same, 1.0, 0.0))
    return frame.assign(group=np.arange(2_000) % 5)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("never the same", "no logged row"),
        ("a few enormous weights", r"effective sample size [0-9.]+ of 2000 rows"),
        ("log always does one thing", "covers"),
        ("five groups", "groups"),
    ],
)
def test_hopeless_support_is_refused_with_the_reason(kind: str, reason: str) -> None:
    with pytest.raises(SupportTooLow, match=reason) as failure:
        evaluate(hopeless(kind))

    assert failure.value.overlap.rows == 2_000


def test_plain_log_with_an_outcome_missing_is_refused_and_not_read_as_all_pairs() -> None:
    frame, _ = bandit_log(2_000, seed=7)
    frame.loc[3, "reward"] = np.nan

    with pytest.raises(SupportTooLow, match="should be 1"):
        evaluate(frame)


def test_propensities_of_another_policy_are_told_by_their_weights() -> None:
    frame, _ = bandit_log(2_000, seed=7)

    with pytest.raises(SupportTooLow, match="not those of the log"):
        evaluate(frame.assign(propensity=frame["propensity"] / 2))


def test_where_all_pairs_are_there_the_rows_themselves_are_the_baseline() -> None:
    frame = pd.concat([by_hand()] * 20, ignore_index=True)
    frame.loc[::4, "reward"] = np.nan
    frame.loc[1::4, ["prediction", "target_propensity"]] = [np.nan, 0.0]
    frame.loc[1::4, "reward"] = np.nan

    with_one = evaluate(frame, support=NO_BOUNDS, replicates=0).table()["value"]
    without = evaluate(frame.drop(columns="baseline"), support=NO_BOUNDS, replicates=0)

    assert with_one.to_dict() == without.table()["value"].to_dict()
    # Per four rows the target proposes 0.25 + 0.6: direct 0.25 x 0.5 + 0.6 x 1, no correction.
    assert with_one["dr"] == pytest.approx((0.125 + 0.6) / 0.85)


def test_target_that_proposes_what_could_not_be_logged_is_refused() -> None:
    utilities = np.random.default_rng(9).random((8, 8))
    lottery = explore(utilities, budget=0.05)
    parts = []
    for seed in range(60):
        drawn = lottery.draw(seed)
        parts.append(
            round_log(
                str(seed),
                feasible=np.ones((8, 8)),
                lottery=lottery,
                drawn=drawn,
                rewards=np.ones(8),
                target=assign(-utilities),
            )
        )

    with pytest.raises(SupportTooLow, match="could not have been logged") as failure:
        evaluate(pd.concat(parts))

    assert failure.value.overlap.unsupported > 0.5


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"propensity": 0.0}, "propensity"),
        ({"propensity": 1.2}, "propensity"),
        ({"target_propensity": -0.1}, "target_propensity"),
        ({"target_propensity": np.nan}, "target_propensity"),
        ({"reward": np.nan}, "reward"),
        ({"reward": [1.0, np.inf, 0.0, 1.0]}, "reward"),
        ({"reward": ["Zoe", 1, 0, 1]}, "reward"),
        ({"proposed": [1, np.nan, 1, 1]}, "proposed"),
        ({"proposed": 2}, "proposed"),
        ({"reward": [1, 0, 1, np.nan], "propensity": [0.5, 0.5, 0.5, 1.5]}, "propensity"),
        ({"reward": [1, 0, 1, np.nan], "propensity": [0.5, 0.5, 0.5, -1.0]}, "propensity"),
        ({"baseline": [0.4, np.nan, 0.8, 0.2]}, "baseline"),
        ({"prediction": np.nan}, "prediction"),
        ({"proposed": True, "reward": [1.0, np.nan, 0.0, 1.0]}, "reward"),
    ],
)
def test_values_that_break_a_rule_are_refused_by_name(
    change: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as failure:
        evaluate(by_hand().assign(**change), support=NO_BOUNDS)

    assert failure.value.field == field


@pytest.mark.parametrize("absent", ["reward", "propensity", "target_propensity", "baseline"])
def test_absent_column_is_named(absent: str) -> None:
    with pytest.raises(InvalidInput) as failure:
        evaluate(by_hand().drop(columns=absent), support=NO_BOUNDS)

    assert failure.value.field == absent


def test_doubly_robust_without_predictions_is_refused_and_not_tried_by_itself() -> None:
    frame = by_hand().drop(columns=["prediction", "baseline"])

    assert [each.estimator for each in evaluate(frame, support=NO_BOUNDS).estimates] == [
        "ips",
        "snips",
    ]
    with pytest.raises(InvalidInput) as failure:
        evaluate(frame, estimators=["dr"], support=NO_BOUNDS)
    assert failure.value.field == "prediction"
