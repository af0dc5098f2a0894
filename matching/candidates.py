"""The models that may succeed the champion, each a full fit from the rows it is given.

Every candidate starts from the same belief, that of version 1, which the champion carries:
so no decision counts twice, and a fit without a person is the fit that never saw them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from matching.design import Design
from matching.isotonic import AS_IS, Isotonic
from matching.logistic import (
    Gaussian,
    independent,
    linear_posterior,
    posterior,
    rounded,
    widths_by_evidence,
)
from matching.model import Model, Prior, acceptance_prior, log_odds, satisfaction_prior
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
ISOTONIC_FROM = 5_000
"""Held-out decisions from which on an isotonic calibration is learned as well."""
TREES_FROM = 2_000
"""Decisions from which on trees are tried."""
TREE_ROWS = 20_000
"""Rows that trees are grown on at most: more rows no longer change large leaves."""


class Fitting:
    """Decided rows to be fitted; what several candidates need of them is made once.

    Args:
        rows: Decided proposals in canonical order, with their context.
        prior: Belief of version 1.
        width_share: How wide priors are, as a share of what the evidence chooses: the smaller,
            the less a model remembers of anybody.
    """

    def __init__(self, rows: pd.DataFrame, prior: Prior, width_share: float = 1.0) -> None:
        self.rows = rows
        self.prior = prior
        self.width_share = width_share

    @cached_property
    def accepted(self) -> Floats:
        """0 or 1 a row."""
        return self.rows["accepted"].to_numpy(dtype="float64")

    @cached_property
    def design(self) -> Design:
        """Columns, with the one that compares how sought-after two people are.

        It takes a first fit without that column: what makes partners accepted tells how
        sought-after each person is.
        """
        alone = Design.learn(self.rows)
        matrix = np.ascontiguousarray(alone.matrix(self.rows))
        prior = acceptance_prior(self.prior, alone, self.prior.widths)
        weights = rounded(posterior(matrix, self.accepted, prior)).mean.tolist()
        names = (term.name for term in alone.terms)
        return alone.with_demand(dict(zip(names, weights, strict=True)))

    @cached_property
    def linear(self) -> Model:
        """The prior updated by all rows."""
        return self.update(self.design, "update")

    def update(self, design: Design, kind: str) -> Model:
        """Update the prior by all rows: Laplace posterior, widths by evidence."""
        matrix = np.ascontiguousarray(design.matrix(self.rows))
        families = [term.family for term in design.terms]
        mean = self.prior.mean(design)
        widths, mode = widths_by_evidence(
            matrix, self.accepted, mean, families, self.prior.widths, fixed=SETTLED
        )
        widths = {
            family: width if family in SETTLED else self.width_share * width
            for family, width in widths.items()
        }
        prior = independent(mean, families, widths)
        return Model(
            kind=kind,
            design=design,
            prior=self.prior,
            widths=widths,
            acceptance=rounded(posterior(matrix, self.accepted, prior, mode)),
            satisfaction=_satisfied(self.rows, matrix, design, widths),
            composition=composition(self.rows, design),
            trained_rows=len(self.rows),
            groups=int(self.rows["group"].nunique()),
            trained_until=self.rows["occurred_at"].max().isoformat(),
        )


@dataclass(frozen=True)
class Candidate:
    """A way of making a model of decided rows.

    Attributes:
        name: Kind of the model it makes.
        fit: From rows to a model.
        complexity: Of two that do equally well, the lower one is chosen.
        refreshes: Whether a fit of more rows is a fit of fewer, updated: then it may follow a
            champion of its own kind as a refresh.
    """

    name: str
    fit: Callable[[Fitting], Model]
    complexity: int
    refreshes: bool = False

    def narrowed(self, width_share: float) -> Candidate:
        """Return the same way of fitting with narrower priors, and less of any trees."""

        def fit(fitting: Fitting) -> Model:
            return self.fit(Fitting(fitting.rows, fitting.prior, width_share))

        return replace(self, fit=fit)


def candidates(decisions: int, *, seed: int) -> tuple[Candidate, ...]:
    """List the candidates of a retraining, simplest first.

    Args:
        decisions: How many there are to learn from; few are nothing for trees to split.
        seed: For ties between splits of the trees.
    """
    linear = (
        Candidate("update", lambda fitting: fitting.linear, 0, refreshes=True),
        Candidate("interactions", fit_interactions, 1, refreshes=True),
        Candidate("selectivity", fit_selectivity, 1, refreshes=True),
    )
    if decisions < TREES_FROM:
        return linear
    return (*linear, Candidate("boosted", lambda fitting: fit_boosted(fitting, seed=seed), 2))


def fit_interactions(fitting: Fitting) -> Model:
    """Let constraints count differently by side and by how much a person gives everybody."""
    return fitting.update(replace(fitting.design, interactions=True), "interactions")


def fit_selectivity(fitting: Fitting) -> Model:
    """Let what a partner offers count differently for people who accept easily, side by side.

    A bilinear term of rank one: its two factors are read from the linear fit, its strength on
    either side is learned.
    """
    linear = fitting.linear
    names = (term.name for term in linear.design.terms)
    weights = dict(zip(names, linear.acceptance.mean.tolist(), strict=True))
    return fitting.update(fitting.design.with_bars(weights), "selectivity")


def fit_boosted(fitting: Fitting, *, seed: int) -> Model:
    """Blend the linear model with monotone boosted trees, then calibrate the blend.

    Satisfying a constraint better never lowers the log-odds of the trees. The calibration is
    learned on the half of the rounds that a blend of the others did not see: Platt's, and
    from ``ISOTONIC_FROM`` decisions on an isotonic one after it.
    """
    rows, half = fitting.rows, _half(fitting.rows)
    calibration, isotonic = (0.0, 1.0), AS_IS
    if half.any() and not half.all():
        blended = _with_trees(Fitting(rows[half], fitting.prior, fitting.width_share), seed)
        logit, accepted = log_odds(blended, rows[~half]), fitting.accepted[~half]
        calibration = platt(logit, accepted)
        if len(logit) >= ISOTONIC_FROM:
            isotonic = Isotonic.fit(calibration[0] + calibration[1] * logit, accepted)
    return replace(_with_trees(fitting, seed), calibration=calibration, isotonic=isotonic)


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


def _with_trees(fitting: Fitting, seed: int) -> Model:
    linear, rows, accepted = fitting.linear, fitting.rows, fitting.accepted
    step = -(-len(rows) // TREE_ROWS)
    rising = [t.family in ("score", "offers") or t.name == "rank" for t in linear.design.terms]
    matrix = linear.design.matrix(rows.iloc[::step])
    trees = grow(matrix, accepted[::step], rising, Boosting(), seed)
    return replace(linear, kind="boosted", trees=trees, blend=BLEND * fitting.width_share)


def _half(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Take every other round; of a single round, all of it."""
    groups = rows["group"].astype(str)
    order = {group: index % 2 for index, group in enumerate(sorted(groups.unique()))}
    return np.asarray(groups.map(order).to_numpy() == 0)


def _satisfied(
    rows: pd.DataFrame, matrix: Floats, design: Design, widths: Mapping[str, float]
) -> Gaussian:
    rated = ((rows["accepted"] == 1) & rows["rating"].notna()).to_numpy()
    rating = rows["rating"].to_numpy(dtype="float64", na_value=np.nan)[rated]
    return rounded(linear_posterior(matrix[rated], rating, satisfaction_prior(design, widths)))
