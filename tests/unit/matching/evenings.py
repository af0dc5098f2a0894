"""Simulated rounds with a simple known truth, for tests of what learns from them."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
from scipy.special import expit

from matching.features import with_context
from matching.rounds import Round, proposals

TRUTH = {"pace": 6.0, "craft": 2.0, "noise": 0.0}
"""What decides, in log-odds a unit; the matcher's own score weighs all three alike."""


def simulated(
    rounds: int,
    *,
    seed: int,
    people: int = 12,
    truth: dict[str, float] | None = None,
    first: int = 0,
) -> list[Round]:
    """Rounds of ``people`` a side who all could meet, deciding by ``truth`` and own bars."""
    generator = np.random.default_rng(seed)
    return [_round(first + number, people, truth or TRUTH, generator) for number in range(rounds)]


def as_training(rounds: list[Round], version: str = "") -> pd.DataFrame:
    """Every decision of the rounds, with the context of the moment."""
    frames = [with_context(proposals(one.pairs, version)) for one in rounds]
    return pd.concat(frames, ignore_index=True)


def _round(
    number: int, people: int, truth: dict[str, float], generator: np.random.Generator
) -> Round:
    day = date(2025, 3, 1) + timedelta(days=number)
    frames = []
    for side in (0, 1):
        here, there = (axis.ravel() for axis in np.indices((people, people)))
        low, high = (here, there) if side == 0 else (there, here)
        frames.append(
            pd.DataFrame(
                {
                    "match_id": [f"{number}-{a}-{b}" for a, b in zip(low, high, strict=True)],
                    "user_id": [f"{number}.{side}.{one}" for one in here],
                    "partner_id": [f"{number}.{1 - side}.{one}" for one in there],
                    "side": side,
                    "bar": generator.normal(0, 0.5, people)[here],
                }
            )
        )
    pairs = pd.concat(frames, ignore_index=True)
    for name in truth:
        value = generator.beta(2, 2, len(pairs))
        value[generator.random(len(pairs)) < 0.05] = np.nan
        pairs[f"constraint:{name}"] = value
    satisfied = pairs[[f"constraint:{name}" for name in truth]]
    logit = -0.5 + pairs.pop("bar")
    for name, weight in truth.items():
        logit = logit + weight * (satisfied[f"constraint:{name}"].fillna(0.5) - 0.5)
    accepted = generator.random(len(pairs)) < expit(logit)
    rating = np.clip(np.round(3 + logit / 2 + generator.normal(0, 0.7, len(pairs))), 1, 5)
    return Round(
        f"round {number}",
        day,
        pairs.assign(
            group=day.isoformat(),
            occurred_at=pd.Timestamp(day, tz="UTC"),
            match_score=satisfied.mean(axis=1).fillna(0.5),
            alternatives_count=float(people - 1),
            accepted=accepted,
            rating=np.where(accepted, rating, np.nan),
            **{"parameter:side": pairs["side"].astype("float64")},
        ),
    )
