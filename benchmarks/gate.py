"""Worse and poisoned challengers at the gate: `python -m benchmarks.gate [--size small]`.

Each of 1,000 (small: 40) simulated rounds has a history of its own, and a sound champion that
was learned from its first rounds. In most a challenger is spoiled in one of several ways; in
the others the newest decisions are poisoned, and the usual candidates learn from them. Counted
is how many are promoted; none may be. With `--sound` nothing is spoiled, and counted is how many
newer fits the gate lets through.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.progress import track
from scipy.special import expit

from benchmarks.publishing import Result, Rows, Size, add_size, bars, publish
from matching.candidates import Candidate, Fitting
from matching.evaluation import canonical
from matching.features import with_context
from matching.model import Model, Prior
from matching.training import retrain

if TYPE_CHECKING:
    from collections.abc import Callable

    from matching.gate import Verdict

    Poison = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]

PEOPLE = 10
SOUND = "nothing spoiled"
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


POISONED: dict[str, Poison] = {
    "new labels flipped": lambda rows, _: rows.assign(accepted=1 - rows["accepted"]),
    "new labels drawn by lot": lambda rows, generator: rows.assign(
        accepted=generator.permutation(rows["accepted"])
    ),
    "half of new labels flipped": lambda rows, generator: rows.assign(
        accepted=np.abs(rows["accepted"] - (generator.random(len(rows)) < 1 / 2))
    ),
    "the future leaks": lambda rows, _: rows.assign(
        **{"constraint:pace": 0.1 + 0.8 * rows["accepted"]}
    ),
}
"""What happens to the newest round before anybody learns from it."""
TURNED = "strongest taste turned round"


def judge_one(number: int, how: str) -> Verdict:
    """Make a history and a champion, spoil what is to be spoiled, and ask the gate."""
    generator = np.random.default_rng(number)
    truth = generator.normal(0, 3, len(NAMES))
    old = history(4, 0, truth, 2 * number)
    champion = Fitting(canonical(old), Prior()).linear
    if how == TURNED:
        truth[np.abs(truth).argmax()] *= -1
    new = history(3 if how in SPOILT else 1, 4, truth, 2 * number + 1)
    if how in POISONED:
        new = POISONED[how](new, generator)
    both = pd.concat([old, new], ignore_index=True)
    offered = [spoilt(how, number)] if how in SPOILT else []
    return retrain(both, champion, seed=number, offered=offered).verdict


def run(rounds: int, *, sound: bool = False) -> dict[str, tuple[int, int]]:
    """Judge that many challengers; return for each way how many were promoted, and of how many."""
    promoted = dict.fromkeys((SOUND,) if sound else (*SPOILT, *POISONED, TURNED), 0)
    ways = list(promoted)
    for number in track(range(rounds), description="Challengers"):
        how = ways[number % len(ways)]
        verdict = judge_one(number, how)
        promoted[how] += verdict.promote
        if verdict.promote and not sound:
            print(f"round {number}: {how}: {verdict.sentence}", file=sys.stderr)
    return {
        how: (count, len(range(ways.index(how), rounds, len(ways))))
        for how, count in promoted.items()
    }


def report(found: dict[str, tuple[int, int]], size: Size, *, sound: bool) -> None:
    """Publish what was promoted."""
    total, judged = (sum(counts) for counts in zip(*found.values(), strict=True))
    kind = "sound" if sound else "spoilt"
    publish(
        Result(
            name=f"gate-{kind}" if sound else "gate",
            title=f"The gate: promoted of {kind} challengers",
            size=size,
            tables=[
                Rows(
                    [
                        {"how": how, "judged": of, "promoted": count}
                        for how, (count, of) in found.items()
                    ]
                )
            ],
            draw=bars({how: count / of for how, (count, of) in found.items()}, "share promoted"),
            notes=[f"{total} of {judged} promoted."],
            packages=("numpy", "scipy", "scikit-learn"),
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_size(parser)
    parser.add_argument("--rounds", type=int, help="instead of the size's")
    parser.add_argument("--sound", action="store_true")
    asked = parser.parse_args()
    rounds = asked.rounds or (40 if asked.size == "small" else 1_000)
    found = run(rounds, sound=asked.sound)
    report(found, asked.size, sound=asked.sound)
    sys.exit(1 if any(count for count, _ in found.values()) and not asked.sound else 0)
