"""The learned model as weights of a weighted-sum cost matrix.

A platform that adds up satisfactions, each times a weight, needs one number a constraint.
The model sees a constraint twice: inside the matcher's own score, and beside it. Its weight
is the sum of both: what a unit more of that satisfaction adds to the log-odds, all else of
the round being equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matching import features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matching.design import Design
    from matching.model import Model

    Floats = NDArray[np.float64]

NORMAL_95 = 1.959964
MAX_MOVED = 0.5
"""Beyond this share of moved weight a person should look before the weights are used."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights for a cost matrix.

    Attributes:
        table: ``name`` (a constraint, or ``match_score`` while nothing else is known),
            ``weight`` (absolute values sum to 1; negative where more is accepted less),
            ``lower``, ``upper`` (95 % interval of the posterior), ``first`` (the matcher's
            own weight, as version 1 has it).
        moved: Share of weight that is elsewhere than in version 1, 0 (none) to 1 (all).
        guard: Whether ``moved`` is within ``MAX_MOVED``.
        digest: Digest of the model.
    """

    table: pd.DataFrame
    moved: float
    guard: bool
    digest: str

    def to_dict(self) -> dict[str, Any]:
        """Say the weights in plain JSON, each number to three significant digits.

        They are published, and each retrain learns anew: the digits behind would change with one
        person more. For a matrix of costs their intervals are far wider.
        """
        figures = self.table.set_index("name").map(_rounded).reset_index()
        return {
            "weights": figures.to_dict("records"),
            "moved_from_first": _rounded(self.moved),
            "within_guard": self.guard,
            "model_digest": self.digest,
        }


def weights(model: Model) -> Weights:
    """Make the weights of a model; they carry those of version 1 to compare with.

    Args:
        model: Any version; of a boosted one the linear part is read.
    """
    if not model.composition or not any(model.composition.values()):
        table = pd.DataFrame(
            {"name": ["match_score"], "weight": 1.0, "lower": 1.0, "upper": 1.0, "first": 1.0}
        )
        return Weights(table, 0.0, guard=True, digest=model.digest)
    shares = np.array([model.composition[name] for name in model.constraints])
    effects = _effects(model, shares)
    raw = effects @ model.acceptance.mean
    size = np.abs(raw).sum()
    normal = raw / size
    slope = (np.eye(len(raw)) - np.outer(normal, np.sign(raw))) / size
    spread = slope @ effects
    deviation = np.sqrt(((spread @ model.acceptance.covariance) * spread).sum(axis=1))
    first = shares / np.abs(shares).sum()
    table = pd.DataFrame(
        {
            "name": list(model.constraints),
            "weight": normal,
            "lower": normal - NORMAL_95 * deviation,
            "upper": normal + NORMAL_95 * deviation,
            "first": first,
        }
    )
    moved = float(np.abs(normal - first).sum() / 2)
    return Weights(table, moved, guard=moved <= MAX_MOVED, digest=model.digest)


def coefficients(model: Model) -> pd.DataFrame:
    """List every weight of the model in log-odds with its 95 % interval.

    Returns:
        One row a term: ``name``, ``family``, ``weight``, ``lower``, ``upper``, ``prior``.
    """
    deviation = np.sqrt(np.diag(model.acceptance.covariance))
    terms = model.design.terms
    return pd.DataFrame(
        {
            "name": [term.name for term in terms],
            "family": [term.family for term in terms],
            "weight": model.acceptance.mean,
            "lower": model.acceptance.mean - NORMAL_95 * deviation,
            "upper": model.acceptance.mean + NORMAL_95 * deviation,
            "prior": model.prior.mean(model.design),
        }
    )


def composition(rows: pd.DataFrame, design: Design) -> dict[str, float]:
    """Find what a unit of each constraint adds to the matcher's own score.

    Least squares of the score on the satisfactions, a missing one at its mean; a trace of
    ridge keeps it unique when two constraints always agree.
    """
    if not design.centres:
        return {}
    columns = [
        np.nan_to_num(features.values(rows, features.CONSTRAINT + name) - centre)
        for name, centre in design.centres.items()
    ]
    matrix = np.column_stack(columns)
    matrix = matrix - matrix.mean(axis=0)
    goal = features.values(rows, features.SCORE)
    goal = goal - goal.mean()
    ridge = 1e-6 * len(rows) * np.eye(matrix.shape[1])
    shares = np.linalg.solve(matrix.T @ matrix + ridge, matrix.T @ goal)
    return {name: round(float(s), 6) for name, s in zip(design.centres, shares, strict=True)}


def _rounded(figure: float) -> float:
    return float(f"{figure:.3g}")


def _effects(model: Model, shares: Floats) -> Floats:
    """Say which terms a unit of each constraint moves, shape (constraints, terms)."""
    place = {term.name: index for index, term in enumerate(model.design.terms)}
    effects = np.zeros((len(shares), len(place)))
    for row, (name, share) in enumerate(zip(model.constraints, shares, strict=True)):
        effects[row, place["score"]] = share
        effects[row, place[f"offers:{name}"]] = 1.0
    return effects
