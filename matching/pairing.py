"""From the rows of a round to a utility matrix, and from an assignment back to rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from schemas.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from matching.assignment import Assignment
    from matching.solvers import Floats, Integers


@dataclass(frozen=True, eq=False)
class Pairing:
    """Who meets whom in one round: side 0 are the rows of a matrix, side 1 its columns.

    Attributes:
        rows: People of side 0, sorted.
        columns: People of side 1, sorted.
        first: Shape (pairs,): position in the frame of the row in which side 0 decides.
        second: Position of the row of the same pair in which side 1 decides.
        row_of: Row of each pair in the matrix.
        column_of: Column of each pair in the matrix.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    first: Integers
    second: Integers
    row_of: Integers
    column_of: Integers

    def matrix(self, values: ArrayLike) -> Floats:
        """Lay out a value of each row of the frame as a matrix of pairs.

        Args:
            values: Shape (rows of the frame,), such as the utility that each party sees.

        Returns:
            Shape (people of side 0, people of side 1): the mean of the pair's two rows;
            NaN, which forbids, where the pair is not in the frame.
        """
        given = np.asarray(values, dtype=np.float64)
        laid_out = np.full((len(self.rows), len(self.columns)), np.nan)
        laid_out[self.row_of, self.column_of] = (given[self.first] + given[self.second]) / 2
        return laid_out

    def positions(self, assignment: Assignment) -> Integers:
        """Find both rows of each assigned pair: positions in the frame, ascending."""
        at = self.pairs_of(assignment)
        return np.sort(np.r_[self.first[at], self.second[at]])

    def pairs_of(self, assignment: Assignment) -> Integers:
        """Find each assigned pair among the pairs of the frame."""
        place = np.full((len(self.rows), len(self.columns)), -1, dtype=np.intp)
        place[self.row_of, self.column_of] = np.arange(self.row_of.size)
        return np.asarray(place[assignment.rows, assignment.columns])


def read_pairing(pairs: pd.DataFrame) -> Pairing:
    """Read who meets whom from the rows of one round.

    Args:
        pairs: A row per (match, person who decides), as ``Round.pairs``.

    Raises:
        InvalidInput: A match does not have exactly one row of each side.
    """
    side = pairs["side"].to_numpy()
    match = pairs["match_id"].to_numpy()
    first, second = np.flatnonzero(side == 0), np.flatnonzero(side == 1)
    first = first[np.argsort(match[first], kind="stable")]
    second = second[np.argsort(match[second], kind="stable")]
    if (
        first.size + second.size != side.size
        or first.size != second.size
        or (match[first] != match[second]).any()
        or np.unique(match[first]).size != first.size
    ):
        raise InvalidInput("match_id", "must have one row of each side")
    who = pairs["user_id"].to_numpy(dtype=object).astype(str)
    rows, row_of = np.unique(who[first], return_inverse=True)
    columns, column_of = np.unique(who[second], return_inverse=True)
    return Pairing(
        rows=tuple(rows.tolist()),
        columns=tuple(columns.tolist()),
        first=first,
        second=second,
        row_of=row_of.astype(np.intp),
        column_of=column_of.astype(np.intp),
    )
