"""Shadow prices equal what solving again with one place or rule changed gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.assignment import Constraints, InfeasibleAssignment, assign
from matching.problem import read_problem
from matching.shadow_prices import (
    dual_prices,
    forbidden_pair_prices,
    place_prices,
    required_pair_prices,
    rule_costs,
)
from schemas.errors import InvalidInput

Problem = tuple[np.ndarray, Constraints]


@st.composite
def feasible_problems(draw: st.DrawFn) -> Problem:
    """Small problems, ties and forbidden pairs included, with at least one assignment."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    entry = st.one_of(st.integers(-3, 9).map(float), st.floats(0, 1), st.just(np.nan))
    cells = draw(st.lists(entry, min_size=rows * columns, max_size=rows * columns))
    utilities = np.array(cells).reshape(rows, columns)
    pairs = st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1))
    places = st.integers(0, 2)
    constraints = Constraints(
        required=draw(st.lists(pairs, max_size=2, unique=True)),
        forbidden=draw(st.lists(pairs, max_size=5, unique=True)),
        row_capacity=draw(st.lists(places, min_size=rows, max_size=rows)),
        column_capacity=draw(st.lists(places, min_size=columns, max_size=columns)),
        unassigned_cost=draw(st.one_of(st.none(), st.sampled_from([-1.0, 0.0, 2.5]))),
    )
    if not np.isfinite(best(utilities, constraints)):
        constraints = replace(constraints, required=(), unassigned_cost=0.5)
    return utilities, constraints


def best(utilities: np.ndarray, constraints: Constraints) -> float:
    try:
        return assign(utilities, constraints).utility
    except InfeasibleAssignment:
        return -np.inf


def solved_again(
    utilities: np.ndarray, constraints: Constraints, side: str, by: int
) -> list[float]:
    """Change each place in turn and solve the whole problem again."""
    now = best(utilities, constraints)
    places = list(getattr(constraints, side))
    changes = []
    for at in range(len(places)):
        changed = [count + by * (at == other) for other, count in enumerate(places)]
        if min(changed) < 0:
            changes.append(np.nan)
        else:
            changes.append(best(utilities, replace(constraints, **{side: changed})) - now)
    return changes


@settings(max_examples=80, deadline=None)
@given(feasible_problems())
def test_price_of_every_place_equals_solving_again(problem: Problem) -> None:
    utilities, constraints = problem

    prices = place_prices(utilities, constraints)

    for found, side, by in (
        (prices.row_one_more, "row_capacity", 1),
        (prices.row_one_fewer, "row_capacity", -1),
        (prices.column_one_more, "column_capacity", 1),
        (prices.column_one_fewer, "column_capacity", -1),
    ):
        np.testing.assert_allclose(
            found, solved_again(utilities, constraints, side, by), atol=1e-9, err_msg=f"{side} {by}"
        )


@settings(max_examples=50, deadline=None)
@given(feasible_problems())
def test_price_of_every_forbidden_pair_equals_solving_again_without_it(problem: Problem) -> None:
    utilities, constraints = problem
    now = best(utilities, constraints)

    pairs, prices = forbidden_pair_prices(utilities, constraints)

    forbidden = {(row, column) for row, column in constraints.forbidden}
    assert {tuple(pair) for pair in pairs.tolist()} == {
        pair for pair in forbidden if np.isfinite(utilities[pair])
    }
    for pair, price in zip(pairs.tolist(), prices, strict=True):
        rest = sorted(forbidden - {tuple(pair)})
        again = best(utilities, replace(constraints, forbidden=rest)) - now
        assert price == pytest.approx(again, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(feasible_problems())
def test_price_of_every_required_pair_equals_solving_again_without_it(problem: Problem) -> None:
    utilities, constraints = problem
    now = best(utilities, constraints)

    pairs, prices = required_pair_prices(utilities, constraints)

    assert pairs.tolist() == sorted(map(list, set(constraints.required)))
    for pair, price in zip(pairs.tolist(), prices, strict=True):
        rest = [other for other in constraints.required if list(other) != pair]
        again = best(utilities, replace(constraints, required=rest)) - now
        assert price == pytest.approx(again, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(feasible_problems())
def test_dual_prices_prove_the_assignment_optimal(problem: Problem) -> None:
    utilities, constraints = problem
    column_capacity = np.minimum(constraints.column_capacity, 1).tolist()
    constraints = replace(
        constraints, required=(), column_capacity=column_capacity, unassigned_cost=0.5
    )
    found = assign(utilities, constraints)
    read = read_problem(utilities, constraints)

    rows, columns = dual_prices(read, found)

    short = rows[read.pairs.rows] + columns[read.pairs.columns] - read.gains
    assert short.min(initial=0) >= -1e-9
    assert rows.min() >= 0
    assert columns.min() >= 0
    bound = rows @ constraints.row_capacity + columns @ constraints.column_capacity
    assert found.utility == pytest.approx(bound - 0.5 * sum(constraints.row_capacity), abs=1e-9)


def test_prices_of_a_market_of_random_worth_equal_solving_again() -> None:
    utilities = np.random.default_rng(1).random((12, 30))
    constraints = Constraints(row_capacity=[1] * 12, column_capacity=[1] * 30)

    prices = place_prices(utilities, constraints)

    np.testing.assert_allclose(
        prices.column_one_fewer, solved_again(utilities, constraints, "column_capacity", -1)
    )
    assert (prices.column_one_fewer < 0).sum() == 12


def test_rule_costs_what_is_gained_when_it_alone_is_lifted() -> None:
    utilities = np.array([[9.0, 1.0, 1.0], [1.0, 7.0, 1.0], [1.0, 1.0, 5.0]])
    first, second = np.zeros((2, 3, 3), dtype=bool)
    first[0, 0] = first[1, 1] = True
    second[1, 1] = True

    costs = rule_costs(utilities, {"same employer": first, "already met": second})

    # Both: 7 (the pair worth 5 and two worth 1). Without the first: 9 + 1 + 1 = 11 beside
    # (1, 1) forbidden still. Without the second nothing is gained: the first forbids it too.
    assert costs["pairs"].tolist() == [2, 1]
    assert costs["alone"].tolist() == [1, 0]
    assert costs["cost"].tolist() == [4.0, 0.0]


def test_rule_that_is_no_mask_of_the_pairs_is_refused() -> None:
    with pytest.raises(InvalidInput):
        rule_costs(np.ones((2, 2)), {"broken": np.zeros((2, 3), dtype=bool)})


def test_prices_of_an_impossible_problem_are_refused_with_the_conflict() -> None:
    with pytest.raises(InfeasibleAssignment):
        place_prices(np.array([[1.0, np.nan], [1.0, np.nan]]))
