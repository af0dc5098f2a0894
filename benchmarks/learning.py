"""How far is learned matching from the best there is, turn after turn?

Markets whose truth is known are played by several policies, each living with what it
proposed itself: everybody sees only the decisions on their own proposals. Regret is the
expected number of mutual matches that the oracle's assignment has more. Loops that were
broken on purpose are played too, and must be caught by the checks. Run with

    python -m benchmarks.learning [--size small]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.progress import track
from scipy import stats
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.publishing import Cell, Result, Rows, add_size, publish
from matching.assignment import Assignment, Constraints, assign
from matching.candidates import Fitting
from matching.evaluation import canonical
from matching.exploration import explore
from matching.features import with_context
from matching.loop_checks import check_loop
from matching.market import Market, MarketSettings, hold_round, open_market, places, true_utility
from matching.model import Model, first_champion, score
from matching.pairing import Pairing, read_pairing
from matching.rounds import proposals

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POLICIES = ("random", "static", "greedy", "exploring")
BUDGET = 0.01
LEAK = "constraint:leak"
CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Table:
    """One round laid out: its frame with context, who meets whom, and the matrices."""

    turn: int
    frame: pd.DataFrame
    pairing: Pairing
    truth: np.ndarray
    static: np.ndarray
    both_accept: np.ndarray
    both_come: np.ndarray
    constraints: Constraints

    def matches(self, found: Assignment) -> float:
        """Count the mutual matches that really come of an assignment."""
        made = self.both_accept & self.both_come
        return float(made[found.rows, found.columns].sum())

    def value(self, found: Assignment) -> float:
        """Give the mutual matches to expect of an assignment, no-shows aside."""
        return float(self.truth[found.rows, found.columns].sum())


@dataclass
class Learner:
    """A policy that learns from what it proposed itself.

    Attributes:
        budget: Share of the predicted utility that exploration may give up; 0 is greedy.
        in_training: What happens to the rows it is trained on, to break the loop.
        in_use: What happens to the rows it scores, to break the loop.
        stops_after: Turns after which it is no longer retrained.
    """

    budget: float = 0.0
    in_training: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows
    in_use: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows
    stops_after: int | None = None
    model: Model = field(default_factory=first_champion)
    history: list[pd.DataFrame] = field(default_factory=list)
    learned_from: int = 0
    available: int = 0

    def learn(self, proposed: pd.DataFrame) -> None:
        """Take in what was decided on one turn's proposals and fit all over again."""
        self.history.append(proposed)
        self.available += int(proposed["accepted"].notna().sum())
        if self.stops_after is not None and len(self.history) > self.stops_after:
            return
        rows = canonical(pd.concat(self.history, ignore_index=True))
        if set(rows["accepted"]) == {0.0, 1.0}:
            self.model = Fitting(self.in_training(rows), first_champion().prior).linear
            self.learned_from = len(rows)


def flip(rows: pd.DataFrame) -> pd.DataFrame:
    """Turn every decision into its opposite."""
    return rows.assign(accepted=1 - rows["accepted"])


def leak(rows: pd.DataFrame) -> pd.DataFrame:
    """Add a constraint that is known only after the decision."""
    return rows.assign(**{LEAK: 0.1 + 0.8 * rows["accepted"]})


def not_yet_known(rows: pd.DataFrame) -> pd.DataFrame:
    """Fill in what the leaking constraint holds before the decision."""
    return rows.assign(**{LEAK: 0.9})


def broken_loops() -> dict[str, Learner]:
    """Make learners whose loops are broken, each in one way."""
    return {
        "labels flipped": Learner(in_training=flip),
        "stale model": Learner(stops_after=1),
        "leaked future": Learner(in_training=leak, in_use=not_yet_known),
    }


def lay_out(market: Market, turn: int) -> Table:
    """Hold a round and lay out what policies and judges need of it."""
    held = hold_round(market, turn).pairs
    pairing = read_pairing(held)
    frame = with_context(proposals(held))
    frame.loc[~held["shows_up"], "accepted"] = np.nan

    def both(column: str) -> np.ndarray:
        values = held[column].to_numpy(dtype=bool)
        matrix = np.zeros((len(pairing.rows), len(pairing.columns)), dtype=bool)
        at = values[pairing.first] & values[pairing.second]
        matrix[pairing.row_of, pairing.column_of] = at
        return matrix

    return Table(
        turn=turn,
        frame=frame,
        pairing=pairing,
        truth=true_utility(held, pairing),
        static=pairing.matrix(score(first_champion(), frame)["p_mutual"]),
        both_accept=both("accepted"),
        both_come=both("shows_up"),
        constraints=places(market),
    )


def play(tables: list[Table], learner: Learner, seed: int) -> pd.DataFrame:
    """Let a learner play all turns of a market.

    Returns:
        A row a turn: ``value`` and the columns that ``check_loop`` reads.
    """
    turns = []
    for table in tables:
        rows = learner.in_use(table.frame)
        matrix = table.pairing.matrix(score(learner.model, rows)["p_mutual"])
        if learner.budget > 0:
            lottery = explore(matrix, table.constraints, budget=learner.budget)
            found = lottery.draw(1_000 * seed + table.turn).assignment
        else:
            found = assign(matrix, table.constraints)
        promised = matrix[found.rows, found.columns]
        promised = promised[table.both_come[found.rows, found.columns]]
        turns.append(
            {
                "value": table.value(found),
                "predicted": promised.sum(),
                "variance": (promised * (1 - promised)).sum(),
                "happened": table.matches(found),
                "baseline": table.matches(assign(table.static, table.constraints)),
                "learned_from": learner.learned_from,
                "available": learner.available,
            }
        )
        learner.learn(table.frame.iloc[table.pairing.positions(found)])
    return pd.DataFrame(turns)


def random_value(table: Table, seed: int) -> float:
    """Give the value of an assignment that knows nothing."""
    noise = np.random.default_rng([seed, table.turn]).random(table.truth.shape)
    return table.value(assign(np.where(np.isnan(table.truth), np.nan, noise), table.constraints))


def one_market(seed: int, turns: int, settings: MarketSettings) -> pd.DataFrame:
    """Play one market with every policy: value of each turn, a column a policy."""
    market = open_market(settings, seed=seed)
    tables = [lay_out(market, turn) for turn in range(turns)]
    return pd.DataFrame(
        {
            "seed": seed,
            "turn": range(1, turns + 1),
            "oracle": [table.value(assign(table.truth, table.constraints)) for table in tables],
            "random": [random_value(table, seed) for table in tables],
            "static": [table.value(assign(table.static, table.constraints)) for table in tables],
            "greedy": play(tables, Learner(), seed)["value"],
            "exploring": play(tables, Learner(budget=BUDGET), seed)["value"],
        }
    )


def regrets(played: pd.DataFrame) -> pd.DataFrame:
    """Give mean regret by turn and policy with its interval over markets."""
    rows = []
    for policy in POLICIES:
        for turn, part in played.groupby("turn"):
            regret = (part["oracle"] - part[policy]).to_numpy()
            reach = stats.t.ppf(0.5 + CONFIDENCE / 2, len(regret) - 1) * stats.sem(regret)
            rows.append((policy, turn, regret.mean(), regret.mean() - reach, regret.mean() + reach))
    return pd.DataFrame(rows, columns=["policy", "turn", "regret", "lower", "upper"])


def summary(played: pd.DataFrame) -> list[dict[str, Cell]]:
    """Say what each policy is short of the oracle, early, late and in total, a row a policy."""
    last = played["turn"].max()
    rows: list[dict[str, Cell]] = []
    for policy in ("oracle", *POLICIES):
        short = (played["oracle"] - played[policy]).to_numpy().reshape(-1, last)
        rows.append(
            {
                "policy": policy,
                "mutual matches a turn": float(played[policy].mean()),
                "regret, first turn": _interval(short[:, 0]),
                "regret, last turn": _interval(short[:, -1]),
                "regret, all": _interval(short.sum(axis=1)),
            }
        )
    return rows


def _interval(values: np.ndarray) -> str:
    reach = stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1) * stats.sem(values)
    return f"{values.mean():.2f} ± {reach:.2f}"


def draw(axes: Axes, table: pd.DataFrame) -> None:
    """Draw regret by turn, a line a policy, with its interval."""
    for policy, part in table.groupby("policy", sort=False):
        axes.plot(part["turn"], part["regret"], label=policy)
        axes.fill_between(part["turn"], part["lower"], part["upper"], alpha=0.2)
    axes.set_xlabel("turn")
    axes.set_ylabel("mutual matches short of the oracle")
    axes.set_ylim(bottom=0)
    axes.legend()


def check_broken(seeds: int, turns: int, settings: MarketSettings) -> list[dict[str, Cell]]:
    """Play sound and broken loops; say how often the checks catch each, a row a loop."""
    caught: dict[str, list[list[str]]] = {}
    for seed in track(range(seeds), description="Broken loops"):
        market = open_market(settings, seed=seed)
        tables = [lay_out(market, turn) for turn in range(turns)]
        for name, learner in {"sound": Learner(), **broken_loops()}.items():
            failed = [
                each.name for each in check_loop(play(tables, learner, seed)) if not each.passed
            ]
            caught.setdefault(name, []).append(failed)
    rows: list[dict[str, Cell]] = []
    for name, failures in caught.items():
        by = sorted({check for failed in failures for check in failed})
        count = sum(bool(failed) for failed in failures)
        rows.append({"loop": name, "played": len(failures), "caught": count, "by": ", ".join(by)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_size(parser)
    asked = parser.parse_args()
    seeds, turns = (4, 8) if asked.size == "small" else (50, 20)
    settings = MarketSettings()
    with threadpool_limits(limits=1):
        played = pd.concat(
            [
                one_market(seed, turns, settings)
                for seed in track(range(seeds), description="Markets")
            ],
            ignore_index=True,
        )
        caught = check_broken(min(seeds, 10), turns, settings)
    publish(
        Result(
            name="learning",
            title="Learned matching: mutual matches short of the oracle",
            size=asked.size,
            tables=[
                Rows(summary(played), f"{seeds} markets x {turns} turns, 95 % intervals."),
                Rows(caught, "Loops broken on purpose, and whether the checks catch them."),
            ],
            draw=lambda axes: draw(axes, regrets(played)),
            notes=[f"{settings.turnout} + {settings.turnout} people a turn."],
            packages=("numpy", "pandas", "scikit-learn", "scipy"),
        )
    )


if __name__ == "__main__":
    main()
