"""Assignments are optimal and keep every rule."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from matching import solvers
from matching.assignment import (
    Assignment,
    Constraints,
    InfeasibleAssignment,
    assign,
    propose,
)
from schemas.errors import InvalidInput


def brute_force(utilities: np.ndarray, constraints: Constraints) -> float | None:
    """Try every subset of the pairs; None where none keeps the rules."""
    rows, columns = utilities.shape
    row_places = np.broadcast_to(constraints.row_capacity, rows)
    column_places = np.broadcast_to(constraints.column_capacity, columns)
    permitted = [at for at in product(range(rows), range(columns)) if np.isfinite(utilities[at])]
    required = {(int(row), int(column)) for row, column in constraints.required}
    best = None
    for size in range(len(permitted) + 1):
        for chosen in combinations(permitted, size):
            if not required <= set(chosen):
                continue
            by_row = np.bincount([row for row, _ in chosen], minlength=rows)
            by_column = np.bincount([column for _, column in chosen], minlength=columns)
            if (by_row > row_places).any() or (by_column > column_places).any():
                continue
            value = float(sum(utilities[at] for at in chosen))
            if constraints.unassigned_cost is None:
                if size < min(row_places.sum(), column_places.sum()):
                    continue
            else:
                costs = np.broadcast_to(constraints.unassigned_cost, rows)
                value -= float(costs @ (row_places - by_row))
            best = value if best is None else max(best, value)
    return best


def keeps_the_rules(found: Assignment, utilities: np.ndarray, constraints: Constraints) -> bool:
    made = found.mask()
    rows, columns = utilities.shape
    return bool(
        np.isfinite(utilities[made]).all()
        and made.sum() == found.rows.size
        and (made.sum(axis=1) <= np.broadcast_to(constraints.row_capacity, rows)).all()
        and (made.sum(axis=0) <= np.broadcast_to(constraints.column_capacity, columns)).all()
        and all(made[row, column] for row, column in constraints.required)
    )


Problem = tuple[np.ndarray, Constraints]


@st.composite
def small_problems(draw: st.DrawFn) -> Problem:
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    entry = st.one_of(st.integers(-3, 9).map(float), st.just(np.nan), st.just(-np.inf))
    cells = draw(st.lists(entry, min_size=rows * columns, max_size=rows * columns))
    utilities = np.array(cells).reshape(rows, columns)
    pairs = st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1))
    places = st.integers(0, 2)
    return utilities, Constraints(
        required=draw(st.lists(pairs, max_size=2, unique=True)),
        row_capacity=draw(st.lists(places, min_size=rows, max_size=rows)),
        column_capacity=draw(st.lists(places, min_size=columns, max_size=columns)),
        unassigned_cost=draw(st.one_of(st.none(), st.sampled_from([-1.0, 0.0, 2.5]))),
    )


@settings(max_examples=200, deadline=None)
@given(small_problems())
def test_no_other_choice_of_pairs_that_keeps_the_rules_is_worth_more(problem: Problem) -> None:
    utilities, constraints = problem
    utilities_or_forbidden = np.where(np.isfinite(utilities), utilities, -np.inf)
    best = brute_force(utilities_or_forbidden, constraints)

    if best is None:
        with pytest.raises(InfeasibleAssignment):
            assign(utilities, constraints)
        return
    found = assign(utilities, constraints)

    assert found.utility == pytest.approx(best)
    assert keeps_the_rules(found, utilities_or_forbidden, constraints)


@settings(max_examples=80, deadline=None)
@given(small_problems())
def test_sparse_solvers_find_the_same_utility_as_dense_ones(problem: Problem):
    utilities, constraints = problem
    rows, columns = np.nonzero(np.isfinite(utilities))
    stored = sparse.coo_array((utilities[rows, columns], (rows, columns)), shape=utilities.shape)

    def outcome(matrix: np.ndarray | sparse.coo_array) -> float | None:
        try:
            return assign(matrix, constraints).utility
        except InfeasibleAssignment:
            return None

    dense = outcome(utilities)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matching.problem.SPARSE_DENSITY", 2.0)
        patch.setattr("matching.problem.SMALL_SIDE", 0)
        thin = outcome(stored)

    assert thin == (None if dense is None else pytest.approx(dense))


@pytest.mark.parametrize("size", [2, 3, 10, 50, 101])
def test_machol_wien_instances_reach_their_known_optimum(size: int) -> None:
    # c_ij = i * j: hard for Hungarian methods; the minimum is the anti-diagonal's sum,
    # n (n + 1) (n + 2) / 6 (Machol and Wien, Operations Research 24(1), 1976).
    numbers = np.arange(1, size + 1, dtype=float)

    found = assign(-np.outer(numbers, numbers))

    assert -found.utility == size * (size + 1) * (size + 2) // 6
    assert found.columns.tolist() == list(range(size - 1, -1, -1))


@pytest.mark.parametrize("shape", [(60, 60), (60, 90), (90, 60), (1, 40), (400, 400), (301, 900)])
def test_dense_optimum_equals_scipys_own(shape: tuple[int, int]) -> None:
    utilities = np.random.default_rng(5).normal(size=shape)

    found = assign(utilities)

    rows, columns = linear_sum_assignment(utilities, maximize=True)
    assert found.utility == pytest.approx(utilities[rows, columns].sum())
    assert found.solver == "lapx dense"


@pytest.mark.parametrize("shape", [(500, 500), (500, 700), (700, 500)])
@pytest.mark.parametrize("cost", [None, 0.2])
def test_sparse_optimum_equals_scipys_dense_one(shape: tuple[int, int], cost: float | None) -> None:
    generator = np.random.default_rng(6)
    utilities = np.where(generator.random(shape) < 0.03, generator.random(shape), -np.inf)
    for at in range(min(shape)):  # so that the shorter side can be filled
        utilities[at, at] = 0.1

    found = assign(sparse_of(utilities), Constraints(unassigned_cost=cost))

    if cost is None:
        rows, columns = linear_sum_assignment(-np.where(np.isfinite(utilities), utilities, -np.inf))
        best = utilities[rows, columns].sum()
    else:
        worth = np.where(np.isfinite(utilities), np.maximum(utilities + cost, 0), 0)
        rows, columns = linear_sum_assignment(worth, maximize=True)
        best = worth[rows, columns].sum() - cost * shape[0]
    assert found.utility == pytest.approx(best)
    assert "sparse" in found.solver


def sparse_of(utilities: np.ndarray) -> sparse.coo_array:
    rows, columns = np.nonzero(np.isfinite(utilities))
    return sparse.coo_array((utilities[rows, columns], (rows, columns)), shape=utilities.shape)


def test_stored_zero_is_a_permitted_pair_and_an_absent_one_is_not() -> None:
    stored = sparse.csr_array(sparse.coo_array(([0.0, 0.0], ([0, 1], [1, 0])), shape=(2, 2)))

    assert assign(stored).pairs == [(0, 1), (1, 0)]


def test_forbidden_pairs_may_be_a_mask_or_a_list() -> None:
    utilities = np.array([[5.0, 4.0], [3.0, 0.0]])
    mask = np.array([[False, True], [False, False]])

    assert assign(utilities).pairs == [(0, 1), (1, 0)]
    assert assign(utilities, Constraints(forbidden=mask)).pairs == [(0, 0), (1, 1)]
    assert assign(utilities, Constraints(forbidden=[(0, 1)])).pairs == [(0, 0), (1, 1)]


def test_ties_are_broken_the_same_way_every_time() -> None:
    ties = np.ones((30, 40))

    first = assign(ties).pairs

    assert all(assign(ties.copy()).pairs == first for _ in range(5))


def test_large_flow_over_few_pairs_equals_the_flow_over_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(7)
    taste = generator.normal(size=60)  # everybody prefers the same partners: prices matter
    utilities = taste + 0.1 * generator.normal(size=(50, 60))
    constraints = Constraints(row_capacity=3, column_capacity=3)
    whole = assign(utilities, constraints)

    monkeypatch.setattr(solvers, "FLOW_ALL_AT_ONCE", 0)
    monkeypatch.setattr(solvers, "FLOW_FIRST_PAIRS", 1)
    started_from_few = assign(utilities, constraints)

    assert whole.pairs == started_from_few.pairs


def test_rounds_share_no_pair_and_are_worth_the_most_together() -> None:
    utilities = np.random.default_rng(9).random((12, 12))

    rounds = propose(utilities, 4)

    made = np.sum([found.mask() for found in rounds], axis=0)
    assert made.max() == 1
    assert all((found.mask().sum(axis=0) == 1).all() for found in rounds)
    together = assign(utilities, Constraints(row_capacity=4, column_capacity=4)).utility
    assert sum(found.utility for found in rounds) == pytest.approx(together)
    worths = [found.utility for found in rounds]
    assert worths == sorted(worths, reverse=True)


def test_rounds_keep_places_costs_and_required_pairs() -> None:
    utilities = np.random.default_rng(10).normal(size=(8, 5))
    constraints = Constraints(
        required=[(0, 0), (1, 0)], column_capacity=2, unassigned_cost=0.0, forbidden=[(2, 2)]
    )

    rounds = propose(utilities, 3, constraints)

    made = np.sum([found.mask() for found in rounds], axis=0)
    assert made[0, 0] == made[1, 0] == 1
    assert made.max() == 1
    assert made[2, 2] == 0
    assert all((found.mask().sum(axis=1) <= 1).all() for found in rounds)
    assert all((found.mask().sum(axis=0) <= 2).all() for found in rounds)
    assert (utilities[(made == 1) & (utilities < 0)].size) == int(utilities[0, 0] < 0) + int(
        utilities[1, 0] < 0
    )


def test_more_rounds_than_partners_are_impossible_and_say_so() -> None:
    with pytest.raises(InfeasibleAssignment, match="offer"):
        propose(np.ones((3, 3)), 4)


@pytest.mark.parametrize(
    ("utilities", "constraints", "field"),
    [
        (np.ones(3), Constraints(), "utilities"),
        (np.array([[np.inf]]), Constraints(), "utilities"),
        (np.array([["much"]]), Constraints(), "utilities"),
        (np.array([[1 + 2j]]), Constraints(), "utilities"),
        (np.ones((2, 2)), Constraints(forbidden=np.ones((2, 3), dtype=bool)), "forbidden"),
        (np.ones((2, 2)), Constraints(required=[(0, 2)]), "required"),
        (np.ones((2, 2)), Constraints(required=[(-1, 0)]), "required"),
        (np.ones((2, 2)), Constraints(row_capacity=[1, 1, 1]), "row_capacity"),
        (np.ones((2, 2)), Constraints(column_capacity=-1), "column_capacity"),
        (np.ones((2, 2)), Constraints(column_capacity=1.5), "column_capacity"),
        (np.ones((2, 2)), Constraints(unassigned_cost=np.nan), "unassigned_cost"),
    ],
)
def test_arguments_that_break_a_rule_are_refused_by_name(
    utilities: np.ndarray, constraints: Constraints, field: str
) -> None:
    with pytest.raises(InvalidInput) as failure:
        assign(utilities, constraints)

    assert failure.value.field == field


def test_nobody_to_assign_gives_an_empty_assignment() -> None:
    found = assign(np.empty((0, 3)))

    assert found.pairs == []
    assert found.utility == 0
