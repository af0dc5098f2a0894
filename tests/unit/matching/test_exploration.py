"""Exploration keeps every rule and the budget, and its propensities are those of its draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from matching.assignment import Assignment, Constraints, InfeasibleAssignment, assign
from matching.exploration import Lottery, explore
from schemas.errors import InvalidInput

DRAWS = 10_000


def hard_instance() -> tuple[np.ndarray, Constraints]:
    """Forbidden and required pairs, several places, empty places, and many near ties."""
    generator = np.random.default_rng(11)
    taste = generator.random(14)
    utilities = np.round(0.7 * taste + 0.3 * generator.random((18, 14)), 2)
    utilities[generator.random(utilities.shape) < 0.35] = np.nan
    utilities[3, 5] = utilities[7, 2] = 0.1
    return utilities, Constraints(
        required=[(3, 5), (7, 2)],
        forbidden=[(0, 0), (1, 1)],
        column_capacity=[1, 2] * 7,
        unassigned_cost=0.3,
    )


def keeps_the_rules(found: Assignment, utilities: np.ndarray, constraints: Constraints) -> bool:
    made = found.mask()
    rows, columns = utilities.shape
    return bool(
        np.isfinite(utilities[made]).all()
        and not any(made[pair] for pair in constraints.forbidden or ())
        and all(made[pair] for pair in constraints.required)
        and (made.sum(axis=1) <= np.broadcast_to(constraints.row_capacity, rows)).all()
        and (made.sum(axis=0) <= np.broadcast_to(constraints.column_capacity, columns)).all()
    )


def row_p_values(counts: np.ndarray, propensities: np.ndarray) -> list[float]:
    """Chi-square of each row's partners, rare ones and the empty place taken together."""
    found = []
    for seen, probability in zip(counts, propensities, strict=True):
        common = probability * DRAWS >= 10
        observed = np.append(seen[common], DRAWS - seen[common].sum())
        expected = np.append(probability[common], 1 - probability[common].sum()) * DRAWS
        if expected[-1] < 5:
            assert observed[-1] <= 25
            observed, expected = observed[:-1], expected[:-1] / expected[:-1].sum()
            expected = expected * observed.sum()
        if observed.size > 1:
            found.append(float(stats.chisquare(observed, expected).pvalue))
    return found


def test_ten_thousand_draws_of_a_hard_instance_are_as_frequent_as_their_propensities() -> None:
    utilities, constraints = hard_instance()
    lottery = explore(utilities, constraints, budget=0.02)
    counts = np.zeros(utilities.shape)
    worth = np.zeros(DRAWS)
    for seed in range(DRAWS):
        drawn = lottery.draw(seed)
        counts[drawn.assignment.rows, drawn.assignment.columns] += 1
        worth[seed] = drawn.assignment.utility
    propensities = lottery.propensities.toarray()

    p_values = row_p_values(counts, propensities)

    assert len(p_values) >= 10
    assert min(p_values) > 1e-3 / len(p_values)
    assert counts[propensities == 0].sum() == 0
    assert np.isnan(utilities).sum() > 50
    assert counts[np.isnan(utilities)].sum() == 0
    assert all(counts[pair] == DRAWS for pair in constraints.required)
    assert worth.mean() == pytest.approx(
        lottery.expected_utility, abs=4 * worth.std() / np.sqrt(DRAWS)
    )
    assert lottery.expected_utility >= 0.98 * lottery.best_utility
    assert all(keeps_the_rules(each, utilities, constraints) for each in lottery.assignments)


def test_logged_propensity_is_that_of_the_pair() -> None:
    utilities, constraints = hard_instance()
    lottery = explore(utilities, constraints)
    table = lottery.propensities.toarray()

    drawn = lottery.draw(5)

    np.testing.assert_array_equal(
        drawn.propensities, table[drawn.assignment.rows, drawn.assignment.columns]
    )
    assert lottery.draw(5).assignment.pairs == drawn.assignment.pairs
    impossible = assign(np.where(np.isfinite(utilities), utilities, 0) + 5 * (table == 0))
    assert (lottery.propensities_of(impossible) == table[impossible.mask()]).all()
    assert (lottery.propensities_of(impossible) == 0).any()


def marginals_of_the_mixture(lottery: Lottery, shape: tuple[int, int]) -> np.ndarray:
    mixed = np.zeros(shape)
    for found, probability in zip(lottery.assignments, lottery.probabilities, strict=True):
        mixed += probability * found.mask()
    return mixed


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, Constraints]:
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    seed = draw(st.integers(0, 10_000))
    generator = np.random.default_rng(seed)
    utilities = generator.random((rows, columns)) - draw(st.sampled_from([0.0, 0.5]))
    utilities[generator.random((rows, columns)) < draw(st.sampled_from([0.0, 0.4]))] = np.nan
    return utilities, Constraints(
        row_capacity=draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)),
        column_capacity=draw(st.integers(1, 2)),
        unassigned_cost=draw(st.sampled_from([None, 0.0, 0.4])),
    )


@settings(max_examples=60, deadline=None)
@given(problems(), st.sampled_from([0.0, 0.01, 0.2, 1.0]))
def test_any_problem_gives_a_lottery_within_rules_and_budget(
    problem: tuple[np.ndarray, Constraints], budget: float
) -> None:
    utilities, constraints = problem
    try:
        best = assign(utilities, constraints).utility
    except InfeasibleAssignment:
        with pytest.raises(InfeasibleAssignment):
            explore(utilities, constraints, budget=budget)
        return

    lottery = explore(utilities, constraints, budget=budget)

    assert lottery.best_utility == pytest.approx(best)
    assert best - lottery.expected_utility <= budget * abs(best) + 1e-12
    assert lottery.probabilities.sum() == pytest.approx(1, abs=1e-12)
    assert (lottery.probabilities > 0).all()
    assert all(keeps_the_rules(each, utilities, constraints) for each in lottery.assignments)
    np.testing.assert_allclose(
        lottery.propensities.toarray(),
        marginals_of_the_mixture(lottery, utilities.shape),
        atol=1e-13,
    )


@pytest.mark.parametrize("cost", [None, 0.1])
@pytest.mark.parametrize("shape", [(30, 30), (30, 45), (45, 30)])
def test_budget_is_used_up_where_there_is_a_choice(
    shape: tuple[int, int], cost: float | None
) -> None:
    utilities = np.random.default_rng(12).random(shape)

    lottery = explore(utilities, Constraints(unassigned_cost=cost))

    lost = 1 - lottery.expected_utility / lottery.best_utility
    assert 0.0095 < lost <= 0.01
    partners = (lottery.propensities.toarray() > 0).sum(axis=1)
    assert partners.mean() > 3


def test_probabilities_are_those_of_largest_entropy() -> None:
    # Two rows, two columns: one number decides, p = 1 / (1 + exp(-gain / temperature)).
    utilities = np.array([[1.0, 0.5], [0.2, 1.1]])
    gain = (1.0 + 1.1) - (0.5 + 0.2)

    lottery = explore(utilities, budget=0.1)

    probability = lottery.propensities.toarray()[0, 0]
    assert probability == pytest.approx(1 / (1 + np.exp(-gain / lottery.temperature / 2)), rel=1e-3)
    assert (1 - probability) * gain == pytest.approx(0.1 * 2.1, rel=0.02)


def test_larger_budget_spreads_further() -> None:
    utilities = np.random.default_rng(13).random((20, 20))

    certainty = [
        float((explore(utilities, budget=budget).propensities.data ** 2).sum())
        for budget in (0.0, 0.001, 0.01, 0.1)
    ]

    assert certainty[0] == pytest.approx(20)
    assert certainty == sorted(certainty, reverse=True)
    assert certainty[-1] < 5


def test_ties_are_explored_without_giving_anything_up() -> None:
    lottery = explore(np.ones((5, 5)), budget=0.0)

    assert lottery.expected_utility == lottery.best_utility
    np.testing.assert_allclose(lottery.propensities.toarray(), 0.2, atol=1e-6)


def test_few_assignments_still_make_an_exact_lottery() -> None:
    utilities = np.random.default_rng(14).random((25, 25))

    lottery = explore(utilities, budget=0.05, most_assignments=3)

    assert len(lottery.assignments) <= 4
    np.testing.assert_allclose(
        lottery.propensities.toarray(), marginals_of_the_mixture(lottery, (25, 25)), atol=1e-14
    )


def test_large_sparse_lottery_keeps_budget_and_rows() -> None:
    generator = np.random.default_rng(15)
    utilities = np.where(generator.random((450, 450)) < 0.05, generator.random((450, 450)), np.nan)
    np.fill_diagonal(utilities, 0.2)

    lottery = explore(utilities, most_assignments=20)

    assert lottery.expected_utility >= 0.99 * lottery.best_utility
    np.testing.assert_allclose(lottery.propensities.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("asked", "field"),
    [({"budget": -0.1}, "budget"), ({"budget": 1.5}, "budget"), ({"rarest": 0.0}, "rarest"),
     ({"most_assignments": 0}, "most_assignments")],
)  # fmt: skip
def test_arguments_that_break_a_rule_are_refused_by_name(
    asked: dict[str, float], field: str
) -> None:
    with pytest.raises(InvalidInput) as failure:
        explore(np.ones((2, 2)), **asked)

    assert failure.value.field == field
