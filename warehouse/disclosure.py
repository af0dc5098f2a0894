"""Decide which counts may be told together, so that no small group can be computed from them.

A *division* gives each row a label, or none where no figure of it counts the row; telling it
publishes how many rows carry each label. Told counts are sums over the cells in which the
divisions cross, and whoever knows which cells are empty knows a linear system. A cell, or a few
of them together, is determined when its indicator lies in the span of what is told: its
projection onto that span is itself. So a division is told only if no label, and no determined
group of up to three cells of any crossing of it with one or two others, has fewer than k subjects.
What many figures make up together is looked for apart (``leaves_few``): of categories that
exclude each other, the whole less all of them is who is in none.

References:
    Hundepool, A. et al. (2012). Statistical Disclosure Control, section 4 (secondary
    suppression in linked tables). Wiley.
    Chin, F. Y. and Ozsoyoglu, G. (1982). Auditing and inference control in statistical
    databases. IEEE TSE 8(6), 574-582.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

UNTOLD = -1
"""Label of a row that no figure of the division counts."""

MOST_CELLS = 3
"""Groups of so many small cells are looked for: differences and sums that a reader would try."""

_CANDIDATES = 40
_TOLERANCE = 1e-6


class Telling:
    """What is told of some rows, division after division.

    Args:
        subjects: Whose each row is.
        smallest: k, the fewest subjects behind anything that can be computed.
    """

    def __init__(self, subjects: NDArray[np.int64], smallest: int) -> None:
        _, self._subject = np.unique(subjects, return_inverse=True)
        self._most = np.bincount(self._subject, minlength=1).max()
        self._smallest = smallest
        self._told: list[NDArray[np.int64]] = []

    def tell(self, *divisions: NDArray[Any]) -> bool:
        """Tell all of some divisions, or none.

        Args:
            divisions: A label a row, 0 or more; ``UNTOLD`` where no figure counts it.

        Returns:
            Whether they are told.
        """
        before = len(self._told)
        for labels in divisions:
            if not self._safe(np.asarray(labels, dtype=np.int64)):
                del self._told[before:]
                return False
            self._told.append(np.asarray(labels, dtype=np.int64))
        return True

    def leaves_few(
        self,
        told: Sequence[NDArray[np.bool_]],
        new: NDArray[np.bool_],
        decisions: Sequence[NDArray[np.bool_]] = (),
    ) -> bool:
        """Tell whether a figure less the sum of several others would be about few subjects.

        Args:
            told: Rows that each figure told so far counts, the whole first.
            new: Rows of the one to be told.
            decisions: Rows of each decision, where the figures are told by decision.

        Returns:
            Whether there is a figure that others nearly add up to, row by row, with fewer than k
            subjects where they do not, in all or of one decision.
        """
        often = sorted(told[1:], key=np.count_nonzero, reverse=True)
        for figure in (*told, new):
            parts = often if figure is new else [new, *often]
            times = np.zeros(len(new), np.int64)
            for part in parts:
                if part is figure or not (
                    self._is_few(part & ~figure) and self._is_few(part & (times > 0))
                ):
                    continue
                times += part
                rest = times != figure
                cells = [rest, *(rest & decided for decided in decisions)]
                if any(cell.any() and self._is_few(cell) for cell in cells):
                    return True
        return False

    def _is_few(self, rows: NDArray[np.bool_]) -> bool:
        if np.count_nonzero(rows) > (self._smallest - 1) * self._most:
            return False
        return len(np.unique(self._subject[rows])) < self._smallest

    def counts(self, labels: NDArray[Any]) -> dict[int, int]:
        """Count the subjects behind each label."""
        found = self._behind(np.asarray(labels, dtype=np.int64))
        return {int(label): int(many) for label, many in zip(*found, strict=True)}

    def _safe(self, labels: NDArray[np.int64]) -> bool:
        names, behind = self._behind(labels)
        if (behind[names != UNTOLD] < self._smallest).any():
            return False
        others = range(len(self._told))
        crossings = (*combinations(others, 1), *combinations(others, 2))
        return not any(
            self._isolates([labels, *(self._told[at] for at in chosen)]) for chosen in crossings
        )

    def _behind(self, labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return each label and the number of subjects behind it."""
        names, code, _ = _numbered(labels)
        return names, self._behind_cells(code, len(names))

    def _behind_cells(self, cell: NDArray[np.int64], cells: int) -> NDArray[np.int64]:
        """Count the subjects of each cell; where there are more than enough, no more than that."""
        behind = np.bincount(cell, minlength=cells)
        # So many rows cannot be of fewer than k, however busy one of them is.
        unsure = behind <= (self._smallest - 1) * self._most
        rows = np.flatnonzero(unsure[cell])
        many = len(self._subject) + 1
        pairs = np.unique(cell[rows] * many + self._subject[rows])
        exact = np.bincount(pairs // many, minlength=cells)
        return np.where(unsure, exact, behind)

    def _isolates(self, divisions: Sequence[NDArray[np.int64]]) -> bool:
        """Tell whether a small group can be computed from the counts of these divisions alone."""
        crossed = np.zeros(len(self._subject), np.int64)
        for labels in divisions:
            crossed = crossed * (labels.max() + 2) + labels + 1
        names, cell, first = _numbered(crossed)
        small = np.flatnonzero(self._behind_cells(cell, len(names)) < self._smallest)
        # What no figure counts is in no span.
        small = small[np.any([labels[first[small]] != UNTOLD for labels in divisions], axis=0)]
        if not len(small):
            return False
        span = _span([labels[first] for labels in divisions])
        return any(
            len(group) == 1 or self._union(cell, group) < self._smallest
            for group in determined(span, small)
        )

    def _union(self, cell: NDArray[np.int64], group: tuple[int, ...]) -> int:
        return len(np.unique(self._subject[np.isin(cell, group)]))


def _numbered(
    labels: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the labels that occur, the place of each row's among them, and a row of each."""
    shifted = labels - UNTOLD
    row = np.full(int(shifted.max(initial=0)) + 1, -1, np.int64)
    row[shifted] = np.arange(len(labels))
    there = np.flatnonzero(row >= 0)
    place = np.empty(len(row), np.int64)
    place[there] = np.arange(len(there))
    return there + UNTOLD, place[shifted], row[there]


def _span(labels_by_cell: Iterable[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Return an orthonormal basis of what is told, a row a cell."""
    columns = [
        labels == name
        for labels in labels_by_cell
        for name in np.unique(labels[labels != UNTOLD]).tolist()
    ]
    left, size, _ = np.linalg.svd(np.column_stack(columns).astype(float), full_matrices=False)
    basis: NDArray[np.float64] = left[:, size > _TOLERANCE]
    return basis


def determined(span: NDArray[np.float64], small: NDArray[np.int64]) -> list[tuple[int, ...]]:
    """List the groups of up to ``MOST_CELLS`` small cells whose total is determined.

    Args:
        span: Orthonormal basis of what is told, a row a cell.
        small: Numbers of the cells to look among.
    """
    own = np.einsum("ij,ij->i", span[small], span[small])
    found: list[tuple[int, ...]] = []
    for size in range(1, MOST_CELLS + 1):
        # A cell of a determined group of so many weighs at least its share alone.
        heavy = np.flatnonzero(own > 1 / size - _TOLERANCE)
        near = small[heavy[np.argsort(-own[heavy], kind="stable")][:_CANDIDATES]]
        groups = np.array(list(combinations(range(len(near)), size)), dtype=np.int64)
        if len(groups):
            gram = span[near] @ span[near].T
            length = gram[groups[:, :, None], groups[:, None, :]].sum(axis=(1, 2))
            hits = near[groups[length > size - _TOLERANCE]]
            found += [tuple(group) for group in hits.tolist()]
    return found
