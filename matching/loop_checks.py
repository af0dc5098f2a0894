"""Does the loop do what it claims? Checks on what was predicted and what then happened.

A gate compares models on the decisions it is given; where those are wrong, so is its
verdict. These checks hold the model's promises, written down before anybody decided,
against the decisions themselves, and so catch labels that were flipped on their way into
training, features that knew the future, and a model that is no longer retrained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from schemas.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

    from matching.solvers import Floats

NEEDED = ("predicted", "variance", "happened", "baseline", "learned_from", "available")
LEAST_TURNS = 3


@dataclass(frozen=True)
class LoopCheck:
    """One question about the loop.

    Attributes:
        name: ``keeps its promises``, ``beats the baseline`` or ``is fresh``.
        passed: Whether the answer is good enough.
        value: What was measured.
        bound: What it was held against.
        sentence: Both in words.
    """

    name: str
    passed: bool
    value: float
    bound: float
    sentence: str


def check_loop(turns: pd.DataFrame, *, alpha: float = 0.001) -> tuple[LoopCheck, ...]:
    """Check the turns of a loop, oldest first.

    Args:
        turns: A row a turn: ``predicted`` (sum over the proposed pairs of the probability
            that both accept, as the model said before), ``variance`` (sum of p (1 - p) of
            the same), ``happened`` (mutual matches of them), ``baseline`` (mutual matches
            that the first matcher had or would have had; NaN where nobody knows),
            ``learned_from`` (decisions that the model in use had learned from) and
            ``available`` (decisions that there were to learn from).
        alpha: Chance that a sound loop fails one of the checks.

    Returns:
        The checks; a loop is sound when all passed.

    Raises:
        InvalidInput: A column is absent, or there are too few turns to say anything.
    """
    for column in NEEDED:
        if column not in turns.columns:
            raise InvalidInput(column, "must be a column of the turns")
    if len(turns) < LEAST_TURNS:
        raise InvalidInput("turns", f"must be at least {LEAST_TURNS}")
    values = {name: turns[name].to_numpy(dtype=np.float64) for name in NEEDED}
    return (
        _keeps_its_promises(values, alpha),
        _beats_the_baseline(values),
        _is_fresh(values),
    )


def _keeps_its_promises(turns: dict[str, Floats], alpha: float) -> LoopCheck:
    """Hold the sum of promises against the sum of matches, beside their own randomness.

    The first turn is left out: nobody has learned yet what the first promise rests on.
    Predictions are estimates themselves, so a relative error of ``TOLERATED`` is allowed.
    """
    predicted, happened = turns["predicted"][1:].sum(), turns["happened"][1:].sum()
    noise = float(np.sqrt(turns["variance"][1:].sum() + (TOLERATED * predicted) ** 2))
    excess = float((predicted - happened) / max(noise, 1e-12))
    bound = float(stats.norm.ppf(1 - alpha))
    return LoopCheck(
        "keeps its promises",
        excess <= bound,
        excess,
        bound,
        f"{predicted:.0f} mutual matches were promised and {happened:.0f} happened",
    )


def _beats_the_baseline(turns: dict[str, Floats]) -> LoopCheck:
    """Compare the later half of the turns with the baseline, turn by turn."""
    half = len(turns["happened"]) // 2
    gains = (turns["happened"] - turns["baseline"])[half:]
    gains = gains[np.isfinite(gains)]
    gain = float(gains.mean()) if gains.size else float("nan")
    return LoopCheck(
        "beats the baseline",
        not gain <= 0,
        gain,
        0.0,
        f"{gain:+.1f} mutual matches a turn beside the first matcher in the later turns"
        if gains.size
        else "nobody knows what the first matcher would have had",
    )


def _is_fresh(turns: dict[str, Floats]) -> LoopCheck:
    """See whether the model in use had learned from most of what there was."""
    later = turns["available"] > 0
    known = turns["learned_from"][later][-1] if later.any() else 0.0
    there = turns["available"][later][-1] if later.any() else 0.0
    share = float(known / there) if there else 1.0
    return LoopCheck(
        "is fresh",
        share >= FRESH,
        share,
        FRESH,
        f"the model in use has learned from {known:.0f} of {there:.0f} decisions",
    )


TOLERATED = 0.15
"""Relative error of the sum of promises that estimation alone may cause."""
FRESH = 0.5
"""Share of the decisions there are that the model in use must have learned from."""
