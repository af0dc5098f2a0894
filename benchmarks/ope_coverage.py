"""How often do the 95 % intervals of off-policy estimates hold the truth?

A population of rounds is made, each with its own people; a lottery over one model's
assignments logs, another model's lottery is evaluated. Each replication draws rounds from
the population, an assignment of each from its lottery, and decisions from their true
probabilities; the truth is the target's mean reward over the population. Run with

    python -m benchmarks.ope_coverage [--size small]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.progress import track

from benchmarks.publishing import Result, Rows, add_size, bars, publish
from matching.assignment_log import round_log
from matching.exploration import Draw, explore
from matching.ope import evaluate

if TYPE_CHECKING:
    from matching.exploration import Lottery
    from matching.solvers import Floats

BUDGET = 0.1
"""A log that explores at 10 % of its utility, so that another matcher is within reach."""


@dataclass(frozen=True, eq=False)
class Population:
    """Rounds that may happen, and what the target would get from them on average."""

    rounds: tuple[Case, ...]
    truth: float


@dataclass(frozen=True, eq=False)
class Case:
    """One round: true acceptance, a model's guess, the log's lottery and the target's."""

    probability: Floats
    prediction: Floats
    log: Lottery
    target: Lottery


def make_population(rounds: int, people: int, seed: int) -> Population:
    """Make rounds in which neither the log's model nor the target's is right."""
    generator = np.random.default_rng(seed)
    cases = []
    for _ in range(rounds):
        shape = (people, people)
        probability = generator.beta(2, 3, size=shape)
        seen = np.clip(probability + 0.15 * generator.normal(size=shape), 0.01, 0.99)
        better = np.clip(0.5 * seen + 0.5 * probability, 0.01, 0.99)
        cases.append(
            Case(
                probability=probability,
                prediction=np.clip(probability + 0.2 * generator.normal(size=shape), 0, 1),
                log=explore(seen, budget=BUDGET, rarest=5e-3),
                target=explore(better, budget=BUDGET / 2, rarest=1e-2),
            )
        )
    truth = np.mean(
        [(each.target.propensities.toarray() * each.probability).sum() for each in cases]
    )
    return Population(tuple(cases), float(truth) / people)


def one_log(population: Population, rounds: int, seed: int) -> pd.DataFrame:
    """Draw a log: some rounds of the population, what was made of them, what was decided."""
    generator = np.random.default_rng([seed, 1])
    parts = []
    for at, which in enumerate(generator.integers(len(population.rounds), size=rounds)):
        case = population.rounds[which]
        drawn: Draw = case.log.draw(int(generator.integers(2**63)))
        found = drawn.assignment
        accepted = generator.random(found.rows.size) < case.probability[found.rows, found.columns]
        parts.append(
            round_log(
                f"round {at}",
                feasible=np.ones(case.probability.shape, dtype=bool),
                lottery=case.log,
                drawn=drawn,
                rewards=accepted,
                target=case.target,
                predictions=case.prediction,
            )
        )
    return pd.concat(parts, ignore_index=True)


def coverage(
    population: Population, rounds: int, replications: int, replicates: int
) -> pd.DataFrame:
    """Count how often intervals hold the truth, an estimator a row."""
    results = []
    for seed in track(range(replications), description="Replications", disable=replications < 50):
        found = evaluate(one_log(population, rounds, seed), replicates=replicates)
        table = found.table().assign(effective_rows=found.overlap.effective_rows)
        results.append(table.reset_index())
    every = pd.concat(results)
    truth = population.truth
    every["asymptotic"] = every["lower"].le(truth) & every["upper"].ge(truth)
    every["bootstrap"] = every["bootstrap_lower"].le(truth) & every["bootstrap_upper"].ge(truth)
    every["error"] = every["value"] - truth
    grouped = every.groupby("estimator", sort=False)
    return pd.DataFrame(
        {
            "bias": grouped["error"].mean(),
            "standard deviation": grouped["value"].std(),
            "mean standard error": grouped["standard_error"].mean(),
            "asymptotic coverage": grouped["asymptotic"].mean(),
            "bootstrap coverage": grouped["bootstrap"].mean(),
            "effective rows": grouped["effective_rows"].mean(),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_size(parser)
    parser.add_argument("--replications", type=int, help="instead of the size's")
    parser.add_argument("--rounds", type=int, default=100, help="rounds in each log")
    parser.add_argument("--people", type=int, default=10, help="people of each side in a round")
    parser.add_argument("--population", type=int, default=400, help="rounds that may happen")
    parser.add_argument("--replicates", type=int, default=200, help="of the bootstrap")
    asked = parser.parse_args()
    replications = asked.replications or (60 if asked.size == "small" else 1_000)
    population = make_population(asked.population, asked.people, seed=0)
    table = coverage(population, asked.rounds, replications, asked.replicates)
    publish(
        Result(
            name="ope_coverage",
            title="Off-policy intervals: how often 95 % intervals hold the truth",
            size=asked.size,
            tables=[
                Rows(
                    [
                        {"estimator": str(name), **{key: float(row[key]) for key in table.columns}}
                        for name, row in table.iterrows()
                    ]
                )
            ],
            draw=bars(
                {str(name): float(value) for name, value in table["bootstrap coverage"].items()},
                "share of bootstrap intervals that hold the truth",
                reach=0.95,
            ),
            notes=[
                f"{replications:,} logs of {asked.rounds} rounds, {asked.people} people a side.",
                f"Truth: {population.truth:.4f}.",
            ],
        )
    )


if __name__ == "__main__":
    main()
