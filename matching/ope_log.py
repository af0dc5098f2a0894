"""A log of proposals as estimates of another policy read it.

The frame has a row per decision that was logged and, where known, a row per decision that
could have been (one feasible pair of one round each):

| column | meaning |
|---|---|
| reward | outcome of the pair that was proposed; NaN in a row that was not |
| proposed | whether it was; absent: where there is a reward. An undecided proposal has no reward and is refused: leave it out or say what it is worth |
| propensity | probability that the log's policy proposed it, in (0, 1] where it was proposed; 0 or NaN where it never could be |
| target_propensity | probability that the policy to evaluate proposes it, in [0, 1] |
| group | the round; rows of one group are decided together and one blocks another; absent: every row by itself |
| prediction | reward that a model expects, fitted without these rows; absent: no DR |
| baseline | for logs that hold only what was proposed: the target's mean prediction over everything that could have been; elsewhere it is summed from the rows |
"""  # noqa: E501 -- a table

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matching.solvers import Floats, Integers

TARGET_SHARE = 1e-12


@dataclass(frozen=True, eq=False)
class Log:
    """Sums that all estimators share: logged rows, and per group."""

    weights: Floats
    rewards: Floats
    predictions: Floats | None
    group_of: Integers
    proposals: Floats
    direct: Floats | None
    unsupported: float


def read_log(frame: pd.DataFrame) -> Log:
    """Read a log.

    Raises:
        InvalidInput: A column is absent or breaks a rule.
    """
    reward, propensity, target = (
        _column(frame, name) for name in ("reward", "propensity", "target_propensity")
    )
    logged = _logged(frame, reward)
    _check_probabilities(propensity, target, logged)
    group_of = np.arange(len(frame))
    if "group" in frame.columns:
        group_of = pd.factorize(frame["group"], use_na_sentinel=False)[0].astype(np.intp)
    groups = int(group_of.max()) + 1
    all_pairs_there = not logged.all()
    each = target if all_pairs_there else np.ones(target.size)
    impossible = ~logged & ~(propensity > 0) & (target > TARGET_SHARE)
    prediction = _column(frame, "prediction") if "prediction" in frame.columns else None
    direct = None
    if prediction is not None:
        used = logged | (target > 0)
        if not np.isfinite(prediction[used]).all():
            raise InvalidInput("prediction", "must be finite wherever it is used")
        expected = (
            np.where(target > 0, target * prediction, 0.0) if all_pairs_there else _baseline(frame)
        )
        direct = by_group(group_of, expected, groups)
    return Log(
        weights=target[logged] / propensity[logged],
        rewards=reward[logged],
        predictions=None if prediction is None else prediction[logged],
        group_of=group_of[logged],
        proposals=by_group(group_of, each, groups),
        direct=direct,
        unsupported=(
            float(target[impossible].sum() / max(target.sum(), TARGET_SHARE))
            if all_pairs_there
            else float("nan")
        ),
    )


def _logged(frame: pd.DataFrame, reward: Floats) -> NDArray[np.bool_]:
    """Tell which rows were proposed."""
    logged = ~np.isnan(reward)
    if "proposed" in frame.columns:
        told = _column(frame, "proposed")
        if not np.isin(told, (0.0, 1.0)).all():
            raise InvalidInput("proposed", "must be 0 or 1 in every row")
        logged = told == 1
    if not logged.any() or not np.isfinite(reward[logged]).all():
        raise InvalidInput("reward", "must be known and finite wherever a pair was proposed")
    return logged


def _baseline(frame: pd.DataFrame) -> Floats:
    if "baseline" not in frame.columns:
        raise InvalidInput("baseline", "must be there where only proposed rows are")
    own = _column(frame, "baseline")
    if not np.isfinite(own).all():
        raise InvalidInput("baseline", "must be finite in every row")
    return own


def _column(frame: pd.DataFrame, name: str) -> Floats:
    if list(frame.columns).count(name) != 1:
        raise InvalidInput(name, "must be a column of the frame, once")
    try:
        return frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise InvalidInput(name, "must be a number in every row, or missing") from None


def _check_probabilities(propensity: Floats, target: Floats, logged: NDArray[np.bool_]) -> None:
    if not ((propensity[logged] > 0) & (propensity[logged] <= 1)).all():
        raise InvalidInput("propensity", "must be above 0 and at most 1 where it was proposed")
    if ((propensity < 0) | (propensity > 1)).any():
        raise InvalidInput("propensity", "must be between 0 and 1, or missing")
    if not ((target >= 0) & (target <= 1)).all():
        raise InvalidInput("target_propensity", "must be between 0 and 1")


def by_group(group_of: Integers, values: Floats, groups: int) -> Floats:
    """Sum values within groups, shape (groups,)."""
    return np.bincount(group_of, weights=values, minlength=groups).astype(np.float64)
