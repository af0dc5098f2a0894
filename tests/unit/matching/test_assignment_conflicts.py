"""What makes an assignment impossible is named, and nothing that does not."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest

from matching.assignment import Constraints, InfeasibleAssignment, assign


def test_whoever_has_no_permitted_partner_is_named() -> None:
    utilities = np.ones((4, 4))
    utilities[2] = np.nan

    with pytest.raises(InfeasibleAssignment) as failure:
        assign(utilities)

    assert failure.value.rows == (2,)
    assert failure.value.columns == ()


def test_smallest_group_with_too_few_partners_is_named() -> None:
    utilities = np.ones((6, 6))
    utilities[[1, 3, 4]] = np.nan
    utilities[[1, 3, 4], 0] = 1
    utilities[[1, 3, 4], 5] = 1

    with pytest.raises(InfeasibleAssignment) as failure:
        assign(utilities)

    assert failure.value.rows == (1, 3, 4)
    assert failure.value.columns == (0, 5)
    assert str(failure.value) == (
        "rows 1, 3, 4 need 3 places; the columns permitted to them, 0, 5, offer 2"
    )


def test_of_two_conflicts_the_smaller_is_named() -> None:
    utilities = np.ones((8, 8))
    utilities[[0, 1, 2]] = np.nan
    utilities[[0, 1, 2], 3] = utilities[[0, 1, 2], 4] = 1
    utilities[[6, 7]] = np.nan
    utilities[[6, 7], 7] = 1

    with pytest.raises(InfeasibleAssignment) as failure:
        assign(utilities)

    assert failure.value.rows == (6, 7)


def test_smaller_conflict_of_the_other_side_is_named_where_both_must_be_filled() -> None:
    utilities = np.ones((4, 4))
    utilities[[0, 1]] = np.nan
    utilities[[0, 1], 0] = 1
    utilities[:, 3] = np.nan

    with pytest.raises(InfeasibleAssignment) as failure:
        assign(utilities)

    assert (failure.value.rows, failure.value.columns) == ((), (3,))


def test_member_of_several_places_who_would_find_them_alone_is_not_named() -> None:
    # Column 1 needs two places and may have row 0 alone; column 0 has rows 0 and 1.
    utilities = np.full((5, 2), np.nan)
    utilities[0] = utilities[1, 0] = 1

    with pytest.raises(InfeasibleAssignment) as failure:
        assign(utilities, Constraints(column_capacity=2))

    assert (failure.value.rows, failure.value.columns) == ((0,), (1,))


def test_shorter_side_of_columns_is_named_when_it_cannot_be_filled() -> None:
    utilities = np.ones((5, 3))
    utilities[:, 1:] = np.nan
    utilities[4, 1:] = 1

    with pytest.raises(InfeasibleAssignment) as failure:
        assign(utilities)

    assert failure.value.columns == (1, 2)
    assert failure.value.rows == (4,)


def test_pair_both_required_and_forbidden_is_named() -> None:
    with pytest.raises(InfeasibleAssignment) as failure:
        assign(np.ones((3, 3)), Constraints(required=[(0, 1), (1, 1)], forbidden=[(0, 1)]))

    assert failure.value.required == ((0, 1),)


def test_required_pairs_beyond_the_places_are_named() -> None:
    constraints = Constraints(required=[(0, 2), (1, 2), (2, 2)], column_capacity=[1, 1, 2])

    with pytest.raises(InfeasibleAssignment) as failure:
        assign(np.ones((3, 3)), constraints)

    assert failure.value.columns == (2,)
    assert failure.value.required == ((0, 2), (1, 2), (2, 2))


def test_only_the_required_pair_that_starves_somebody_is_named() -> None:
    utilities = np.ones((4, 4))
    utilities[3] = np.nan
    utilities[3, 0] = 1

    with pytest.raises(InfeasibleAssignment) as failure:
        assign(utilities, Constraints(required=[(1, 1), (0, 0)]))

    assert failure.value.required == ((0, 0),)
    assert failure.value.rows == (3,)


def named_set_needs_more_than_it_is_offered(utilities: np.ndarray) -> bool:
    with pytest.raises(InfeasibleAssignment) as failure:
        assign(utilities)
    rows, columns = list(failure.value.rows), set(failure.value.columns)
    if len(columns) > len(rows):  # here the columns are those who need
        utilities, rows, columns = utilities.T, sorted(columns), set(rows)
    partners = set(np.flatnonzero(np.isfinite(utilities[rows]).any(axis=0)).tolist())
    # Hall: exactly their partners, fewer than they are, and no smaller set among them.
    smaller = [
        len(set(np.flatnonzero(np.isfinite(utilities[list(part)]).any(axis=0)))) < len(part)
        for size in range(1, len(rows))
        for part in combinations(rows, size)
    ]
    return partners == columns and len(columns) < len(rows) and not any(smaller)


def test_named_conflict_violates_halls_condition_and_no_part_of_it_does() -> None:
    generator = np.random.default_rng(8)
    tried = 0
    while tried < 60:
        utilities = np.where(generator.random((7, 7)) < 0.25, 1.0, np.nan)
        feasible = any(
            np.isfinite(utilities[range(7), order]).all() for order in permutations(range(7))
        )
        if not feasible:
            tried += 1
            assert named_set_needs_more_than_it_is_offered(utilities)
