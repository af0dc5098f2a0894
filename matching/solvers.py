"""The solvers behind an assignment: which one runs depends on size and density alone.

Two problems are solved here. A *full matching* fills the shorter side of a matrix once
(rows or columns may be copies of one place). A *flow* chooses pairs, each at most once,
between bounds on how many pairs a row and a column take part in.

The thresholds come from ``benchmarks/assignment.py``: on dense matrices lapx's
Jonker-Volgenant (``lapjvr``) beat scipy's at every size and shape tried; below
``SPARSE_DENSITY`` the sparse solvers are faster, lapx's where the matrix is square and
scipy's otherwise. No choice depends on a clock, so the same input gives the same pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import lap
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array, vstack
from scipy.sparse.csgraph import maximum_flow, min_weight_full_bipartite_matching

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.intp]

SPARSE_DENSITY = 0.1
"""Share of permitted pairs below which the sparse solvers are faster."""
SMALL_SIDE = 300
"""Up to this many rows or columns the dense solver is fastest whatever the density."""
DENSE_CELLS = 200_000_000
"""Cells above which a dense copy (8 bytes each) is not made."""
FLOW_FIRST_PAIRS = 24
"""Pairs of each row and column that a large flow starts from; prices add the others."""
FLOW_ALL_AT_ONCE = 20_000
"""Pairs up to which a flow is solved in one go."""
PRICE_TOLERANCE = 1e-9
LEVEL_FROM = 200
"""Rows from which taking out common levels pays for itself."""
LEVEL_SAMPLE = 100
LEVEL_BELOW = 0.7
"""Share of the variance that must be left within rows and columns for it not to pay."""


class NoFullMatching(Exception):
    """The shorter side cannot be filled; the caller says why."""


@dataclass(frozen=True)
class Pairs:
    """Permitted pairs of a problem, one entry a pair, sorted by row and column."""

    shape: tuple[int, int]
    rows: Integers
    columns: Integers
    gains: Floats

    def take(self, chosen: NDArray[np.bool_] | Integers) -> Pairs:
        """Keep some of the pairs."""
        if chosen.dtype == bool and chosen.all():
            return self
        return Pairs(self.shape, self.rows[chosen], self.columns[chosen], self.gains[chosen])


@dataclass(frozen=True)
class Bounds:
    """How many pairs each row and each column takes part in, at least and at most."""

    row_least: Integers
    row_most: Integers
    column_least: Integers
    column_most: Integers


def full_dense(gains: Floats) -> tuple[Integers, Integers, str]:
    """Fill the shorter side of a dense matrix at the largest total gain.

    Args:
        gains: Shape (rows, columns); minus infinity forbids a pair.

    Returns:
        Rows, columns, and the name of the solver.

    Raises:
        NoFullMatching: Too few permitted pairs.
    """
    is_square = gains.shape[0] == gains.shape[1]
    costs = -_levelled(gains) if is_square else -gains
    try:
        _, rows, columns = lap.lapjvr(costs, extend_cost=not is_square)
    except ValueError as error:
        raise NoFullMatching from error
    if not np.isfinite(gains[rows, columns]).all():
        raise NoFullMatching
    return rows.astype(np.intp), columns.astype(np.intp), "lapx dense"


def _levelled(gains: Floats) -> Floats:
    """Take out what is common to a row or a column where that is much of the difference.

    Every full matching has each row and column once, so the optimum stays; picky and
    sought-after people stand out no longer, which halves the search.
    """
    step = max(1, gains.shape[0] // LEVEL_SAMPLE)
    sample = gains[::step, ::step]
    if gains.shape[0] < LEVEL_FROM or not np.isfinite(gains).all():
        return gains
    rest = sample - sample.mean(axis=0)
    rest = rest - rest.mean(axis=1)[:, None]
    if rest.var() > LEVEL_BELOW * sample.var():
        return gains
    level = gains - gains.mean(axis=0)
    return np.asarray(level - level.mean(axis=1)[:, None])


def full_sparse(pairs: Pairs) -> tuple[Integers, Integers, str]:
    """Fill the shorter side of a sparse matrix at the largest total gain.

    Raises:
        NoFullMatching: Too few permitted pairs.
    """
    size, width = pairs.shape
    if pairs.gains.size < min(size, width):
        raise NoFullMatching
    costs = pairs.gains.max() - pairs.gains
    costs += max(float(costs.max()), 1.0) * 1e-3  # a stored zero would mean "no pair"
    matrix = _rows_together(pairs, costs)
    if size == width:
        return _full_sparse_square(matrix)
    try:
        rows, columns = min_weight_full_bipartite_matching(matrix)
    except ValueError as error:
        raise NoFullMatching from error
    return rows.astype(np.intp), columns.astype(np.intp), "scipy sparse"


def _rows_together(pairs: Pairs, values: Floats) -> csr_array:
    """Lay values out row by row; pairs that are sorted already need not be sorted again."""
    if (np.diff(pairs.rows * pairs.shape[1] + pairs.columns) > 0).all():
        starts = np.r_[0, np.cumsum(np.bincount(pairs.rows, minlength=pairs.shape[0]))]
        columns = pairs.columns.astype(np.int32)
        return csr_array((values, columns, starts.astype(np.int32)), shape=pairs.shape)
    matrix = csr_array(coo_array((values, (pairs.rows, pairs.columns)), shape=pairs.shape))
    matrix.sort_indices()
    return matrix


def _full_sparse_square(costs: csr_array) -> tuple[Integers, Integers, str]:
    size = costs.shape[0]
    total, columns, _ = lap.lapmod(
        size, costs.data, costs.indptr.astype(np.int32), costs.indices.astype(np.int32)
    )
    if not np.isfinite(total):
        raise NoFullMatching
    return np.arange(size), columns.astype(np.intp), "lapx sparse"


def flow(pairs: Pairs, bounds: Bounds, required: NDArray[np.bool_] | None = None) -> Integers:
    """Choose pairs, each at most once, of the largest total gain between the bounds.

    The constraint matrix is totally unimodular, so the vertex that the simplex method
    ends in is integral. A large problem starts from the best pairs of each row and column
    and takes in every pair that the dual prices show to be worth more, until none is:
    the optimum of all pairs, at the cost of few.

    Args:
        pairs: The permitted pairs.
        bounds: Pairs a row and a column takes part in, at least and at most.
        required: True for pairs that must be chosen.

    Returns:
        Positions in ``pairs`` of those chosen, ascending.

    Raises:
        NoFullMatching: No choice keeps the bounds.
    """
    must = np.zeros(pairs.gains.size, dtype=bool) if required is None else required
    active = must | _starting_pairs(pairs, bounds)
    while True:
        here = np.flatnonzero(active)
        chosen, row_prices, column_prices = _simplex(pairs.take(here), bounds, must[here])
        worth = pairs.gains - row_prices[pairs.rows] - column_prices[pairs.columns]
        entering = ~active & (worth > PRICE_TOLERANCE * (1 + np.abs(pairs.gains)))
        if not entering.any():
            return here[chosen]
        active |= entering


def most_places(pairs: Pairs, bounds: Bounds) -> tuple[int, NDArray[np.bool_]]:
    """Fill as many places as possible, whatever the gain.

    Returns:
        The number of places filled, and True for each pair that fills one.
    """
    size, width = pairs.shape
    source, sink = size + width, size + width + 1
    tails = np.r_[np.full(size, source), pairs.rows, size + np.arange(width)]
    heads = np.r_[np.arange(size), size + pairs.columns, np.full(width, sink)]
    room = np.r_[bounds.row_most, np.ones(pairs.rows.size, dtype=np.intp), bounds.column_most]
    network = csr_array(
        coo_array((room.astype(np.int32), (tails, heads)), shape=(sink + 1, sink + 1))
    )
    network.eliminate_zeros()
    found = maximum_flow(network, source, sink)
    carried = coo_array(found.flow)
    tails, heads = carried.coords
    between = (carried.data > 0) & (tails < size) & (heads >= size)
    keys = tails[between].astype(np.intp) * width + heads[between] - size
    return int(found.flow_value), np.isin(pairs.rows * width + pairs.columns, keys)


def _starting_pairs(pairs: Pairs, bounds: Bounds) -> NDArray[np.bool_]:
    """Choose pairs to begin with: the best of each row and column, and a way to fill."""
    small = pairs.gains.size <= FLOW_ALL_AT_ONCE
    if small or (bounds.row_least.any() and bounds.column_least.any()):
        return np.ones(pairs.gains.size, dtype=bool)
    filled, start = most_places(pairs, bounds)
    if filled < bounds.row_least.sum() + bounds.column_least.sum():
        raise NoFullMatching
    for keys, most in ((pairs.rows, bounds.row_most), (pairs.columns, bounds.column_most)):
        order = np.lexsort((-pairs.gains, keys))
        rank = np.arange(order.size) - np.searchsorted(keys[order], keys[order])
        start[order[rank < FLOW_FIRST_PAIRS + 2 * most[keys[order]]]] = True
    return start


def _simplex(
    pairs: Pairs, bounds: Bounds, required: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Solve the flow over few pairs; also the price of each row's and column's places."""
    size, count = pairs.shape[0], pairs.gains.size
    if count == 0:
        if bounds.row_least.any() or bounds.column_least.any():
            raise NoFullMatching
        return np.zeros(0, dtype=bool), np.zeros(size), np.zeros(pairs.shape[1])
    scale = float(np.abs(pairs.gains).max()) or 1.0
    least = np.r_[bounds.row_least, bounds.column_least]
    most = np.r_[bounds.row_most, bounds.column_most]
    at = np.arange(count)
    uses = csr_array(
        coo_array(
            (np.ones(2 * count), (np.r_[pairs.rows, size + pairs.columns], np.r_[at, at])),
            shape=(least.size, count),
        )
    )
    needy = np.flatnonzero(least)
    answer = linprog(  # type: ignore[call-overload]  # its stubs know no sparse matrix
        -pairs.gains / scale,
        A_ub=vstack([uses, -uses[needy]]),
        b_ub=np.r_[most, -least[needy]],
        bounds=np.c_[required.astype(float), np.ones(count)],
        method="highs-ds",
        options={"dual_feasibility_tolerance": 1e-10, "primal_feasibility_tolerance": 1e-9},
    )
    if answer.status != 0:
        raise NoFullMatching
    prices = -answer.ineqlin.marginals[: least.size]
    prices[needy] += answer.ineqlin.marginals[least.size :]
    prices *= scale
    return answer.x > 1 / 2, prices[:size], prices[size:]
