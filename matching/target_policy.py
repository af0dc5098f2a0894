"""What another matcher would propose in the rounds of a log, for off-policy estimates.

The log holds every feasible pair of each round in both directions, as ``Round.pairs`` does,
with the probability that it was proposed and what came of it. Each round is scored and
assigned anew; what is assigned has a target propensity of 1, everything else of 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from matching import features
from matching.assignment import Constraints, assign
from matching.model import score
from matching.pairing import read_pairing
from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from matching.model import Model

    Floats = NDArray[np.float64]

NEEDED = ("group", "match_id", "user_id", "side", "match_score", "propensity", "reward")
LEAVE_EMPTY = Constraints(unassigned_cost=0.0)
"""A round in which somebody has no feasible partner is assigned as far as it goes."""


def log_of_target(
    pairs: pd.DataFrame,
    model: Model | None,
    *,
    progress: Callable[[int, int, str], None] | None = None,
) -> pd.DataFrame:
    """Assign each round of a log by another matcher's scores.

    Args:
        pairs: A row per (match, person who decides) of every feasible pair: the columns
            ``NEEDED``, constraints, parameters and ``alternatives_count`` as far as the model
            uses them, ``occurred_at`` and ``prediction`` where known. ``propensity`` and
            ``reward`` are the pair's, so both of its rows hold the same; ``reward`` is missing
            where the pair was not proposed.
        model: Version whose probabilities of mutual acceptance are maximised; None for the
            matcher's own score.
        progress: Called before each round with its place, the number of rounds and its name.

    Returns:
        A row a pair for ``ope.evaluate``: ``group``, ``propensity``, ``target_propensity``,
        ``reward`` and, if there is an honest one, ``prediction``: the log's own, or what the
        model expects where rewards are acceptances (0 or 1) that it cannot have learned from,
        because every row lies after its training.

    Raises:
        InvalidInput: A column is absent or breaks a rule.
    """
    _check(pairs)
    value = pairs[features.SCORE].to_numpy(dtype="float64")
    if model is not None:
        value = score(model, pairs)["p_mutual"].to_numpy()
    if not np.isfinite(value).all():
        raise InvalidInput("match_score", "must be known in both rows of every pair")
    rounds = pairs.groupby("group", sort=True).indices
    parts = []
    for at, (name, places) in enumerate(rounds.items()):
        if progress is not None:
            progress(at, len(rounds), str(name))
        parts.append(_of_round(str(name), pairs.iloc[places], value[places]))
    log = pd.concat(parts, ignore_index=True)
    if "prediction" in pairs.columns:
        return log
    if model is None or not _unseen(pairs, model) or not log["reward"].dropna().isin([0, 1]).all():
        return log.drop(columns="prediction")
    return log


def _check(pairs: pd.DataFrame) -> None:
    for column in NEEDED:
        if column not in pairs.columns:
            raise InvalidInput(column, "must be a column of the frame")
    for column in ("group", "match_id", "user_id"):
        if pairs[column].isna().any():
            raise InvalidInput(column, "must be known in every row")
    if pairs.empty:
        raise InvalidInput("group", "must name at least one round")


def _of_round(name: str, pairs: pd.DataFrame, value: Floats) -> pd.DataFrame:
    pairing = read_pairing(pairs)
    found = assign(pairing.matrix(value), LEAVE_EMPTY)
    target = np.zeros(pairing.first.size)
    target[pairing.pairs_of(found)] = 1.0
    prediction = value
    if "prediction" in pairs.columns:
        prediction = pairs["prediction"].to_numpy(dtype="float64")
    columns = {
        "propensity": pairs["propensity"].fillna(0.0).to_numpy(dtype="float64"),
        "reward": pairs["reward"].to_numpy(dtype="float64"),
        "prediction": prediction,
    }
    log = {"group": name, "target_propensity": target}
    for column, both in columns.items():
        first, second = both[pairing.first], both[pairing.second]
        if column != "prediction" and not np.array_equal(first, second, equal_nan=True):
            raise InvalidInput(column, "must be the same in both rows of a pair")
        log[column] = (first + second) / 2
    return pd.DataFrame(log)


def _unseen(pairs: pd.DataFrame, model: Model) -> bool:
    """Tell whether a model cannot have learned from any row of a log."""
    if not model.trained_until:
        return True
    if "occurred_at" not in pairs.columns:
        return False
    return bool((pairs["occurred_at"] > pd.Timestamp(model.trained_until)).all())
