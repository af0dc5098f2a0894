"""How honest probabilities are, and how well they tell accepted from rejected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from matching.logistic import log_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BINS = 10


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
