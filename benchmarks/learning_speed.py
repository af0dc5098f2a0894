"""CPU time of what learns and scores, beside a bare product of the same columns.

One thread. A million decisions are learned from, gate and all; ten thousand new ones update
the model; a million proposals are scored as a platform does it, through MLflow's pyfunc. Run

    python -m benchmarks.learning_speed [--size small] [--skip-retrain]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pandas as pd
from scipy.special import expit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.publishing import Cell, Result, Rows, add_size, bars, publish
from matching.candidates import Fitting
from matching.evaluation import canonical
from matching.features import CONTEXT, with_context
from matching.model import Model, Prior, first_champion
from matching.registry import Registry
from matching.training import retrain
from matching.updating import update

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("attitude", "craft", "distance", "hours", "language", "pace")
PEOPLE = 25
"""A side and round; everybody meets everybody."""
NEW = 10_000
REPEATS = 3


def decisions(rows: int, *, first: int = 0, seed: int = 0) -> pd.DataFrame:
    """Make rounds of decisions with their context, at least so many rows.

    Args:
        rows: How many.
        first: Day of the first round.
        seed: Of the draws.
    """
    generator = np.random.default_rng(seed)
    size = PEOPLE * PEOPLE
    rounds = -(-rows // (2 * size))
    left, right = (np.tile(axis.ravel(), rounds) for axis in np.indices((PEOPLE, PEOPLE)))
    number = np.repeat(np.arange(rounds), size)
    days = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(first + number, unit="D")
    satisfied = generator.beta(2, 2, (2 * len(number), len(NAMES)))
    logit = (satisfied - 0.5) @ np.linspace(0, 5, len(NAMES)) - 0.5
    subject = np.r_[left, PEOPLE + right] + np.tile(number, 2) * 2 * PEOPLE
    frame = pd.DataFrame(satisfied, columns=[f"constraint:{name}" for name in NAMES]).assign(
        match_key=np.tile(np.arange(len(number)), 2),
        subject=subject + first * 2 * PEOPLE,
        occurred_at=np.tile(days, 2),
        match_score=satisfied.mean(axis=1),
        accepted=(generator.random(len(logit)) < expit(logit)).astype("float64"),
        rating=np.nan,
        model_version="",
    )
    frame["group"] = frame["occurred_at"].dt.strftime("%Y-%m-%d")
    frame["parameter:side"] = np.repeat([0.0, 1.0], len(number))
    return with_context(frame)


def spent(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Give the least CPU seconds of a few runs."""
    found = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def scoring(model: Model, rows: int) -> list[tuple[str, float]]:
    """Score proposals through pyfunc; CPU seconds with the context sent and without."""
    frame = decisions(rows, seed=5).head(rows).rename(columns={"match_key": "match_id"})
    frame["user_id"], frame["match_id"] = (
        frame["subject"].astype(str),
        frame["match_id"].astype(str),
    )
    told = frame.drop(columns=["subject", "accepted", "rating", "model_version", "occurred_at"])
    without = told[[name for name in told.columns if not name.startswith(CONTEXT)]].copy()
    matrix = np.ascontiguousarray(model.design.matrix(frame))
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(f"sqlite:///{folder}/mlflow.db", folder)
        registry.register_model(model, "measured")
        loaded = mlflow.pyfunc.load_model(f"models:/{registry.model_name}/1")
        return [
            (
                f"a bare product with {matrix.shape[1]} columns",
                spent(lambda: matrix @ model.acceptance.mean),
            ),
            ("pyfunc, context sent", spent(lambda: loaded.predict(told))),
            ("pyfunc, context made", spent(lambda: loaded.predict(without))),
        ]


def learning(rows: int) -> list[tuple[str, float]]:
    """Retrain with the gate, and update by new decisions; CPU seconds."""
    history = decisions(rows)
    later = decisions(NEW, first=rows, seed=9)
    linear = Fitting(canonical(history.head(NEW)), Prior()).linear
    return [
        (
            f"retrain of {len(history):,} decisions, gate included",
            spent(lambda: retrain(history, first_champion(), seed=0), repeats=1),
        ),
        (f"update by {len(later):,} new decisions", spent(lambda: update(linear, later))),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_size(parser)
    parser.add_argument("--skip-retrain", action="store_true")
    asked = parser.parse_args()
    rows = 50_000 if asked.size == "small" else 1_000_000
    with threadpool_limits(limits=1):
        model = Fitting(canonical(decisions(20_000)), Prior()).linear
        scored = scoring(model, rows)
        learned = [] if asked.skip_retrain else learning(rows)
    bare = scored[0][1]
    table: list[dict[str, Cell]] = [
        {
            "scoring": what,
            "CPU s": seconds,
            "times the bare product": seconds / bare,
            "proposals a second": rows / seconds,
        }
        for what, seconds in scored
    ]
    tables = [Rows(table, f"{rows:,} proposals, one thread.")]
    notes = []
    if learned:
        retrained, updated = (seconds for _, seconds in learned)
        tables.append(Rows([{"learning": what, "CPU s": seconds} for what, seconds in learned]))
        notes.append(f"An update costs 1/{retrained / updated:.0f} of the full refit.")
    publish(
        Result(
            name="learning_speed",
            title="CPU seconds of learning and scoring",
            size=asked.size,
            tables=tables,
            draw=bars(dict([*scored, *learned]), "CPU seconds", log=True),
            notes=notes,
            packages=("numpy", "pandas", "scikit-learn", "mlflow"),
        )
    )


if __name__ == "__main__":
    main()
