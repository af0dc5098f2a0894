"""Trying other pairs at a bounded price, with probabilities that are known exactly.

A lottery over assignments: every one of them keeps every rule, the pairs of the best
assignment are the likeliest, and the expected utility is short of the best by at most the
budget. The probability of a pair is added up over the assignments that make it, so it is
the propensity of what is drawn, exact to rounding, and off-policy estimates may rely on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array, csr_array

from matching.assignment import Assignment, Constraints, made_of, solve
from matching.conflicts import refuse_conflicting_requirements
from matching.decomposition import decompose
from matching.entropic import shortfalls, spread
from matching.problem import Problem, Utilities, read_problem
from matching.shadow_prices import dual_prices
from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from matching.solvers import Floats

UNCONSTRAINED = Constraints()
BUDGET = 0.01
"""Share of the best utility that may be given up in expectation."""
RAREST = 1e-3
"""Pairs less probable than this are not tried: a decision on one would weigh too much."""
MOST_ASSIGNMENTS = 1_000
ROUNDING = 1e-9
"""Share of the budget that is kept back, so that rounding does not exceed it."""


@dataclass(frozen=True, eq=False)
class Lottery:
    """Assignments and how likely each is.

    Attributes:
        assignments: Each keeps every rule.
        probabilities: Shape (assignments,); they sum to 1.
        propensities: Shape (rows, columns), sparse: the probability of each pair.
        expected_utility: Mean utility of what is drawn.
        best_utility: Utility of the best assignment.
        temperature: How far the probabilities are spread, in the unit of the utilities.
    """

    assignments: tuple[Assignment, ...]
    probabilities: Floats
    propensities: csr_array
    expected_utility: float
    best_utility: float
    temperature: float

    def draw(self, seed: int) -> Draw:
        """Draw an assignment; the same seed draws the same one."""
        generator = np.random.default_rng(seed)
        found = self.assignments[generator.choice(self.probabilities.size, p=self.probabilities)]
        return Draw(found, self.propensities_of(found))

    def propensities_of(self, found: Assignment) -> Floats:
        """Give the probability of each pair of an assignment; 0 where it is never made."""
        table = self.propensities
        width = table.shape[1]
        keys = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr)) * width + table.indices
        at = np.searchsorted(keys, found.rows * width + found.columns)
        at = np.minimum(at, keys.size - 1)
        known = keys[at] == found.rows * width + found.columns
        return np.where(known, table.data[at], 0.0)


@dataclass(frozen=True, eq=False)
class Draw:
    """A drawn assignment and the propensity of each of its pairs, in their order."""

    assignment: Assignment
    propensities: Floats


def explore(
    utilities: Utilities,
    constraints: Constraints = UNCONSTRAINED,
    *,
    budget: float = BUDGET,
    rarest: float = RAREST,
    most_assignments: int = MOST_ASSIGNMENTS,
) -> Lottery:
    """Spread pair probabilities as far as the budget allows, and make a lottery of them.

    Args:
        utilities: As for ``assign``.
        constraints: As for ``assign``; each drawn assignment keeps them all.
        budget: Share of the best utility (of its absolute value) that may be given up in
            expectation, in [0, 1]. 0 still tries whatever costs nothing.
        rarest: Pairs that would be less probable than this are not tried, in (0, 1).
        most_assignments: Bound on the assignments in the lottery, at least 1. Probability
            that they do not reach goes to the best assignment.

    Returns:
        The lottery. Its expected utility is at least (1 - budget) times the best.

    Raises:
        InfeasibleAssignment: No assignment keeps every rule; it names the conflict.
        InvalidInput: An argument breaks a rule.
    """
    if not 0 <= budget <= 1:
        raise InvalidInput("budget", "must be between 0 and 1")
    if not 0 < rarest < 1:
        raise InvalidInput("rarest", "must be between 0 and 1, both excluded")
    if most_assignments < 1:
        raise InvalidInput("most_assignments", "must be at least 1")
    problem = read_problem(utilities, constraints)
    refuse_conflicting_requirements(problem)
    best = solve(problem)
    allowed = budget * abs(best.utility)
    rest = problem.without_required()
    short = shortfalls(rest, dual_prices(rest, solve(rest)))
    marginals = spread(rest, short, allowed, rarest)
    mixture: dict[tuple[bytes, bytes], tuple[Assignment, float]] = {_key(best): (best, 0.0)}
    for component in decompose(rest, marginals, most_assignments):
        rows, columns = rest.pairs.rows[component.pairs], rest.pairs.columns[component.pairs]
        made = made_of(
            problem,
            np.r_[rows, problem.required[:, 0]],
            np.r_[columns, problem.required[:, 1]],
            "lottery",
        )
        mixture[_key(made)] = (made, component.weight)
    assignments = [made for made, _ in mixture.values()]
    weights = np.array([weight for _, weight in mixture.values()])
    probabilities = _within_budget(assignments, weights, allowed)
    kept = np.flatnonzero(probabilities)
    assignments, probabilities = [assignments[at] for at in kept], probabilities[kept]
    worth = np.array([each.utility for each in assignments])
    return Lottery(
        assignments=tuple(assignments),
        probabilities=probabilities,
        propensities=_propensities(problem, assignments, probabilities),
        expected_utility=float(probabilities @ worth),
        best_utility=best.utility,
        temperature=marginals.temperature,
    )


def _key(found: Assignment) -> tuple[bytes, bytes]:
    return found.rows.tobytes(), found.columns.tobytes()


def _within_budget(assignments: list[Assignment], weights: Floats, allowed: float) -> Floats:
    """Give the first, best assignment the rest of the probability, and what a loss asks for."""
    losses = assignments[0].utility - np.array([each.utility for each in assignments])
    loss = float(weights @ losses)
    if loss > allowed:
        weights = weights * (allowed / loss) * (1.0 - ROUNDING)
    weights[0] += max(1.0 - weights.sum(), 0.0)
    return np.asarray(weights / weights.sum())


def _propensities(
    problem: Problem, assignments: list[Assignment], probabilities: Floats
) -> csr_array:
    rows = np.concatenate([each.rows for each in assignments])
    columns = np.concatenate([each.columns for each in assignments])
    mass = np.repeat(probabilities, [each.rows.size for each in assignments])
    summed = csr_array(coo_array((mass, (rows, columns)), shape=problem.shape))
    summed.sum_duplicates()
    summed.data = np.minimum(summed.data, 1.0)
    return summed
