"""From rounds that were assigned by lottery to the frame that off-policy estimates read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from matching.assignment import Assignment

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from matching.exploration import Draw, Lottery
    from matching.solvers import Floats


def round_log(
    group: str,
    *,
    feasible: ArrayLike,
    lottery: Lottery,
    drawn: Draw,
    rewards: ArrayLike,
    target: Lottery | Assignment,
    predictions: ArrayLike | None = None,
) -> pd.DataFrame:
    """Describe one round for ``ope.evaluate``: a row for every feasible pair.

    Args:
        group: Name of the round.
        feasible: Shape (rows, columns), boolean: pairs that could have been proposed.
        lottery: What the round was drawn from.
        drawn: What was drawn.
        rewards: Shape (pairs drawn,), in the order of ``drawn.assignment``.
        target: The policy to evaluate: a lottery, or the assignment that it would make.
        predictions: Shape (rows, columns): reward that a model expects of each pair.

    Returns:
        Columns ``group``, ``row``, ``column``, ``propensity``, ``target_propensity``,
        ``reward`` and, if there are predictions, ``prediction``.
    """
    rows, columns = np.nonzero(np.asarray(feasible, dtype=bool))
    outcome = np.full(np.shape(feasible), np.nan)
    outcome[drawn.assignment.rows, drawn.assignment.columns] = np.asarray(rewards, dtype=float)
    frame = pd.DataFrame(
        {
            "group": group,
            "row": rows,
            "column": columns,
            "propensity": _probabilities(lottery)[rows, columns],
            "target_propensity": _probabilities(target)[rows, columns],
            "reward": outcome[rows, columns],
        }
    )
    if predictions is not None:
        frame["prediction"] = np.asarray(predictions, dtype=float)[rows, columns]
    return frame


def _probabilities(policy: Lottery | Assignment) -> Floats:
    if isinstance(policy, Assignment):
        return policy.mask().astype(np.float64)
    return np.asarray(sparse.csr_array(policy.propensities).toarray())
