"""How much CPU does an assignment take beside scipy's own solvers, in the same run?

Both solve the same instance to the same optimum (checked); the ratio is scipy's time over
ours, so above 1 we are faster. Scores are of two kinds: uniform, and like those of a
platform (a few latent traits, sought-after people). Run with

    python -m benchmarks.assignment [--size small] [--large]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from benchmarks.publishing import Cell, Result, Rows, add_size, bars, publish
from matching.assignment import Constraints, assign

REPEATS = 3
TRAITS = 6


@dataclass(frozen=True, eq=False)
class Instance:
    """What both solve: ours through ``assign``, scipy's as one would call it."""

    name: str
    utilities: np.ndarray | csr_array
    constraints: Constraints
    by_scipy: Callable[[], float]


def uniform(rows: int, columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((rows, columns))


def platform(rows: int, columns: int, seed: int) -> np.ndarray:
    """Scores of people with latent traits, some of them pickier or more sought-after."""
    generator = np.random.default_rng(seed)
    left, right = generator.normal(size=(rows, TRAITS)), generator.normal(size=(columns, TRAITS))
    log_odds = (
        left @ right.T / 2 + generator.normal(size=(rows, 1)) + generator.normal(size=columns)
    )
    return 1 / (1 + np.exp(-log_odds))


def dense(name: str, utilities: np.ndarray) -> Instance:
    def by_scipy() -> float:
        rows, columns = linear_sum_assignment(utilities, maximize=True)
        return float(utilities[rows, columns].sum())

    return Instance(name, utilities, Constraints(), by_scipy)


def optional(name: str, utilities: np.ndarray, cost: float) -> Instance:
    """Rows may stay empty at a cost: scipy gets a column of its own for each row."""

    def by_scipy() -> float:
        rows = utilities.shape[0]
        own = np.where(np.eye(rows, dtype=bool), -cost, -np.inf)
        padded = np.concatenate([utilities, own], axis=1)
        rows_made, columns = linear_sum_assignment(padded, maximize=True)
        return float(padded[rows_made, columns].sum())

    return Instance(name, utilities, Constraints(unassigned_cost=cost), by_scipy)


def capacities(name: str, utilities: np.ndarray, places: int) -> Instance:
    def by_scipy() -> float:
        repeated = np.repeat(utilities, places, axis=1)
        rows, columns = linear_sum_assignment(repeated, maximize=True)
        return float(repeated[rows, columns].sum())

    return Instance(name, utilities, Constraints(column_capacity=places), by_scipy)


def sparse(name: str, size: int, width: int, share: float, seed: int) -> Instance:
    """Few feasible pairs, among them one full matching so that there is an answer."""
    generator = np.random.default_rng(seed)
    extra = int(size * width * share)
    rows = np.concatenate([np.arange(size), generator.integers(size, size=extra)])
    columns = np.concatenate(
        [generator.permutation(width)[:size], generator.integers(width, size=extra)]
    )
    _, first = np.unique(rows * width + columns, return_index=True)
    rows, columns = rows[first], columns[first]
    left, right = generator.normal(size=(size, TRAITS)), generator.normal(size=(width, TRAITS))
    score = 1 / (1 + np.exp(-(left[rows] * right[columns]).sum(axis=1) / 2))
    utilities = csr_array(coo_array((score, (rows, columns)), shape=(size, width)))

    def by_scipy() -> float:
        costs = utilities.copy()
        costs.data = 2 - costs.data
        made_rows, made_columns = min_weight_full_bipartite_matching(costs)
        return float(2 * made_rows.size - costs[made_rows, made_columns].sum())

    return Instance(name, utilities, Constraints(), by_scipy)


def instances(*, small: bool, large: bool) -> list[Callable[[], Instance]]:
    """List what is measured, each made when its turn comes."""
    few: list[Callable[[], Instance]] = [
        lambda: dense("40 x 40, platform", platform(40, 40, 1)),
        lambda: dense("300 x 300, platform", platform(300, 300, 2)),
        lambda: optional("300 x 300, empty places cost 0.1", platform(300, 300, 3) - 0.5, 0.1),
        lambda: capacities("400 x 100 x 4 places, platform", platform(400, 100, 4), 4),
        lambda: sparse("1,000 x 1,000, 2 % feasible", 1_000, 1_000, 0.02, 5),
    ]
    if small:
        return few
    many: list[Callable[[], Instance]] = [
        *few,
        lambda: dense("1,000 x 1,000, uniform", uniform(1_000, 1_000, 6)),
        lambda: dense("1,000 x 1,000, platform", platform(1_000, 1_000, 7)),
        lambda: dense("2,000 x 2,000, uniform", uniform(2_000, 2_000, 8)),
        lambda: dense("2,000 x 2,000, platform", platform(2_000, 2_000, 9)),
        lambda: dense("500 x 20,000, platform", platform(500, 20_000, 10)),
        lambda: capacities("2,000 x 500 x 4 places, platform", platform(2_000, 500, 11), 4),
        lambda: sparse("5,000 x 5,000, 1 % feasible", 5_000, 5_000, 0.01, 12),
        lambda: sparse("3,000 x 6,000, 2 % feasible", 3_000, 6_000, 0.02, 13),
    ]
    if large:
        many.append(lambda: dense("5,000 x 5,000, platform", platform(5_000, 5_000, 14)))
        many.append(lambda: sparse("20,000 x 20,000, 1 % feasible", 20_000, 20_000, 0.01, 15))
    return many


def best_time(run: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Give the least CPU of some runs in seconds, and what was found."""
    seconds, found = float("inf"), 0.0
    for _ in range(repeats):
        began = time.process_time()
        found = run()
        seconds = min(seconds, time.process_time() - began)
    return seconds, found


def measure(instance: Instance, repeats: int) -> dict[str, Cell]:
    """Solve one instance both ways; give a row of the table."""
    solved = assign(instance.utilities, instance.constraints)
    ours, utility = best_time(
        lambda: assign(instance.utilities, instance.constraints).utility, repeats
    )
    theirs, reference = best_time(instance.by_scipy, repeats)
    if abs(utility - reference) > 1e-6 * max(1.0, abs(reference)):
        raise SystemExit(f"{instance.name}: {utility} is not scipy's optimum {reference}")
    print(f"{instance.name}: {theirs / ours:.1f}", flush=True)
    return {
        "instance": instance.name,
        "solver": solved.solver,
        "CPU ms": 1e3 * ours,
        "scipy CPU ms": 1e3 * theirs,
        "scipy / ours": theirs / ours,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_size(parser)
    parser.add_argument("--large", action="store_true", help="also those of half a minute")
    asked = parser.parse_args()
    rows = [
        measure(make(), 1 if asked.large else REPEATS)
        for make in instances(small=asked.size == "small", large=asked.large)
    ]
    ratios = {str(row["instance"]): float(row["scipy / ours"] or 0) for row in rows}
    publish(
        Result(
            name="assignment",
            title="Assignment: scipy's CPU time over ours, the same optimum",
            size=asked.size,
            tables=[Rows(rows)],
            draw=bars(ratios, "scipy / ours, above 1 we are faster", reach=1, log=True),
            packages=("numpy", "scipy"),
        )
    )


if __name__ == "__main__":
    main()
