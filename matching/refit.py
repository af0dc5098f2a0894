"""Does learning step by step come to the same as learning everything at once?

An update replaces the decisions it has learned from by their quadratic, so it is not the
full fit, but it has to stay close to it. Each retraining tries that on its own history: a
fit of what the champion had learned from, updated by what came since, is held against the
fit of everything. Columns and widths of the prior are the same in all three, because an
update keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from matching.evaluation import canonical
from matching.isotonic import AS_IS
from matching.logistic import posterior, rounded
from matching.model import Model, acceptance_prior, log_odds
from matching.updating import update
from schemas.errors import SmartMatchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PROBABILITY = 0.005
"""Mean distance of the probabilities; 0.0015 at most was measured on real evenings."""
MAX_WEIGHT = 1.0
"""Largest distance of a weight in its posterior standard deviations; 0.18 was measured there."""
ROWS = 200_000
"""Decisions that are compared at most, evenly thinned."""


class RefitDiffers(SmartMatchError):
    """Updating does not come to what a full fit comes to; the full fit is what was registered."""


@dataclass(frozen=True)
class RefitDifference:
    """How far an updated model is from the full fit.

    Attributes:
        probability: Mean absolute distance of the probabilities of acceptance.
        weight: Largest distance of a weight, in its posterior standard deviations.
        before: Decisions of the first fit.
        since: Decisions that it was updated by.
    """

    probability: float
    weight: float
    before: int
    since: int

    @property
    def within(self) -> bool:
        """Whether both are within the stated tolerance; a distance that is no number is not."""
        return self.probability <= MAX_PROBABILITY and self.weight <= MAX_WEIGHT

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        told = "agrees with" if self.within else "differs from"
        return (
            f"a fit of the earlier decisions updated by the later {told} the fit of all"
            f" ({100 * self.probability:.2f} points of probability, {100 * MAX_PROBABILITY:g}"
            f" allowed; {self.weight:.2f} standard deviations of a weight, {MAX_WEIGHT:g} allowed)"
        )

    def metrics(self) -> dict[str, float]:
        """Give the figures of the run that they belong to."""
        return {
            "refit_probability_difference": self.probability,
            "refit_weight_difference": self.weight,
        }


def compare_refit(training: pd.DataFrame, champion: Model, fitted: Model) -> RefitDifference | None:
    """Hold an updated model against the full fit.

    Args:
        training: Proposals frame; rows without a decision are context.
        champion: Rounds that begin after its training are what is learned step by step;
            where all or none are, the later half of the rounds.
        fitted: A full fit of these rows, which says columns and widths; of a boosted one
            the linear part is compared.

    Returns:
        The difference; None where there is a single round, so that nothing came later.
    """
    rows = canonical(training)
    rows = rows.iloc[:: -(-len(rows) // ROWS)]
    since = _since(rows, champion.trained_until)
    if since is None:
        return None
    like = replace(fitted, trees=None, blend=0.0, calibration=(0.0, 1.0), isotonic=AS_IS)
    with threadpool_limits(limits=1):
        whole = _fit(like, rows)
        stepwise = update(_fit(like, rows[~since]), rows[since])
    deviation = np.sqrt(np.diag(whole.acceptance.covariance))
    moved = np.abs(stepwise.acceptance.mean - whole.acceptance.mean) / deviation
    told = [expit(log_odds(model, rows)) for model in (stepwise, whole)]
    return RefitDifference(
        probability=float(np.abs(told[0] - told[1]).mean()),
        weight=float(moved.max()),
        before=int((~since).sum()),
        since=int(since.sum()),
    )


def _fit(like: Model, rows: pd.DataFrame) -> Model:
    """Fit the weights anew, with the columns and widths of a model."""
    prior = acceptance_prior(like.prior, like.design, like.widths)
    matrix = np.ascontiguousarray(like.design.matrix(rows))
    accepted = rows["accepted"].to_numpy(dtype="float64")
    return replace(
        like, acceptance=rounded(posterior(matrix, accepted, prior)), trained_rows=len(rows)
    )


def _since(rows: pd.DataFrame, trained_until: str) -> NDArray[np.bool_] | None:
    begun = rows.groupby("group")["occurred_at"].transform("min")
    rounds = np.sort(begun.unique())
    if len(rounds) < 2:  # noqa: PLR2004 - something before and something since
        return None
    if trained_until:
        later = (begun > pd.Timestamp(trained_until)).to_numpy()
        if later.any() and not later.all():
            return np.asarray(later)
    return np.asarray((begun >= rounds[len(rounds) // 2]).to_numpy())
