import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from matching.logistic import (
    Gaussian,
    independent,
    linear_posterior,
    log_loss,
    posterior,
    widths_by_evidence,
)


def sample(rows: int, weights: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    matrix = np.column_stack([np.ones(rows), generator.normal(size=(rows, len(weights) - 1))])
    accepted = (generator.random(rows) < expit(matrix @ weights)).astype("float64")
    return matrix, accepted


def test_mode_under_a_centred_prior_is_ridge_regression() -> None:
    matrix, accepted = sample(500, np.array([0.3, 1.0, -2.0]), seed=1)

    found = posterior(matrix, accepted, Gaussian(np.zeros(3), 2.0 * np.eye(3)))

    ridge = LogisticRegression(C=0.5, fit_intercept=False, tol=1e-10, max_iter=1000)
    assert found.mean == pytest.approx(ridge.fit(matrix, accepted).coef_[0], abs=1e-5)


def test_no_decision_leaves_the_prior_as_it_was() -> None:
    prior = Gaussian(np.array([1.0, -2.0]), np.diag([4.0, 9.0]))

    found = posterior(np.empty((0, 2)), np.empty(0), prior)

    assert found.mean.tolist() == [1.0, -2.0]
    assert found.precision.tolist() == prior.precision.tolist()


def test_decisions_that_a_line_separates_still_have_an_answer() -> None:
    matrix = np.column_stack([np.ones(40), np.repeat([-1.0, 1.0], 20)])
    accepted = np.repeat([0.0, 1.0], 20)

    found = posterior(matrix, accepted, Gaussian(np.zeros(2), np.eye(2)))

    assert 1 < found.mean[1] < 10


def test_interval_of_the_posterior_covers_the_truth_as_often_as_it_says() -> None:
    truth = np.array([-0.5, 1.0, 0.0])
    inside = 0
    for seed in range(200):
        matrix, accepted = sample(300, truth, seed)
        found = posterior(matrix, accepted, Gaussian(np.zeros(3), 0.01 * np.eye(3)))
        deviation = np.sqrt(np.diag(found.covariance))
        inside += int((np.abs(found.mean - truth) < 1.96 * deviation)[1])

    assert 180 <= inside <= 199


def test_large_samples_are_started_on_a_part_and_end_at_the_same_mode() -> None:
    matrix, accepted = sample(60_000, np.array([0.3, 1.0, -2.0]), seed=1)
    prior = Gaussian(np.zeros(3), np.eye(3))

    thinned = posterior(matrix, accepted, prior)

    assert thinned.mean == pytest.approx(posterior(matrix, accepted, prior, np.zeros(3)).mean)


def test_evidence_widens_a_family_that_matters_and_narrows_one_that_does_not() -> None:
    generator = np.random.default_rng(3)
    weights = np.concatenate([[0.0], generator.normal(0, 2, 6), np.zeros(6)])
    matrix, accepted = sample(3000, weights, seed=4)
    families = ["intercept"] + ["real"] * 6 + ["idle"] * 6
    named = {"intercept": 1.0, "real": 0.8, "idle": 0.8}

    found, _ = widths_by_evidence(
        matrix, accepted, np.zeros(13), families, named, fixed=frozenset({"intercept"})
    )

    assert found["real"] >= 1.5
    assert found["idle"] <= 0.2
    assert found["intercept"] == 1.0


def test_linear_posterior_of_many_rows_is_least_squares() -> None:
    generator = np.random.default_rng(5)
    matrix = np.column_stack([np.ones(4000), generator.normal(size=4000)])
    rating = matrix @ np.array([3.0, 0.7]) + generator.normal(size=4000)
    prior = independent(np.zeros(2), ["a", "b"], {"a": 10.0, "b": 10.0})

    found = linear_posterior(matrix, rating, prior)

    assert found.mean == pytest.approx(np.linalg.lstsq(matrix, rating)[0], abs=1e-4)


def test_certainty_that_was_wrong_costs_a_finite_loss() -> None:
    loss = log_loss(np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.5]))

    assert loss[:2].tolist() == pytest.approx([-np.log(1e-6)] * 2)
    assert loss[2] == pytest.approx(np.log(2))
