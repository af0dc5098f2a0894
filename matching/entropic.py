"""Pair probabilities that spread as far as a given loss of utility allows.

Among all doubly (sub)stochastic matrices of one expected utility, the one of largest entropy
is a scaling of ``exp(utility / temperature)`` (entropic optimal transport), in which an empty
place is one more partner. The scaling starts from optimal dual prices: then every entry is
``exp(-what the pair is short of its prices / temperature)``, between 0 and 1, and the scaling
is stable at any temperature.

References:
    Cuturi, M. (2013). Sinkhorn distances. NeurIPS 26. arXiv:1306.0895
    Schmitzer, B. (2019). Stabilized sparse scaling algorithms for entropy regularized
    transport problems. SIAM Journal on Scientific Computing 41(3). arXiv:1610.06519
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array, csr_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matching.problem import Problem
    from matching.solvers import Floats, Integers

SCALINGS = 1_000
MARGINAL_TOLERANCE = 1e-6
"""What rows and columns may be off by; the decomposition leaves it to the best assignment."""
DENSE_CELLS = 250_000
MARGIN = 2.0
"""How much rarer than asked a pair may seem before scaling, which can make it likelier."""
SEARCH_TOLERANCE = 1e-4
"""The same while a temperature is looked for."""
BISECTIONS = 40
COLDEST = 1e-12
SMALL = 1e-100
"""Scales stay between this and its inverse, so that products of two are finite."""
LONGEST = 200.0
LARGEST_STEP = 1e6
"""Largest factor by which rows and columns are brought into balance at once."""
LOSS_TOLERANCE = 0.01
"""Share of the loss asked for that may be left unused."""


@dataclass(frozen=True, eq=False)
class Marginals:
    """Probabilities of pairs, in the order of the problem's pairs, and of empty places."""

    pairs: Floats
    row_empty: Floats
    column_empty: Floats
    temperature: float
    column_scales: Floats


@dataclass(frozen=True, eq=False)
class Shortfalls:
    """What pairs are short of their dual prices, and what empty places forgo; all >= 0.

    ``surplus`` is what pairs are worth above their prices where both ends have several places.
    """

    pairs: Floats
    surplus: Floats
    row_empty: Floats
    column_empty: Floats


def shortfalls(problem: Problem, prices: tuple[Floats, Floats]) -> Shortfalls:
    """Measure each pair against the prices; a side that must be filled cannot be empty."""
    rows, columns = prices
    pairs = rows[problem.pairs.rows] + columns[problem.pairs.columns] - problem.gains
    return Shortfalls(
        pairs=np.maximum(pairs, 0.0),
        surplus=np.maximum(-pairs, 0.0),
        row_empty=np.full(rows.size, np.inf) if problem.fills_rows else np.maximum(rows, 0.0),
        column_empty=(
            np.full(columns.size, np.inf) if problem.fills_columns else np.maximum(columns, 0.0)
        ),
    )


def spread(problem: Problem, short: Shortfalls, allowed: float, rarest: float) -> Marginals:
    """Find the most spread-out probabilities that are short of the best by what is allowed.

    Args:
        problem: A problem without required pairs, feasible.
        short: Its shortfalls.
        allowed: Expected utility that may be given up.
        rarest: Pairs less probable than this get probability 0.
    """
    found = _at_loss(problem, short, allowed, rarest)
    probable = found.pairs >= rarest
    return _scaled(
        problem, short, found.temperature, rarest, near=found, among=probable, exact=True
    )


def _at_loss(problem: Problem, short: Shortfalls, allowed: float, rarest: float) -> Marginals:
    """Find the temperature, each from the scaling of the one before."""
    low = _scaled(problem, short, COLDEST, rarest)
    if allowed <= 0:
        return low
    first = max(allowed / max(1, min(problem.shape)), COLDEST)
    hottest = 1e3 * (float(short.pairs.max(initial=0.0)) + first)
    high = _scaled(problem, short, first, rarest)
    while high.temperature < hottest and _loss(short, high) < allowed:
        low, high = high, _scaled(problem, short, 4 * high.temperature, rarest, near=high)
    for _ in range(BISECTIONS):
        if 0 <= allowed - _loss(short, low) <= LOSS_TOLERANCE * allowed:
            break
        coldest = max(low.temperature, high.temperature / 16)
        middle = float(np.sqrt(coldest * high.temperature))
        between = _scaled(problem, short, middle, rarest, near=high)
        low, high = (between, high) if _loss(short, between) <= allowed else (low, between)
    return low


def _loss(short: Shortfalls, marginals: Marginals) -> float:
    def given_up(probability: Floats, shortfall: Floats) -> float:
        at = probability > 0
        return float(probability[at] @ shortfall[at])

    return (
        given_up(marginals.pairs, short.pairs)
        + given_up(1.0 - marginals.pairs, short.surplus)
        + given_up(marginals.row_empty, short.row_empty)
        + given_up(marginals.column_empty, short.column_empty)
    )


def _scaled(
    problem: Problem,
    short: Shortfalls,
    temperature: float,
    rarest: float,
    *,
    near: Marginals | None = None,
    among: NDArray[np.bool_] | None = None,
    exact: bool = False,
) -> Marginals:
    """Scale the kernel until rows and columns have their places (Sinkhorn)."""
    kept = short.pairs <= -temperature * np.log(rarest) * MARGIN
    if among is not None:
        # Pairs that cost nothing stay, so that the best assignment always remains possible.
        kept &= among | (short.pairs <= 0)
    at = np.flatnonzero(kept)
    rows, columns = problem.pairs.rows[at], problem.pairs.columns[at]
    kernel = np.exp(-short.pairs[at] / temperature)
    row_out = np.exp(-short.row_empty / temperature)
    column_out = np.exp(-short.column_empty / temperature)
    several = problem.row_places.max(initial=0) > 1 and problem.column_places.max(initial=0) > 1
    x, y, cap = np.ones(problem.shape[0]), np.ones(problem.shape[1]), np.ones(at.size)
    if near is not None and near.temperature > COLDEST:
        y = _rescaled(near.column_scales, near.temperature / temperature)
    tolerance = MARGINAL_TOLERANCE if exact else SEARCH_TOLERANCE
    grid, turned = _grids(problem, rows, columns, kernel)
    for _ in range(SCALINGS):
        x = _share(problem.row_places, row_out + grid @ y)
        weight = column_out + turned @ x
        wanted = _share(problem.column_places, weight)
        moved = float((np.abs(wanted - y) * weight).max(initial=0.0))
        y = wanted
        if several:
            cap = np.minimum(1.0, 1.0 / np.maximum(x[rows] * kernel * y[columns], COLDEST))
            grid, turned = _grids(problem, rows, columns, kernel * cap)
        if moved < tolerance:
            break
        y = np.minimum(y / _balance(problem, float(x @ row_out), float(y @ column_out)), 1 / SMALL)
    probabilities = np.zeros(short.pairs.size)
    probabilities[at] = np.minimum(x[rows] * kernel * cap * y[columns], 1.0)
    return Marginals(probabilities, x * row_out, y * column_out, temperature, y)


def _rescaled(scales: Floats, power: float) -> Floats:
    """Carry scales over to another temperature, centred, for their level means nothing."""
    logarithm = np.log(np.maximum(scales, SMALL))
    powered = power * (logarithm - np.median(logarithm))
    return np.asarray(np.exp(np.clip(powered, -LONGEST, LONGEST)))


def _grids(
    problem: Problem, rows: Integers, columns: Integers, values: Floats
) -> tuple[Floats, Floats] | tuple[csr_array, csr_array]:
    """Lay values out for products with columns and with rows."""
    if problem.shape[0] * problem.shape[1] > DENSE_CELLS:
        grid = csr_array(coo_array((values, (rows, columns)), shape=problem.shape))
        return grid, csr_array(grid.T)
    full = np.zeros(problem.shape)
    full[rows, columns] = values
    return full, full.T


def _balance(problem: Problem, row_empty: float, column_empty: float) -> float:
    """Scale rows against columns so that both count the same pairs.

    Alternate scaling alone moves this one factor very slowly where few places stay empty.
    """
    if row_empty <= 0 or column_empty <= 0:
        return 1.0
    surplus = float(problem.row_places.sum() - problem.column_places.sum())
    root = np.sqrt(surplus**2 + 4 * row_empty * column_empty)
    if surplus < 0:  # the same number, without subtracting what is nearly equal
        ratio = 2 * column_empty / (root - surplus)
    else:
        ratio = (root + surplus) / (2 * row_empty)
    return float(np.clip(ratio, 1 / LARGEST_STEP, LARGEST_STEP))


def _share(places: Integers, weight: Floats) -> Floats:
    return np.where(weight > 0, np.minimum(places / np.maximum(weight, SMALL), 1 / SMALL), 0.0)
