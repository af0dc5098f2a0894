"""Why an assignment is impossible: the smallest set of people and rules that conflict.

By Hall's theorem the places of one side cannot all be filled exactly when some set of its
members needs more places than their permitted partners have together. Such a set is found
from a largest possible filling: everything that can be reached by alternating paths from a
member who stayed short. The set is inclusion-minimal where each member has one place; where they
have several, members without whom it is still a conflict are left out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array, csr_array

from matching.problem import Problem
from matching.solvers import Bounds, Integers, Pairs, most_places
from schemas.errors import SmartMatchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOTS_TRIED = 200
"""Members who stayed short from whom a conflict is grown; the smallest is reported."""
REQUIRED_TRIED = 200
"""Required pairs up to which each is tried without, to name only those that matter."""
NAMED = 20
"""Positions that a message spells out; the error's attributes hold them all."""


class InfeasibleAssignment(SmartMatchError):
    """No assignment keeps every rule; says which rows, columns and pairs conflict.

    Attributes:
        rows: Positions of the rows in conflict.
        columns: Positions of the columns in conflict.
        required: Required pairs in conflict.
    """

    def __init__(
        self,
        reason: str,
        rows: Integers | None = None,
        columns: Integers | None = None,
        required: Integers | None = None,
    ) -> None:
        super().__init__(reason)
        self.rows = () if rows is None else tuple(int(row) for row in rows)
        self.columns = () if columns is None else tuple(int(column) for column in columns)
        self.required = (
            () if required is None else tuple((int(row), int(column)) for row, column in required)
        )


@dataclass(frozen=True)
class _Shortfall:
    """Members of a side to fill who need more places than their partners offer."""

    of_rows: bool
    members: Integers
    partners: Integers
    needed: int
    offered: int

    @property
    def size(self) -> int:
        return self.members.size + self.partners.size


def refuse_conflicting_requirements(problem: Problem, rounds: int = 1) -> None:
    """Check required pairs against forbidden pairs and against the places they use.

    Raises:
        InfeasibleAssignment: Naming the pairs and the row or column.
    """
    required = problem.required
    if not required.size:
        return
    width = problem.shape[1]
    permitted = np.isin(
        required[:, 0] * width + required[:, 1], problem.pairs.rows * width + problem.pairs.columns
    )
    if not permitted.all():
        found = required[~permitted]
        raise InfeasibleAssignment(
            f"required and forbidden at once: pairs {_named_pairs(found)}",
            np.unique(found[:, 0]),
            np.unique(found[:, 1]),
            found,
        )
    crowded = [
        (used[at], side, at, places[at] * rounds, axis)
        for axis, (side, places) in enumerate(
            (("row", problem.row_places), ("column", problem.column_places))
        )
        for used in [np.bincount(required[:, axis], minlength=places.size)]
        for at in np.flatnonzero(used > places * rounds)
    ]
    if crowded:
        used, side, at, places, axis = min(crowded)
        found = required[required[:, axis] == at]
        raise InfeasibleAssignment(
            f"{side} {at} has {places} places and {used} required pairs: {_named_pairs(found)}",
            np.unique(found[:, 0]),
            np.unique(found[:, 1]),
            found,
        )


def explain_conflict(problem: Problem, rounds: int = 1) -> InfeasibleAssignment:
    """Name the smallest conflict found in a problem that has no solution.

    Args:
        problem: A problem whose requirements do not conflict by themselves.
        rounds: Disjoint rounds that were asked for.

    Returns:
        The error to raise: rows and columns as in the utilities.
    """
    needed = _requirements_that_matter(problem, rounds)
    found = _shortfall(replace(problem, required=needed), rounds)
    if found is None:
        return InfeasibleAssignment("no assignment keeps every rule", required=needed)
    side, other = ("rows", "columns") if found.of_rows else ("columns", "rows")
    reason = (
        f"{side} {_named(found.members)} need {found.needed} places; the {other} permitted to "
        f"them, {_named(found.partners)}, offer {found.offered}"
    )
    if needed.size:
        reason += f" beside the required pairs {_named_pairs(needed)}"
    ends = (found.members, found.partners)
    rows, columns = ends if found.of_rows else ends[::-1]
    return InfeasibleAssignment(reason, rows, columns, needed)


def _requirements_that_matter(problem: Problem, rounds: int) -> Integers:
    """Leave out every required pair without which the problem stays impossible."""
    needed = problem.required
    if _shortfall(replace(problem, required=needed[:0]), rounds) is not None:
        return needed[:0]
    for pair in problem.required[:REQUIRED_TRIED]:
        fewer = needed[(needed != pair).any(axis=1)]
        if _shortfall(replace(problem, required=fewer), rounds) is not None:
            needed = fewer
    return needed


def _shortfall(problem: Problem, rounds: int) -> _Shortfall | None:
    """Find members of a side to fill who cannot all be placed beside the required pairs.

    Where both sides are to be filled either may be short of partners; the smaller set is taken.
    """
    repeated = replace(
        problem,
        row_places=problem.row_places * rounds,
        column_places=problem.column_places * rounds,
    )
    rest = repeated.without_required()
    pairs, rows, columns = rest.pairs, rest.row_places, rest.column_places
    found = []
    if repeated.fills_rows:
        found += _short_side(pairs, rows, columns, of_rows=True)
    if repeated.fills_columns:
        turned = Pairs(pairs.shape[::-1], pairs.columns, pairs.rows, pairs.gains)
        found += _short_side(turned, columns, rows, of_rows=False)
    return min(found, key=lambda one: one.size, default=None)


def _short_side(
    pairs: Pairs, needs: Integers, offers: Integers, *, of_rows: bool
) -> list[_Shortfall]:
    """Grow conflicts from members who stay short in a largest possible filling; the smallest."""
    none = np.zeros_like
    filled, used = most_places(pairs, Bounds(none(needs), needs, none(offers), offers))
    if filled == needs.sum():
        return []
    short = np.flatnonzero(np.bincount(pairs.rows[used], minlength=needs.size) < needs)
    reached = [_reach(int(root), pairs, used) for root in short[:ROOTS_TRIED]]
    grown = [_short(members, pairs, needs, offers, of_rows=of_rows) for members in reached]
    smallest = min(grown, key=lambda one: one.size)
    # Only a member of several places can be left out of a conflict that was grown from one.
    for member in smallest.members if needs.max() > 1 else ():
        fewer = smallest.members[smallest.members != member]
        without = _short(fewer, pairs, needs, offers, of_rows=of_rows)
        if without.needed > without.offered:
            smallest = without
    return [smallest]


def _reach(root: int, pairs: Pairs, used: NDArray[np.bool_]) -> Integers:
    """Follow alternating paths from a member who stayed short; what they reach conflicts."""
    at = np.arange(pairs.rows.size)
    unused, taken = at[~used], at[used]
    forward = csr_array(
        coo_array((unused + 1, (pairs.rows[unused], pairs.columns[unused])), shape=pairs.shape)
    )
    backward = csr_array(
        coo_array((taken + 1, (pairs.columns[taken], pairs.rows[taken])), shape=pairs.shape[::-1])
    )
    members, partners, queue = {root}, set(), deque([root])
    while queue:
        member = queue.popleft()
        for partner in _neighbours(forward, member):
            if partner in partners:
                continue
            partners.add(partner)
            fresh = set(_neighbours(backward, partner)) - members
            members |= fresh
            queue.extend(sorted(fresh))
    return np.sort(np.fromiter(members, dtype=np.intp))


def _short(
    members: Integers, pairs: Pairs, needs: Integers, offers: Integers, *, of_rows: bool
) -> _Shortfall:
    """Count what members need and what the partners permitted to them offer."""
    inside = np.zeros(needs.size, dtype=bool)
    inside[members] = True
    # A pair is made at most once, so a partner offers no more places than it has pairs here.
    links = np.bincount(pairs.columns[inside[pairs.rows]], minlength=offers.size)
    return _Shortfall(
        of_rows=of_rows,
        members=members,
        partners=np.flatnonzero(links),
        needed=int(needs[inside].sum()),
        offered=int(np.minimum(offers, links).sum()),
    )


def _neighbours(graph: csr_array, node: int) -> list[int]:
    return [int(end) for end in graph.indices[graph.indptr[node] : graph.indptr[node + 1]]]


def _named(positions: Integers) -> str:
    names = ", ".join(str(position) for position in positions[:NAMED])
    if positions.size > NAMED:
        names += f" and {positions.size - NAMED} more"
    return names or "none"


def _named_pairs(pairs: Integers) -> str:
    names = ", ".join(f"({row}, {column})" for row, column in pairs[:NAMED])
    return names if len(pairs) <= NAMED else f"{names} and {len(pairs) - NAMED} more"
