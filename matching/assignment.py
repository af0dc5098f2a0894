"""Who is proposed to whom: the assignment of the largest total utility.

Rows and columns are two sets of people (or things); an entry is what a pair is worth.
``Constraints`` says what must not be, what must be, how many places everybody has and what
an empty place costs. Every assignment is optimal, whichever solver finds it; the solver is
chosen by size and density alone, so equal input gives equal pairs, ties included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from matching.conflicts import (
    InfeasibleAssignment,
    explain_conflict,
    refuse_conflicting_requirements,
)
from matching.problem import Constraints, Problem, Utilities, read_problem
from matching.solvers import (
    Bounds,
    Floats,
    Integers,
    NoFullMatching,
    Pairs,
    flow,
    full_dense,
    full_sparse,
)
from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Assignment", "Constraints", "InfeasibleAssignment", "assign", "propose"]

UNCONSTRAINED = Constraints()


@dataclass(frozen=True, eq=False)
class Assignment:
    """Pairs that are made, sorted by row and column.

    Attributes:
        rows: Row of each pair.
        columns: Column of each pair.
        utilities: Utility of each pair.
        utility: Their sum, less what empty places cost.
        empty_row_places: Places of each row that stay empty.
        empty_column_places: Places of each column that stay empty.
        solver: What found it, for benchmarks.
    """

    rows: Integers
    columns: Integers
    utilities: Floats
    utility: float
    empty_row_places: Integers
    empty_column_places: Integers
    solver: str = field(compare=False)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Give the pairs as (row, column)."""
        return [
            (int(row), int(column)) for row, column in zip(self.rows, self.columns, strict=True)
        ]

    def mask(self) -> NDArray[np.bool_]:
        """Give a matrix that is true for each pair made."""
        made = np.zeros((self.empty_row_places.size, self.empty_column_places.size), dtype=bool)
        made[self.rows, self.columns] = True
        return made


def assign(utilities: Utilities, constraints: Constraints = UNCONSTRAINED) -> Assignment:
    """Choose the pairs of the largest total utility.

    Args:
        utilities: Shape (rows, columns): an array, or a scipy sparse matrix whose stored
            entries (explicit zeros too) are the permitted pairs. NaN and minus infinity
            forbid a pair.
        constraints: What may and must be; by default everybody has one place and every
            place of the shorter side is filled.

    Returns:
        An optimal assignment. Among several optimal ones it is always the same for the
        same input.

    Raises:
        InfeasibleAssignment: No assignment keeps every rule; it names the conflict.
        InvalidInput: An argument breaks a rule.

    References:
        Crouse, D. F. (2016). On implementing 2D rectangular assignment algorithms. IEEE
        Transactions on Aerospace and Electronic Systems 52(4). doi:10.1109/TAES.2016.140952
    """
    problem = read_problem(utilities, constraints)
    refuse_conflicting_requirements(problem)
    return solve(problem)


def propose(
    utilities: Utilities, rounds: int, constraints: Constraints = UNCONSTRAINED
) -> tuple[Assignment, ...]:
    """Choose several assignments at once that share no pair, of the largest utility together.

    The pairs of all rounds are chosen jointly, which is worth at least as much as one round
    after another, and are then dealt into rounds, the best first. A required pair is made in
    one of the rounds.

    Args:
        utilities: As for ``assign``.
        rounds: Number of disjoint assignments, at least 1.
        constraints: What may and must be in each round.

    Returns:
        One assignment a round.

    Raises:
        InfeasibleAssignment: There are not as many disjoint assignments; names the conflict.
        InvalidInput: An argument breaks a rule.
    """
    if rounds < 1:
        raise InvalidInput("rounds", "must be at least 1")
    problem = read_problem(utilities, constraints)
    refuse_conflicting_requirements(problem, rounds)
    if rounds == 1:
        return (solve(problem),)
    worthwhile = _worthwhile(problem)
    left = problem.pairs.take(worthwhile)
    left = Pairs(left.shape, left.rows, left.columns, problem.gains[worthwhile])
    try:
        chosen = flow(left, problem.bounds(rounds), problem.is_required[worthwhile])
    except NoFullMatching:
        raise explain_conflict(problem, rounds) from None
    left = left.take(chosen)
    dealt = []
    for remaining in range(rounds, 0, -1):
        taken = flow(left, _deal_bounds(problem, left, remaining))
        dealt.append(made_of(problem, left.rows[taken], left.columns[taken], "highs"))
        kept = np.ones(left.gains.size, dtype=bool)
        kept[taken] = False
        left = left.take(kept)
    return tuple(dealt)


def solve(problem: Problem) -> Assignment:
    """Solve a problem whose required pairs are known not to conflict.

    Raises:
        InfeasibleAssignment: No assignment keeps every rule.
    """
    rest = problem.without_required()
    try:
        if rest.row_places.max(initial=0) > 1 and rest.column_places.max(initial=0) > 1:
            rows, columns, solver = _by_flow(rest)
        else:
            rows, columns, solver = _by_places(rest)
    except NoFullMatching:
        raise explain_conflict(problem) from None
    if problem.required.size:
        rows = np.concatenate([rows, problem.required[:, 0]])
        columns = np.concatenate([columns, problem.required[:, 1]])
    return made_of(problem, rows, columns, solver)


def _by_flow(problem: Problem) -> tuple[Integers, Integers, str]:
    worthwhile = _worthwhile(problem)
    pairs = problem.pairs.take(worthwhile)
    pairs = Pairs(pairs.shape, pairs.rows, pairs.columns, problem.gains[worthwhile])
    chosen = flow(pairs, problem.bounds())
    return pairs.rows[chosen], pairs.columns[chosen], "highs"


def _by_places(problem: Problem) -> tuple[Integers, Integers, str]:
    """Solve with a row or column a place, which is exact while one side has one place each."""
    row_of, column_of = (
        np.repeat(np.arange(places.size), np.minimum(places, others.size))
        for places, others in (
            (problem.row_places, problem.column_places),
            (problem.column_places, problem.row_places),
        )
    )
    if problem.fills_rows and row_of.size < problem.row_places.sum():
        raise NoFullMatching
    if problem.fills_columns and column_of.size < problem.column_places.sum():
        raise NoFullMatching
    if not row_of.size or not column_of.size:
        nobody = np.empty(0, dtype=np.intp)
        return nobody, nobody, "none"
    if problem.dense is not None:
        at_rows, at_columns, solver = _dense_places(problem, row_of, column_of)
    else:
        at_rows, at_columns, solver = _sparse_places(problem, row_of, column_of)
    return row_of[at_rows], column_of[at_columns], solver


def _dense_places(
    problem: Problem, row_of: Integers, column_of: Integers
) -> tuple[Integers, Integers, str]:
    assert problem.dense is not None  # noqa: S101 -- the caller looked
    gains = problem.dense
    if problem.empty_costs is not None:
        # An empty place is worth 0, and so is whatever is not worth more than that.
        gains = np.maximum(gains + problem.empty_costs[:, None], 0.0)
    if problem.row_places.min() != 1 or problem.row_places.max() != 1:
        gains = gains[row_of]
    if problem.column_places.min() != 1 or problem.column_places.max() != 1:
        gains = gains[:, column_of]
    rows, columns, solver = full_dense(gains)
    if problem.empty_costs is not None:
        made = gains[rows, columns] > 0
        rows, columns = rows[made], columns[made]
    return rows, columns, solver


def _sparse_places(
    problem: Problem, row_of: Integers, column_of: Integers
) -> tuple[Integers, Integers, str]:
    worthwhile = _worthwhile(problem)
    pairs = problem.pairs.take(worthwhile)
    gains = problem.gains[worthwhile]
    rows, at = _copy(pairs.rows, row_of, problem.row_places.size)
    columns, again = _copy(pairs.columns[at], column_of, problem.column_places.size)
    rows, gains = rows[again], gains[at][again]
    height, width = row_of.size, column_of.size
    if problem.empty_costs is None:
        return full_sparse(Pairs((height, width), rows, columns, gains))
    # Each row's place may take a column of its own instead, which is worth nothing.
    own = np.arange(height)
    rows, columns, solver = full_sparse(
        Pairs(
            (height, width + height),
            np.r_[rows, own],
            np.r_[columns, width + own],
            np.r_[gains, np.zeros(height)],
        )
    )
    made = columns < width
    return rows[made], columns[made], solver


def _copy(ends: Integers, owner_of: Integers, owners: int) -> tuple[Integers, Integers]:
    """Repeat each pair for every place of its end: the places, and the pair each comes from."""
    counts = np.bincount(owner_of, minlength=owners)
    if counts.size == owner_of.size and (counts == 1).all():
        return ends, np.arange(ends.size)
    starts = np.cumsum(counts) - counts
    copies = counts[ends]
    pair_of = np.repeat(np.arange(ends.size), copies)
    nth = np.arange(pair_of.size) - np.repeat(np.cumsum(copies) - copies, copies)
    return starts[ends[pair_of]] + nth, pair_of


def _worthwhile(problem: Problem) -> NDArray[np.bool_]:
    """Leave out pairs that are worth no more than an empty place, unless required."""
    if problem.empty_costs is None:
        return np.ones(problem.pairs.gains.size, dtype=bool)
    return (problem.gains > 0) | problem.is_required


def _deal_bounds(problem: Problem, left: Pairs, remaining: int) -> Bounds:
    """Bound one of the remaining rounds so that the others can take what is left.

    By König's theorem the pairs of a bipartite graph can be dealt into as many rounds as
    its largest degree calls for, so a round that relieves whoever is fullest always exists.
    """
    least, most = [], []
    for ends, places in (
        (left.rows, problem.row_places),
        (left.columns, problem.column_places),
    ):
        degrees = np.bincount(ends, minlength=places.size)
        least.append(np.maximum(degrees - (remaining - 1) * places, 0))
        most.append(np.minimum(degrees, places))
    return Bounds(least[0], most[0], least[1], most[1])


def made_of(problem: Problem, rows: Integers, columns: Integers, solver: str) -> Assignment:
    """Describe chosen pairs of a problem: their utilities, and the places left empty."""
    order = np.lexsort((columns, rows))
    rows, columns = rows[order], columns[order]
    width = problem.shape[1]
    if problem.dense is not None:
        utilities = problem.dense[rows, columns]
    else:
        keys = problem.pairs.rows * width + problem.pairs.columns
        utilities = problem.pairs.gains[np.searchsorted(keys, rows * width + columns)]
    empty = problem.row_places - np.bincount(rows, minlength=problem.shape[0])
    cost = 0.0 if problem.empty_costs is None else float(problem.empty_costs @ empty)
    return Assignment(
        rows=rows,
        columns=columns,
        utilities=utilities,
        utility=float(utilities.sum()) - cost,
        empty_row_places=empty,
        empty_column_places=problem.column_places - np.bincount(columns, minlength=width),
        solver=solver,
    )
