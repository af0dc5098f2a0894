"""Assignments and weights whose mixture has given pair probabilities.

By the Birkhoff-von Neumann theorem a doubly (sub)stochastic matrix is a mixture of
assignments. They are taken out one by one, each as likely as its least likely pair allows.
Whatever mass a bounded number of them does not reach goes to one assignment that the caller
names, so the mixture is a probability distribution in any case, and its pair probabilities
are added up from the mixture itself: they are those of what is drawn, not of what was asked.

References:
    Birkhoff, G. (1946). Tres observaciones sobre el algebra lineal. Universidad Nacional de
    Tucuman, Revista A 5, 147-151.
    Budish, E., Che, Y.-K., Kojima, F. and Milgrom, P. (2013). Designing random allocation
    mechanisms. American Economic Review 103(2). doi:10.1257/aer.103.2.585
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matching.solvers import Bounds, NoFullMatching, Pairs, flow, full_dense, full_sparse

if TYPE_CHECKING:
    from matching.entropic import Marginals
    from matching.problem import Problem
    from matching.solvers import Floats, Integers

DENSE_SIDE = 400
"""Places of the larger side up to which each assignment is found by a dense solver."""
NOTHING = 1e-12


@dataclass(frozen=True, eq=False)
class Component:
    """Positions of pairs, ascending, that are made together, and how likely they are."""

    pairs: Integers
    weight: float


def decompose(problem: Problem, marginals: Marginals, most: int) -> list[Component]:
    """Take assignments out of pair probabilities until nothing or few are left.

    Args:
        problem: A problem without required pairs.
        marginals: Probabilities of its pairs and of empty places.
        most: Assignments to take out at most.

    Returns:
        The assignments; their weights sum to at most 1.
    """
    if problem.row_places.max(initial=0) > 1 and problem.column_places.max(initial=0) > 1:
        return _take_out(_Flows(problem, marginals), most)
    return _take_out(_Matchings(problem, marginals), most)


def _take_out(remainder: _Flows | _Matchings, most: int) -> list[Component]:
    left, taken = 1.0, list[Component]()
    while left > NOTHING and len(taken) < most:
        try:
            pairs, weight = remainder.take(left)
        except NoFullMatching:
            break
        if weight <= NOTHING:
            break
        taken.append(Component(np.sort(pairs), weight))
        left -= weight
    return taken


class _Matchings:
    """What is left of probabilities where one side has one place each.

    Every place is a row or a column of its own. A place that may stay empty has somewhere
    else to go, so that each assignment is a full matching of entries, each of which draws on
    one mass: that of a pair, that of an empty place, or none.
    """

    def __init__(self, problem: Problem, marginals: Marginals) -> None:
        rows, columns, pair, mass = _copied_pairs(problem, marginals)
        empty_rows = _by_place(marginals.row_empty, problem.row_places)
        empty_columns = _by_place(marginals.column_empty, problem.column_places)
        ends = _ways_out(problem, rows, columns)
        self._pair = pair
        self._rows = np.r_[rows, ends[:, 0]]
        self._columns = np.r_[columns, ends[:, 1]]
        self._size = int(max(self._rows.max(initial=-1), self._columns.max(initial=-1))) + 1
        self._mass = np.r_[mass, empty_rows, empty_columns, np.inf]
        self._draws_on = np.r_[np.arange(pair.size), pair.size + ends[:, 2]]

    def take(self, left: float) -> tuple[Integers, float]:
        """Take out one assignment: positions of its pairs, and its weight."""
        alive = np.flatnonzero(self._mass[self._draws_on] > NOTHING)
        mass = self._mass[self._draws_on[alive]]
        likely = np.log(np.minimum(mass, 1.0))
        rows, columns = self._rows[alive], self._columns[alive]
        entry = np.full((self._size, self._size), -1, dtype=np.intp) if self._is_small else None
        if entry is not None:
            gains = np.full(entry.shape, -np.inf)
            gains[rows, columns] = likely
            entry[rows, columns] = alive
            made_rows, made_columns, _ = full_dense(gains)
            made = entry[made_rows, made_columns]
        else:
            order = np.lexsort((columns, rows))
            made_rows, made_columns, _ = full_sparse(
                Pairs((self._size, self._size), rows[order], columns[order], likely[order])
            )
            keys = rows[order] * self._size + columns[order]
            at = np.searchsorted(keys, made_rows * self._size + made_columns)
            made = alive[order][at]
        used = self._draws_on[made]
        weight = min(float(self._mass[used].min(initial=np.inf)), left)
        self._mass[used] -= weight
        return self._pair[made[made < self._pair.size]], weight

    @property
    def _is_small(self) -> bool:
        return self._size <= DENSE_SIDE


class _Flows:
    """What is left of probabilities where both sides may have several places each."""

    def __init__(self, problem: Problem, marginals: Marginals) -> None:
        self._problem = problem
        self._mass = marginals.pairs.copy()
        self._row_empty = marginals.row_empty.copy()
        self._column_empty = marginals.column_empty.copy()

    def take(self, left: float) -> tuple[Integers, float]:
        """Take out one assignment: positions of its pairs, and its weight."""
        problem = self._problem
        at = np.flatnonzero(self._mass > NOTHING)
        likely = np.log(self._mass[at] / NOTHING)
        candidates = problem.pairs.take(at)
        candidates = Pairs(candidates.shape, candidates.rows, candidates.columns, likely)
        bounds = Bounds(
            row_least=problem.row_places * (self._row_empty <= NOTHING),
            row_most=problem.row_places,
            column_least=problem.column_places * (self._column_empty <= NOTHING),
            column_most=problem.column_places,
        )
        made = at[flow(candidates, bounds, self._mass[at] >= left - NOTHING)]
        idle = np.setdiff1d(at, made)
        weight = min(left, float(self._mass[made].min(initial=left)))
        weight = min(weight, left - float(self._mass[idle].max(initial=0.0)))
        ends = (
            (problem.pairs.rows, problem.row_places, self._row_empty),
            (problem.pairs.columns, problem.column_places, self._column_empty),
        )
        for owner, places, empty in ends:
            idle_places = places - np.bincount(owner[made], minlength=places.size)
            some = idle_places > 0
            weight = min(weight, float((empty[some] / idle_places[some]).min(initial=left)))
        for owner, places, empty in ends:
            idle_places = places - np.bincount(owner[made], minlength=places.size)
            np.subtract(empty, weight * idle_places, out=empty)
        self._mass[made] -= weight
        return made, weight


def _copied_pairs(
    problem: Problem, marginals: Marginals
) -> tuple[Integers, Integers, Integers, Floats]:
    """Share each pair's probability among the places of whichever end has several."""
    pairs = problem.pairs
    at = np.flatnonzero(marginals.pairs > NOTHING)
    copies = problem.row_places[pairs.rows[at]] * problem.column_places[pairs.columns[at]]
    pair = np.repeat(at, copies)
    nth = np.arange(pair.size) - np.repeat(np.cumsum(copies) - copies, copies)
    starts = [np.cumsum(places) - places for places in (problem.row_places, problem.column_places)]
    many_rows = problem.row_places[pairs.rows[pair]] > 1
    rows = starts[0][pairs.rows[pair]] + np.where(many_rows, nth, 0)
    columns = starts[1][pairs.columns[pair]] + np.where(many_rows, 0, nth)
    return rows, columns, pair, marginals.pairs[pair] / np.repeat(copies, copies)


def _by_place(empty: Floats, places: Integers) -> Floats:
    return np.repeat(empty / np.maximum(places, 1), places)


def _ways_out(problem: Problem, rows: Integers, columns: Integers) -> Integers:
    """Give places that may stay empty somewhere to go.

    Returns:
        Shape (entries, 3): row, column, and the mass drawn on, counted from the first empty
        row place; the last mass of all is endless.
    """
    height, width = int(problem.row_places.sum()), int(problem.column_places.sum())
    of_row, of_column, endless = np.arange(height), height + np.arange(width), height + width
    if problem.fills_rows and problem.fills_columns:
        return np.empty((0, 3), dtype=np.intp)
    if problem.fills_rows:
        spare, free = np.meshgrid(np.arange(height, width), np.arange(width), indexing="ij")
        return np.stack([spare.ravel(), free.ravel(), of_column[free.ravel()]], axis=1)
    if problem.fills_columns:
        free, spare = np.meshgrid(np.arange(height), np.arange(width, height), indexing="ij")
        return np.stack([free.ravel(), spare.ravel(), of_row[free.ravel()]], axis=1)
    out_of_rows = np.stack([of_row, width + of_row, of_row])
    out_of_columns = np.stack([height + np.arange(width), np.arange(width), of_column])
    meeting = np.stack([height + columns, width + rows, np.full(rows.size, endless)])
    return np.concatenate([out_of_rows, out_of_columns, meeting], axis=1).T
