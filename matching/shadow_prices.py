"""What places and rules cost: how the best utility changes when one of them does.

The constraint matrix of an assignment is totally unimodular, so the optimum is piecewise
linear between whole places and its one-sided slopes are the exact effects of one place more
or fewer. Both slopes are read from one optimal assignment as the best augmenting paths of
its residual network, which are the ends of the interval of optimal dual prices, instead of
solving again for each place. Prices carry the unit of the utilities.

References:
    Ahuja, R. K., Magnanti, T. L. and Orlin, J. B. (1993). Network Flows. Prentice Hall,
    chapters 9 and 12.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matching.assignment import Assignment, Constraints, assign, solve
from matching.conflicts import refuse_conflicting_requirements
from matching.problem import Problem, Utilities, read_problem
from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from matching.solvers import Floats, Integers

UNCONSTRAINED = Constraints()
PATH_TOLERANCE = 1e-11
"""Relative gain below which a longer path is not a better one but rounding."""


@dataclass(frozen=True, eq=False)
class PlacePrices:
    """How the best utility changes with one place, all else being equal.

    Minus infinity says that nothing would be feasible; NaN that there is no place to take.

    Attributes:
        utility: The best utility as things are.
        row_one_more: Change with one more place of each row.
        row_one_fewer: Change with one fewer place of each row.
        column_one_more: Change with one more place of each column.
        column_one_fewer: Change with one fewer place of each column.
    """

    utility: float
    row_one_more: Floats
    row_one_fewer: Floats
    column_one_more: Floats
    column_one_fewer: Floats


@dataclass(frozen=True)
class _Residual:
    """How an assignment can be changed: arcs between rows, columns and the outside.

    Nodes are the rows, then the columns, then one node for the outside, which empty places
    lead to and from.
    """

    tails: Integers
    heads: Integers
    gains: Floats
    nodes: int

    def best_from(self, source: int) -> Floats:
        """Find the largest gain of a path from a node to each node."""
        return self._best(self._only(source), self.tails, self.heads)

    def best_to(self, target: int) -> Floats:
        """Find the largest gain of a path from each node to a node."""
        return self._best(self._only(target), self.heads, self.tails)

    def best_from_anywhere(self) -> Floats:
        """Find the largest gain of a path from any node to each node."""
        return self._best(np.zeros(self.nodes), self.tails, self.heads)

    def best_to_anywhere(self) -> Floats:
        """Find the largest gain of a path from each node to any node."""
        return self._best(np.zeros(self.nodes), self.heads, self.tails)

    def _only(self, node: int) -> Floats:
        return np.where(np.arange(self.nodes) == node, 0.0, -np.inf)

    def _best(self, best: Floats, tails: Integers, heads: Integers) -> Floats:
        slack = PATH_TOLERANCE * (1.0 + float(np.abs(self.gains).max(initial=0.0)))
        # An optimum has no cycle of positive gain, so no best path visits a node twice.
        for _ in range(self.nodes):
            longer = best.copy()
            np.maximum.at(longer, heads, best[tails] + self.gains)
            if not (longer > best + slack).any():
                return best
            best = longer
        return best


def place_prices(utilities: Utilities, constraints: Constraints = UNCONSTRAINED) -> PlacePrices:
    """Price one place more and one place fewer of every row and column.

    Equal to solving again with that one place changed, rule for rule: which side must be
    filled follows the changed number of places. An additional place that stays empty costs
    what empty places cost.

    Raises:
        InfeasibleAssignment: Nothing is feasible as things are.
        InvalidInput: An argument breaks a rule.
    """
    problem, found = _solved(utilities, constraints)
    size, width = problem.shape
    outside = size + width
    costs = np.zeros(size) if problem.empty_costs is None else problem.empty_costs
    rows, columns = problem.row_places, problem.column_places
    empty_row = found.empty_row_places > 0
    empty_column = found.empty_column_places > 0
    changed = [_with_one(problem, row=row, column=0) for row in (1, -1)]
    changed += [_with_one(problem, row=0, column=column) for column in (1, -1)]
    wider, narrower, longer, shorter = (_residual(each, problem, found) for each in changed)

    leave_row = wider.best_to(outside)[:size]
    reach_row = narrower.best_from(outside)[:size]
    reach_column = longer.best_from(outside)[size:outside]
    leave_column = shorter.best_to(outside)[size:outside]
    return PlacePrices(
        utility=found.utility,
        row_one_more=(leave_row if changed[0].fills_rows else np.maximum(leave_row, 0.0)) - costs,
        row_one_fewer=np.where(rows == 0, np.nan, np.where(empty_row, 0.0, reach_row) + costs),
        column_one_more=(
            reach_column if changed[2].fills_columns else np.maximum(reach_column, 0.0)
        ),
        column_one_fewer=np.where(columns == 0, np.nan, np.where(empty_column, 0.0, leave_column)),
    )


def dual_prices(problem: Problem, found: Assignment) -> tuple[Floats, Floats]:
    """Give prices of rows and columns that prove an assignment optimal.

    No pair is worth more than its row and column cost together, a pair that is made is worth
    exactly that (more, where both ends have several places and it could be made only once),
    and a place that may stay empty and does has the price 0. So whatever another
    assignment is short of the best is the sum of what its pairs are short of their prices, and
    of the prices of the places that it leaves empty. Of all such prices these lie in the middle.

    Args:
        problem: A problem without required pairs.
        found: An optimal assignment of it.

    Returns:
        Prices of the rows (above what their empty places cost) and of the columns.
    """
    residual = _residual(problem, problem, found)
    if min(problem.row_places.max(initial=0), problem.column_places.max(initial=0)) <= 1:
        residual = _with_pairs_repeated(residual, problem, found)
    potential = (residual.best_from_anywhere() - residual.best_to_anywhere()) / 2
    size = problem.shape[0]
    rows, columns = potential[-1] - potential[:size], potential[size:-1] - potential[-1]
    # Where nobody is there, a path may say less than nothing; an empty place is worth 0.
    return (
        rows if problem.fills_rows else np.maximum(rows, 0.0),
        columns if problem.fills_columns else np.maximum(columns, 0.0),
    )


def _with_pairs_repeated(residual: _Residual, problem: Problem, found: Assignment) -> _Residual:
    """Let pairs that are made be made again, which the places of one end forbid anyway."""
    gains = found.utilities
    if problem.empty_costs is not None:
        gains = gains + problem.empty_costs[found.rows]
    return replace(
        residual,
        tails=np.r_[residual.tails, found.rows],
        heads=np.r_[residual.heads, problem.shape[0] + found.columns],
        gains=np.r_[residual.gains, gains],
    )


def forbidden_pair_prices(
    utilities: ArrayLike, constraints: Constraints
) -> tuple[Integers, Floats]:
    """Price every forbidden pair: how much more there would be were it alone permitted.

    Args:
        utilities: Shape (rows, columns), with what forbidden pairs would be worth.
        constraints: ``forbidden`` names the pairs; of those whose utility is NaN or
            infinite nothing can be said, and they are left out.

    Returns:
        The pairs, shape (pairs, 2), sorted, and the price of each, at least 0.

    Raises:
        InfeasibleAssignment: Nothing is feasible as things are.
        InvalidInput: An argument breaks a rule.
    """
    problem, found = _solved(utilities, constraints)
    worth = np.asarray(utilities, dtype=np.float64)
    permitted = np.zeros(problem.shape, dtype=bool)
    permitted[problem.pairs.rows, problem.pairs.columns] = True
    lifted = np.argwhere(~permitted & np.isfinite(worth))
    if problem.empty_costs is not None:
        worth = worth + problem.empty_costs[:, None]
    residual = _residual(problem, problem, found)
    prices = np.zeros(len(lifted))
    for column in np.unique(lifted[:, 1]):
        back = residual.best_from(problem.shape[0] + int(column))
        here = lifted[:, 1] == column
        rows = lifted[here, 0]
        prices[here] = np.maximum(worth[rows, column] + back[rows], 0.0)
    return lifted, prices


def required_pair_prices(utilities: Utilities, constraints: Constraints) -> tuple[Integers, Floats]:
    """Price every required pair: how much more there would be were it alone left free.

    Returns:
        The pairs, shape (pairs, 2), sorted, and the price of each, at least 0.

    Raises:
        InfeasibleAssignment: Nothing is feasible as things are.
        InvalidInput: An argument breaks a rule.
    """
    problem, found = _solved(utilities, constraints)
    residual = _residual(problem, problem, found)
    gains = problem.gains[problem.is_required]
    rows = problem.pairs.rows[problem.is_required]
    columns = problem.pairs.columns[problem.is_required]
    prices = np.empty(gains.size)
    for at, (row, column) in enumerate(zip(rows, columns, strict=True)):
        around = residual.best_from(int(row))[problem.shape[0] + column]
        prices[at] = max(around - gains[at], 0.0)
    return np.c_[rows, columns], prices


def rule_costs(
    utilities: ArrayLike,
    rules: Mapping[str, ArrayLike],
    constraints: Constraints = UNCONSTRAINED,
) -> pd.DataFrame:
    """Price whole rules, each of which forbids many pairs: what the best utility is short of.

    Prices of single pairs do not add up to the price of a rule, so each rule is lifted and
    the rest solved again.

    Args:
        utilities: Shape (rows, columns), with what forbidden pairs would be worth.
        rules: For each rule by name, a boolean mask of the pairs that it forbids.
        constraints: Everything else.

    Returns:
        A row a rule: ``pairs`` that it forbids, ``alone`` those that no other rule does,
        ``cost`` in the unit of the utilities, at least 0 but for rounding.

    Raises:
        InfeasibleAssignment: Nothing is feasible with all rules.
        InvalidInput: A mask has not the shape of the utilities.
    """
    worth = np.asarray(utilities, dtype=np.float64)
    masks = {name: np.asarray(rule) for name, rule in rules.items()}
    for mask in masks.values():
        if mask.dtype != bool or mask.shape != worth.shape:
            raise InvalidInput("rules", "must be boolean masks of the shape of the utilities")
    times = np.sum(list(masks.values()), axis=0) if masks else np.zeros(worth.shape, dtype=int)

    def best(forbidden: NDArray[np.bool_]) -> float:
        return assign(np.where(forbidden, np.nan, worth), constraints).utility

    kept = best(times > 0)
    return pd.DataFrame(
        {
            "pairs": [int(mask.sum()) for mask in masks.values()],
            "alone": [int((mask & (times == 1)).sum()) for mask in masks.values()],
            "cost": [best(times - mask > 0) - kept for mask in masks.values()],
        },
        index=pd.Index(list(masks), name="rule"),
    )


def _solved(utilities: Utilities, constraints: Constraints) -> tuple[Problem, Assignment]:
    problem = read_problem(utilities, constraints)
    refuse_conflicting_requirements(problem)
    return problem, solve(problem)


def _with_one(problem: Problem, *, row: int, column: int) -> Problem:
    """Change the total of places by one, to learn which side must then be filled."""
    rows, columns = problem.row_places, problem.column_places
    return replace(problem, row_places=np.r_[rows, row], column_places=np.r_[columns, column])


def _residual(changed: Problem, problem: Problem, found: Assignment) -> _Residual:
    """Build the arcs along which an assignment can change under changed duties to fill."""
    size, width = problem.shape
    outside = size + width
    pairs = problem.pairs
    keys = found.rows * width + found.columns
    made = np.isin(pairs.rows * width + pairs.columns, keys)
    undone = made & ~problem.is_required
    filled_rows = problem.row_places - found.empty_row_places
    filled_columns = problem.column_places - found.empty_column_places
    least_row = problem.row_places * changed.fills_rows
    least_column = problem.column_places * changed.fills_columns
    enter_row = np.flatnonzero(found.empty_row_places > 0)
    exit_row = np.flatnonzero(filled_rows > least_row)
    exit_column = size + np.flatnonzero(found.empty_column_places > 0)
    enter_column = size + np.flatnonzero(filled_columns > least_column)
    entering, leaving = np.r_[enter_row, enter_column], np.r_[exit_row, exit_column]
    return _Residual(
        tails=np.r_[
            pairs.rows[~made],
            size + pairs.columns[undone],
            np.full(entering.size, outside),
            leaving,
        ],
        heads=np.r_[
            size + pairs.columns[~made],
            pairs.rows[undone],
            entering,
            np.full(leaving.size, outside),
        ],
        gains=np.r_[
            problem.gains[~made],
            -problem.gains[undone],
            np.zeros(entering.size + leaving.size),
        ],
        nodes=outside + 1,
    )
