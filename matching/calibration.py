"""How honest probabilities are, and how well they tell accepted from rejected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import rankdata

from matching.logistic import Gaussian, log_loss, posterior

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BINS = 10
SLOPE_WIDTH = 3.0
"""How far a slope may lie from 1 before its fit doubts it: hardly a bound."""


@dataclass(frozen=True)
class Quality:
    """What predictions of decisions are worth.

    Attributes:
        log_loss: Mean loss in nats.
        auc: Probability that an accepted proposal is ranked above a rejected one; NaN when
            all decisions are the same.
        calibration_error: Expected calibration error over ten bins of equal width.
        rows: Number of decisions.
    """

    log_loss: float
    auc: float
    calibration_error: float
    rows: int


def quality(accepted: Floats, probability: Floats) -> Quality:
    """Measure predictions against decisions, both of shape (n,)."""
    if len(accepted) == 0:
        return Quality(float("nan"), float("nan"), float("nan"), 0)
    return Quality(
        float(np.sort(log_loss(accepted, probability)).mean()),
        auc(accepted, probability),
        calibration_error(accepted, probability),
        len(accepted),
    )


def auc(accepted: Floats, probability: Floats) -> float:
    """Area under the ROC curve by ranks; ties count one half."""
    positive = accepted > 0
    hits, misses = int(positive.sum()), int((~positive).sum())
    if hits == 0 or misses == 0:
        return float("nan")
    ranks = rankdata(probability)
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def calibration_error(accepted: Floats, probability: Floats) -> float:
    """Mean distance of predicted from observed over ten bins of equal width, by rows.

    References:
        Naeini, Cooper, Hauskrecht (2015). Obtaining well calibrated probabilities using
        Bayesian binning. AAAI.
    """
    table = reliability(accepted, probability)
    gap = (table["accepted"] - table["predicted"]).abs()
    return float((gap * table["rows"]).sum() / max(table["rows"].sum(), 1))


def calibration_noise(probability: Floats) -> float:
    """Calibration error that perfectly honest predictions would show by chance alone.

    The expected distance of a binomial share from its mean (normal approximation), over the
    same bins. A measured error is to be read beside it: of 200 decisions it is 0.08.
    """
    place = _bins(probability)
    variance = np.bincount(place, probability * (1 - probability), BINS)
    return float(np.sqrt(2 / np.pi * variance).sum() / max(len(probability), 1))


def calibration_slope(accepted: Floats, log_odds: Floats) -> tuple[float, Floats]:
    """Estimate the slope of decisions on the log-odds that were expected of them.

    It is 1 where decisions follow as they should, 0 where they have nothing to do with what was
    expected, and negative where they are the opposite.

    Args:
        accepted: 0 or 1, shape (n,).
        log_odds: What was expected, shape (n,).

    Returns:
        The slope, and what each decision adds to its error, shape (n,): summed within whatever
        goes together, squared and summed, they are its variance.

    References:
        Cox, D. R. (1958). Two further applications of a model for binary regression.
        Biometrika 45(3/4), 562-565.
    """
    columns = np.column_stack([np.ones(len(log_odds)), log_odds])
    loose = Gaussian(np.array([0.0, 1.0]), np.eye(2) / SLOPE_WIDTH**2)
    found = posterior(columns, accepted, loose)
    rest = accepted - expit(columns @ found.mean)
    return float(found.mean[1]), np.asarray((columns * rest[:, None]) @ found.covariance[1])


def reliability(accepted: Floats, probability: Floats) -> pd.DataFrame:
    """Compare predicted with observed acceptance, bin by bin.

    Returns:
        One row a bin that is not empty: ``predicted``, ``accepted`` (means), ``rows``.
    """
    place = _bins(probability)
    rows = np.bincount(place, minlength=BINS)
    used = rows > 0
    return pd.DataFrame(
        {
            "predicted": np.bincount(place, probability, BINS)[used] / rows[used],
            "accepted": np.bincount(place, accepted, BINS)[used] / rows[used],
            "rows": rows[used],
        }
    )


def _bins(probability: Floats) -> NDArray[np.int64]:
    return np.asarray(np.minimum((probability * BINS).astype("int64"), BINS - 1))
