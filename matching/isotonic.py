"""A calibration of any rising shape, for where there are decisions enough to draw it.

Platt's calibration is a straight line in log-odds. An isotonic one only has to rise; it is
kept as a few knots, so that no single decision can be read from it.

References:
    Zadrozny, B. and Elkan, C. (2002). Transforming classifier scores into accurate multiclass
    probability estimates. KDD 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import logit as log_odds_of

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

KNOTS = 25
"""Groups of equal size that the decisions are cut into, by log-odds."""
DIGITS = 6


@dataclass(frozen=True)
class Isotonic:
    """A rising map of log-odds: straight between knots, shifted beyond the last; none: as is.

    Attributes:
        told: Log-odds that were predicted, rising.
        found: Log-odds of what happened, never falling.
    """

    told: tuple[float, ...] = ()
    found: tuple[float, ...] = ()

    @classmethod
    def fit(cls, logit: Floats, accepted: Floats) -> Self:
        """Learn from predictions, shape (n,), that did not see their decisions.

        Each group has half an acceptance and half a rejection more than were seen, so that its
        log-odds are finite.
        """
        order = np.argsort(logit, kind="stable")
        groups = [part for part in np.array_split(order, KNOTS) if len(part)]
        told = np.array([logit[part].mean() for part in groups])
        share = np.array([(accepted[part].sum() + 0.5) / (len(part) + 1) for part in groups])
        rising = isotonic_regression(share, weights=[len(part) for part in groups]).x
        distinct = np.r_[True, np.diff(np.round(told, DIGITS)) > 0]
        found = np.round(log_odds_of(rising), DIGITS)[distinct]
        return cls(tuple(np.round(told, DIGITS)[distinct].tolist()), tuple(found.tolist()))

    def __call__(self, logit: Floats) -> Floats:
        """Give the honest log-odds of predicted ones, shape (n,)."""
        if not self.told:
            return logit
        inside = np.clip(logit, self.told[0], self.told[-1])
        return np.asarray(np.interp(inside, self.told, self.found) + (logit - inside))


AS_IS = Isotonic()
"""Changes nothing."""
