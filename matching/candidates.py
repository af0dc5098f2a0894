"""The models that may succeed the champion, each a full fit from the rows it is given.

Every candidate starts from the same belief, that of version 1, which the champion carries:
so no decision counts twice, and a fit without a person is the fit that never saw them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from matching.design import Design
from matching.logistic import (
    Gaussian,
    independent,
    linear_posterior,
    posterior,
    rounded,
    widths_by_evidence,
)
from matching.model import Model, Prior, log_odds, satisfaction_prior
from matching.trees import Boosting, grow
from matching.weights import composition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SETTLED = frozenset({"intercept", "score"})
"""Families of a single weight: there is nothing to learn about their width."""
PLATT_WIDTH = 0.3
"""How far a calibration may stray from none (intercept 0, slope 1) without evidence."""
BLEND = 0.5
"""Share of the trees in a boosted candidate."""
TREE_ROWS = 200_000
"""Rows that trees are grown on at most: more rows no longer change large leaves."""


@dataclass(frozen=True)
class Candidate:
    """A way of making a model of decided rows.

    Attributes:
        name: Kind of the model it makes.
        fit: From rows in canonical order, with context, to a model.
        complexity: Of two that do equally well, the lower one is chosen.
    """

    name: str
    fit: Callable[[pd.DataFrame], Model]
    complexity: int


def candidates(prior: Prior, *, seed: int) -> tuple[Candidate, ...]:
    """List the candidates of a retraining, simplest first.

    Args:
        prior: Belief of version 1.
        seed: For ties between splits of the trees.
    """
    return (
        Candidate("update", lambda rows: fit_linear(rows, prior), 0),
        Candidate("interactions", lambda rows: fit_linear(rows, prior, interactions=True), 1),
        Candidate("boosted", lambda rows: fit_boosted(rows, prior, seed=seed), 2),
    )


def fit_linear(rows: pd.DataFrame, prior: Prior, *, interactions: bool = False) -> Model:
    """Update the prior by all rows: Laplace posterior, widths by evidence.

    Args:
        rows: Decided proposals in canonical order, with their context.
        prior: Belief before them.
        interactions: Whether constraints interact with side and own level.
    """
    design = Design.learn(rows, interactions=interactions)
    matrix = np.ascontiguousarray(design.matrix(rows))
    accepted = rows["accepted"].to_numpy(dtype="float64")
    families = [term.family for term in design.terms]
    mean = prior.mean(design)
    widths = widths_by_evidence(matrix, accepted, mean, families, prior.widths, fixed=SETTLED)
    return Model(
        kind="interactions" if interactions else "update",
        design=design,
        prior=prior,
        widths=widths,
        acceptance=rounded(posterior(matrix, accepted, independent(mean, families, widths))),
        satisfaction=_satisfied(rows, matrix, design, widths),
        composition=composition(rows, design),
        trained_rows=len(rows),
        groups=int(rows["group"].nunique()),
        trained_until=rows["occurred_at"].max().isoformat(),
    )


def fit_boosted(rows: pd.DataFrame, prior: Prior, *, seed: int) -> Model:
    """Blend the linear model with monotone boosted trees, then calibrate the blend.

    Satisfying a constraint better never lowers the log-odds of the trees. The calibration
    (Platt's) is learned on blends that did not see the rows: two halves, by round where
    there are several.
    """
    linear = fit_linear(rows, prior)
    half = _halves(rows)
    raw = np.zeros(len(rows))
    if half.any() and not half.all():
        for part in (half, ~half):
            blended = _with_trees(fit_linear(rows[~part], prior), rows[~part], seed)
            raw[part] = log_odds(blended, rows[part])
        calibration = platt(raw, rows["accepted"].to_numpy(dtype="float64"))
    else:
        calibration = (0.0, 1.0)
    return replace(_with_trees(linear, rows, seed), calibration=calibration)


def platt(logit: Floats, accepted: Floats) -> tuple[float, float]:
    """Find intercept and slope that make log-odds honest, starting from (0, 1).

    References:
        Platt, J. (1999). Probabilistic outputs for support vector machines. Advances in
        Large Margin Classifiers, 61-74.
    """
    belief = Gaussian(np.array([0.0, 1.0]), np.eye(2) / PLATT_WIDTH**2)
    matrix = np.column_stack([np.ones(len(logit)), logit])
    intercept, slope = posterior(matrix, accepted, belief).mean
    return round(float(intercept), 6), round(max(float(slope), 0.05), 6)


def _with_trees(linear: Model, rows: pd.DataFrame, seed: int) -> Model:
    taken = rows if len(rows) <= TREE_ROWS else rows.iloc[:: -(-len(rows) // TREE_ROWS)]
    terms = linear.design.terms
    rising = [t.family in ("score", "offers") or t.name == "rank" for t in terms]
    accepted = taken["accepted"].to_numpy(dtype="float64")
    trees = grow(linear.design.matrix(taken), accepted, rising, Boosting(), seed)
    return replace(linear, kind="boosted", trees=trees, blend=BLEND)


def _halves(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Split rows in two by round; a single round is not split."""
    groups = rows["group"].astype(str)
    order = {group: index % 2 for index, group in enumerate(sorted(groups.unique()))}
    return np.asarray(groups.map(order).to_numpy() == 0)


def _satisfied(
    rows: pd.DataFrame, matrix: Floats, design: Design, widths: Mapping[str, float]
) -> Gaussian:
    rated = ((rows["accepted"] == 1) & rows["rating"].notna()).to_numpy()
    rating = rows["rating"].to_numpy(dtype="float64", na_value=np.nan)[rated]
    return rounded(linear_posterior(matrix[rated], rating, satisfaction_prior(design, widths)))
