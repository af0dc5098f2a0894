"""Worse and poisoned challengers at the gate: `python -m benchmarks.gate [--rounds 1000]`.

Each of 1,000 simulated rounds has a history of its own. A challenger is fitted on it and
spoiled in one of several ways, and the gate judges it against a sound champion that was
learned from earlier rounds. Counted is how many are promoted; none may be.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit

from matching.candidates import Candidate, Fitting
from matching.evaluation import canonical
from matching.features import with_context
from matching.model import Model, Prior
from matching.training import retrain

if TYPE_CHECKING:
    from collections.abc import Callable

    Fit = Callable[[Fitting], Model]

PEOPLE = 10
NAMES = ("pace", "craft", "noise")


def history(rounds: int, first: int, truth: np.ndarray, seed: int) -> pd.DataFrame:
    """Rounds of ten people a side who all meet, with their decisions."""
    generator = np.random.default_rng(seed)
    frames = []
    for number in range(first, first + rounds):
        left, right = (axis.ravel() for axis in np.indices((PEOPLE, PEOPLE)))
        key = [f"{number}-{a}-{b}" for a, b in zip(left, right, strict=True)]
        subject = np.r_[left, PEOPLE + right] + number * 2 * PEOPLE
        satisfied = generator.beta(2, 2, (len(subject), len(NAMES)))
        logit = (satisfied - 0.5) @ truth - 0.3
        accepted = (generator.random(len(subject)) < expit(logit)).astype("float64")
        day = date(2025, 1, 1) + timedelta(days=number)
        frame = pd.DataFrame(satisfied, columns=[f"constraint:{name}" for name in NAMES]).assign(
            match_key=key * 2,
            subject=subject,
            group=day.isoformat(),
            occurred_at=pd.Timestamp(day, tz="UTC"),
            match_score=satisfied.mean(axis=1),
            accepted=accepted,
            rating=np.nan,
        )
        frame["parameter:side"] = np.repeat([0.0, 1.0], len(left))
        frames.append(with_context(frame))
    return pd.concat(frames, ignore_index=True)


def spoilt(how: str, seed: int) -> Candidate:
    """A challenger that is fitted as usual and then spoiled, or fitted on spoiled labels."""
    generator = np.random.default_rng(seed)

    def fit(fitting: Fitting) -> Model:
        rows = fitting.rows
        if how == "labels flipped":
            rows = rows.assign(accepted=1 - rows["accepted"])
        elif how == "third of labels flipped":
            turned = generator.random(len(rows)) < 1 / 3
            rows = rows.assign(accepted=np.where(turned, 1 - rows["accepted"], rows["accepted"]))
        elif how == "few rows":
            rows = rows.iloc[:40]
        elif how == "favours noise":
            high = rows["constraint:noise"] > 0.5
            rows = rows.assign(accepted=np.where(high, 1.0, rows["accepted"]))
        model = Fitting(rows, fitting.prior).linear
        mean = model.acceptance.mean.copy()
        if how == "weights shuffled":
            mean = generator.permutation(mean)
        elif how == "too certain":
            mean = 3 * mean
        elif how == "noisy weights":
            mean = mean + generator.normal(0, 1.5, len(mean))
        return replace(model, acceptance=replace(model.acceptance, mean=mean))

    return Candidate(how, fit, 0)


SPOILT = (
    "labels flipped",
    "third of labels flipped",
    "few rows",
    "favours noise",
    "weights shuffled",
    "too certain",
    "noisy weights",
)


def run(rounds: int) -> int:
    """Judge that many challengers; print and return how many were promoted."""
    promoted = 0
    for number in range(rounds):
        truth = np.random.default_rng(number).normal(0, 3, len(NAMES))
        old, new = history(4, 0, truth, 2 * number), history(3, 4, truth, 2 * number + 1)
        champion = Fitting(canonical(old), Prior()).linear
        how = SPOILT[number % len(SPOILT)]
        both = pd.concat([old, new], ignore_index=True)
        found = retrain(both, champion, seed=number, offered=[spoilt(how, number)])
        if found.verdict.promote:
            promoted += 1
            print(f"round {number}: {how}: {found.verdict.sentence}", file=sys.stderr)
        if (number + 1) % 100 == 0:
            print(f"{number + 1} challengers judged, {promoted} promoted", file=sys.stderr)
    print(f"{promoted} of {rounds} worse or poisoned challengers promoted")
    return promoted


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    sys.exit(1 if run(parser.parse_args().rounds) else 0)
