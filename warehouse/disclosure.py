"""Decide which counts may be told together, so that no small group can be computed from them.

A *division* gives each row a label, or none where no figure of it counts the row; telling it
publishes how many rows carry each label. Rows that every figure counts alike are a *cell*, so a
figure is a sum of cells, and whoever knows which cells are empty can weigh figures and add them
up. Told are only figures of which no weighted sum is about fewer than k subjects: each is zero on
every cell, or is not zero on cells of at least k subjects together.

What does not vanish on some cell of k subjects is about enough of them. So where these cells alone
have the rank of all, everything may be told. Of the weighted sums that vanish on all of them, the
projection onto what they span tells which cells to suspect (``_suspect``), and a search through
those decides. What it does not decide in so many steps is not told: a division may be withheld that
could have been told, never the reverse. A step costs figures squared times cells; there are at
most ``_MOST_STEPS`` for a division and ``_STEPS_OF_ALL`` for a slice. Ranks are of small whole
numbers, in floats: squares of singular values below ``_TOLERANCE`` are 0.

References:
    Hundepool, A. et al. (2012). Statistical Disclosure Control, section 4 (secondary
    suppression in linked tables). Wiley.
    Chin, F. Y. and Ozsoyoglu, G. (1982). Auditing and inference control in statistical
    databases. IEEE TSE 8(6), 574-582.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Numbers = NDArray[np.float64]

UNTOLD = -1
"""Label of a row that no figure of the division counts."""

_TOLERANCE = 1e-6
_MOST_STEPS = 30
_STEPS_OF_ALL = 500


class Telling:
    """What is told of some rows, division after division.

    Args:
        subjects: Whose each row is.
        smallest: k, the fewest subjects behind anything that can be computed.
    """

    def __init__(self, subjects: Integers, smallest: int) -> None:
        _, self._subject = np.unique(subjects, return_inverse=True)
        self._most = np.bincount(self._subject, minlength=1).max()
        self._smallest = smallest
        self._steps = iter(range(_STEPS_OF_ALL))
        self._cell = np.zeros(len(subjects), np.int64)
        # A row a figure, a column a cell.
        self._figures = np.zeros((0, 1))

    def tell(self, *divisions: NDArray[Any]) -> bool:
        """Tell all of some divisions, or none.

        Args:
            divisions: A label a row, 0 or more; ``UNTOLD`` where no figure counts it.

        Returns:
            Whether they are told.
        """
        cell, figures = self._cell, self._figures
        for division in divisions:
            labels = np.asarray(division, dtype=np.int64)
            width = int(labels.max(initial=UNTOLD)) + 2
            crossed, cell = np.unique(cell * width + labels + 1, return_inverse=True)
            earlier, label = np.divmod(crossed, width)
            names = np.unique(label[label > 0])
            figures = np.vstack([figures[:, earlier], label == names[:, None]])
        if self._isolates(figures, cell):
            return False
        self._cell, self._figures = cell, figures
        return True

    def counts(self, labels: NDArray[Any]) -> dict[int, int]:
        """Count the subjects behind each label."""
        names, place = np.unique(np.asarray(labels, dtype=np.int64), return_inverse=True)
        behind = self._behind(place, len(names))
        return {int(label): int(many) for label, many in zip(names, behind, strict=True)}

    def _behind(self, cell: Integers, cells: int) -> Integers:
        """Count the subjects of each cell; where there are more than enough, no more than that."""
        behind = np.bincount(cell, minlength=cells)
        # So many rows cannot be of fewer than k, however busy one of them is.
        unsure = behind <= (self._smallest - 1) * self._most
        exact = np.bincount(self._standing(cell, unsure)[0], minlength=cells)
        return np.where(unsure, exact, behind)

    def _standing(self, cell: Integers, among: NDArray[np.bool_]) -> tuple[Integers, Integers]:
        """Return each pair of a cell, of those marked, and a subject of it."""
        rows = np.flatnonzero(among[cell])
        many = len(self._subject) + 1
        return np.divmod(np.unique(cell[rows] * many + self._subject[rows]), many)

    def _isolates(self, figures: Numbers, cell: Integers) -> bool:
        """Tell whether a combination of figures is about fewer than k subjects."""
        small = self._behind(cell, figures.shape[1]) < self._smallest
        rows = _orthonormal(_vanishing(figures[:, ~small]) @ figures[:, small])
        at, who = self._standing(cell, small)
        steps = islice(self._steps, _MOST_STEPS)
        return _is_about_few(rows, (np.cumsum(small) - 1)[at], who, self._smallest - 1, steps)


def _is_about_few(
    rows: Numbers, at: Integers, who: Integers, few: int, steps: Iterator[int]
) -> bool:
    """Search for a combination of figures that is about few subjects.

    Args:
        rows: A row a figure, none a combination of others; a column a cell.
        at: The cell of each pair of a cell and a subject behind it.
        who: The subject of each pair.
        few: So many subjects are few.
        steps: How often it may look; what is undecided when they end counts as found.
    """
    behind = np.bincount(at, minlength=rows.shape[1])
    if len(_vanishing(rows[:, behind > 0])):
        return True
    rows = _vanishing(rows[:, behind > few]) @ rows
    while (cell := _suspect(rows, at, who, few)) is not None:
        if next(steps, None) is None:
            return True
        gone = who[at == cell]
        left = ~np.isin(who, gone)
        if _is_about_few(rows, at[left], who[left], few - len(gone), steps):
            return True
        rows = _vanishing(rows[:, [cell]]) @ rows
    return False


def _suspect(rows: Numbers, at: Integers, who: Integers, few: int) -> int | None:
    """Return a cell that a combination about few subjects may be about, or None if there is none.

    A combination is its own projection. So in the row of the projection of the cell where it is
    largest, the entries of the few subjects add up to 1 at least.
    """
    if not len(rows):
        return None
    behind = np.bincount(at, minlength=rows.shape[1])
    there = (behind > 0) & (behind <= few)
    at, who = at[there[at]], np.unique(who[there[at]], return_inverse=True)[1]
    size = np.sqrt(behind[there])
    each = _orthonormal(rows[:, there] * size) / size
    own = np.einsum("ij,ij->j", each, each)
    most = np.bincount(who).max(initial=1) * few
    near = np.flatnonzero(own * most > 1 - _TOLERANCE)
    column = (np.cumsum(there) - 1)[at]
    for cell in near[np.argsort(-own[near], kind="stable")].tolist():
        entries = np.abs(each[:, cell] @ each)
        by_subject = np.sort(np.bincount(who, weights=entries[column]))
        if by_subject[-few:].sum() > 1 - _TOLERANCE:
            return int(np.flatnonzero(there)[cell])
    return None


def _vanishing(rows: Numbers) -> Numbers:
    """Return the combinations of rows that are zero on all columns, orthonormal."""
    square, turned = np.linalg.eigh(rows @ rows.T)
    combinations: Numbers = turned[:, square < _TOLERANCE].T
    return combinations


def _orthonormal(rows: Numbers) -> Numbers:
    """Return a basis of what the rows span."""
    square, turned = np.linalg.eigh(rows @ rows.T)
    large = square >= _TOLERANCE
    basis: Numbers = (turned[:, large] / np.sqrt(square[large])).T @ rows
    return basis
