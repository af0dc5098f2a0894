"""Logistic regression as a Bayesian update: a Gaussian prior, Laplace's posterior.

The prior says what was believed before any decision; few decisions move it little. Widths
of the prior are shared by families of columns and chosen by the evidence, the probability
of the decisions under the prior, which is what a cross-validation would estimate.

The same arithmetic serves a full fit (a prior with independent weights) and an update (the
last posterior is the prior), so the cost of an update is that of its new rows.

References:
    MacKay, D. J. C. (1992). The evidence framework applied to classification networks.
    Neural Computation 4(5), 720-736. doi:10.1162/neco.1992.4.5.720
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky
from scipy.special import expit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

WIDTHS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 12.0)
"""Standard deviations of a family's weights among which the evidence chooses."""
WIDTH_DOUBT = 1.0
"""Standard deviation of the logarithm of a precision around what the prior names."""
DIGITS = 9
"""Decimals of a weight: sums in another order differ beyond them, and nothing else does."""
NEWTON_STEPS = 50
CONVERGED = 1e-8
THINNED_FROM, THINNED = 50_000, 16
"""Beyond so many rows the first steps are made on one row in sixteen."""
CHUNK = 8_192
"""Rows whose curvature is summed at once: their matrix stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A normal distribution over weights.

    Attributes:
        mean: Shape (k,).
        precision: Inverse covariance, shape (k, k).
    """

    mean: Floats
    precision: Floats

    @property
    def covariance(self) -> Floats:
        """Inverse of the precision, shape (k, k)."""
        return np.asarray(cho_solve(cho_factor(self.precision), np.eye(len(self.mean))))


def posterior(
    matrix: Floats, accepted: Floats, prior: Gaussian, start: Floats | None = None
) -> Gaussian:
    """Find the most probable weights and the curvature there (Laplace's approximation).

    Newton's method with halved steps; the objective is strictly concave, so it ends at its
    one maximum from wherever it starts.

    Args:
        matrix: Columns, shape (n, k).
        accepted: 0 or 1, shape (n,).
        prior: Belief before these rows.
        start: Weights to start from, shape (k,); the prior's mean when absent.

    Returns:
        The posterior: mean at the mode, precision of prior plus curvature.
    """
    if start is None and len(matrix) > THINNED_FROM:
        start = posterior(matrix[::THINNED], accepted[::THINNED], prior).mean
    weights = prior.mean.copy() if start is None else start.copy()
    value = _log_density(matrix, accepted, weights, prior)
    for _ in range(NEWTON_STEPS):
        gradient, curvature = _derivatives(matrix, accepted, weights)
        gradient = gradient - prior.precision @ (weights - prior.mean)
        step = cho_solve(cho_factor(curvature + prior.precision), gradient)
        weights, value = _climb(matrix, accepted, prior, weights=weights, step=step, value=value)
        if np.abs(step).max() < CONVERGED * (1 + np.abs(weights).max()):
            break
    _, curvature = _derivatives(matrix, accepted, weights)
    return Gaussian(weights, curvature + prior.precision)


def linear_posterior(matrix: Floats, rating: Floats, prior: Gaussian) -> Gaussian:
    """Update the belief about a number: linear regression with unit noise, in closed form.

    Args:
        matrix: Columns, shape (n, k).
        rating: What is to be expected, shape (n,).
        prior: Belief before these rows.
    """
    precision = prior.precision + matrix.T @ matrix
    pull = prior.precision @ prior.mean + matrix.T @ rating
    return Gaussian(np.linalg.solve(precision, pull).astype("float64"), precision)


def rounded(belief: Gaussian) -> Gaussian:
    """Keep the digits that do not depend on the order of summation."""
    scale = np.sqrt(np.outer(np.diag(belief.precision), np.diag(belief.precision)))
    mean = np.round(belief.mean, DIGITS) + 0.0
    precision = np.round(belief.precision / scale, DIGITS) * _significant(scale) + 0.0
    return Gaussian(mean, np.asarray(precision, dtype="float64"))


def widths_by_evidence(
    matrix: Floats,
    accepted: Floats,
    mean: Floats,
    families: Sequence[str],
    widths: Mapping[str, float],
    *,
    fixed: frozenset[str] = frozenset(),
    rounds: int = 2,
) -> tuple[dict[str, float], Floats]:
    """Choose each family's prior width by the evidence, one family after the other.

    Around the mode the likelihood is replaced by its quadratic, so that trying a width
    costs a small matrix and no pass over the rows. A width far from the one that the prior
    names needs more evidence (a log-normal prior on the precision).

    Args:
        matrix: Columns, shape (n, k).
        accepted: 0 or 1, shape (n,).
        mean: Prior mean, shape (k,).
        families: Family of each column, length k.
        widths: Standard deviation of each family's weights to start from.
        fixed: Families whose width is not in question.
        rounds: How often mode and widths take turns.

    Returns:
        The standard deviation of each family, and weights near the mode to start from.
    """
    chosen = dict(widths)
    start = mean
    for _ in range(rounds):
        before = dict(chosen)
        prior = independent(mean, families, chosen)
        mode = posterior(matrix, accepted, prior, None if start is mean else start)
        start = mode.mean
        curvature = mode.precision - prior.precision
        pull = curvature @ mode.mean + prior.precision @ (mode.mean - mean)
        for family in sorted(set(families) - fixed):
            scored = [
                (_evidence(curvature, pull, mean, families, chosen | {family: width})
                 + _doubt(width, widths[family]), width)
                for width in WIDTHS
            ]  # fmt: skip
            chosen[family] = max(scored)[1]
        if chosen == before:
            break
    return chosen, start


def independent(mean: Floats, families: Sequence[str], widths: Mapping[str, float]) -> Gaussian:
    """Make the prior with independent weights whose widths are those of their families."""
    return Gaussian(mean, np.diag(_precisions(families, widths)))


def log_loss(accepted: Floats, probability: Floats) -> Floats:
    """Loss of each row in nats; probabilities are kept a millionth away from 0 and 1."""
    safe = np.clip(probability, 1e-6, 1 - 1e-6)
    return -np.where(accepted > 0, np.log(safe), np.log1p(-safe))


def _precisions(families: Sequence[str], widths: Mapping[str, float]) -> Floats:
    return np.array([widths[family] ** -2 for family in families])


def _evidence(
    curvature: Floats,
    pull: Floats,
    mean: Floats,
    families: Sequence[str],
    widths: Mapping[str, float],
) -> float:
    precisions = _precisions(families, widths)
    lower = cholesky(curvature + np.diag(precisions), lower=True)
    weights = cho_solve((lower, True), pull + precisions * mean)
    fit = pull @ weights - 0.5 * weights @ curvature @ weights
    distance = 0.5 * (precisions * (weights - mean) ** 2).sum()
    volume = 0.5 * np.log(precisions).sum() - np.log(np.diag(lower)).sum()
    return float(fit - distance + volume)


def _doubt(width: float, named: float) -> float:
    return float(-0.5 * (2 * np.log(width / named) / WIDTH_DOUBT) ** 2)


def _derivatives(matrix: Floats, accepted: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Gradient and curvature of the log likelihood, summed over chunks of rows."""
    gradient = np.zeros_like(weights)
    curvature = np.zeros((len(weights), len(weights)))
    for begin in range(0, len(matrix), CHUNK):
        rows = matrix[begin : begin + CHUNK]
        probability = expit(rows @ weights)
        gradient += rows.T @ (accepted[begin : begin + CHUNK] - probability)
        curvature += (rows * (probability * (1 - probability))[:, None]).T @ rows
    return gradient, curvature


def _log_density(matrix: Floats, accepted: Floats, weights: Floats, prior: Gaussian) -> float:
    logit = matrix @ weights
    distance = weights - prior.mean
    likelihood = (accepted * logit - np.logaddexp(0, logit)).sum()
    return float(likelihood - 0.5 * distance @ prior.precision @ distance)


def _climb(
    matrix: Floats,
    accepted: Floats,
    prior: Gaussian,
    *,
    weights: Floats,
    step: Floats,
    value: float,
) -> tuple[Floats, float]:
    """Take the step, or as many times half of it as it takes to go up."""
    for halving in range(30):
        tried = weights + step / 2**halving
        reached = _log_density(matrix, accepted, tried, prior)
        if reached >= value:
            return tried, reached
    return weights, value


def _significant(value: Floats) -> Floats:
    """Round to nine significant digits."""
    power = 10.0 ** (DIGITS - 1 - np.floor(np.log10(value)))
    return np.asarray(np.round(value * power) / power, dtype="float64")
