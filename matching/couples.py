"""Matches of a frame, each once, and which of them an assignment makes.

The rows of a round come in both directions; an assignment wants each match once, with one
party on the left and the other on the right. Any frame will do: several proposals a person,
matches with one party only (left out), rounds of one or two sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from matching import features
from matching.assignment import Constraints, assign, propose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]
    Mask = NDArray[np.bool_]


EPSILON = 1e-9
"""Worth of a couple that is worth nothing: a solver leaves out what is not stored."""


@dataclass(frozen=True, eq=False)
class Couples:
    """Each match of a frame once.

    Attributes:
        here: Row of the one party (of side 0 where sides are known).
        there: Row of the other.
        left: Code of the one party.
        right: Code of the other.
    """

    here: Codes
    there: Codes
    left: Codes
    right: Codes

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Couples:
        """Find the matches whose two rows are in the frame, in the frame's order.

        Without sides the party whose row comes first stands on the left; then one person
        may stand on both sides, and be assigned once on each.
        """
        people = features.People.of(frame)
        rows = np.arange(len(frame))
        side = features.values(frame, features.SIDE)
        above = np.where(people.other >= 0, side[people.other] - side, np.nan)
        is_left = np.where(np.isnan(above) | (above == 0), rows < people.other, above > 0)
        here = rows[(people.other >= 0) & is_left]
        there = people.other[here]
        left, _ = pd.factorize(people.subject[here])
        right, _ = pd.factorize(people.subject[there])
        return cls(here, there, left.astype("int64"), right.astype("int64"))

    @property
    def shape(self) -> tuple[int, int]:
        """Number of people on either side."""
        return int(self.left.max(initial=-1)) + 1, int(self.right.max(initial=-1)) + 1


def mutual(couples: Couples, probability: Floats) -> Floats:
    """Probability that both accept, one a couple, from one a row."""
    return np.asarray(probability[couples.here] * probability[couples.there])


def choose(couples: Couples, value: Floats, rounds: int = 1) -> Mask:
    """Choose the couples of the largest total value, each person in at most ``rounds``.

    Args:
        couples: Feasible couples.
        value: What each is worth, at least 0, shape (couples,).
        rounds: Proposals a person; they are disjoint and chosen together. Where every pair
            is feasible, everybody on the smaller side gets them.

    Returns:
        Which couples are proposed, shape (couples,).
    """
    chosen = np.zeros(len(value), dtype=bool)
    if len(value) == 0:
        return chosen
    cells = (couples.left, couples.right)
    width = couples.shape[1]
    place = couples.left * width + couples.right
    order = np.argsort(place)
    worth = sparse.csr_array((value + EPSILON, cells), couples.shape)
    everybody = len(value) == couples.shape[0] * width
    rule = Constraints(unassigned_cost=None if everybody else 0.0)
    rounds = min(rounds, max(couples.shape))
    made = propose(worth, rounds, rule) if rounds > 1 else (assign(worth, rule),)
    for assignment in made:
        wanted = assignment.rows * width + assignment.columns
        chosen[order[np.searchsorted(place, wanted, sorter=order)]] = True
    return chosen
