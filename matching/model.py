"""The model: who will accept what, how satisfied they will be, and why.

A model is plain data: a design, a Gaussian over its weights, a second head for
satisfaction, and for boosted challengers trees of numbers. It is written as JSON, so that
loading one runs no code, and its digest is the SHA-256 of that JSON: the same rows give the
same digest.

Version 1 knows only the matcher's own score. Its intercept and slope are a belief, not an
estimate: see ``Prior``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit

from matching import features
from matching.design import Design
from matching.isotonic import AS_IS, Isotonic
from matching.logistic import Gaussian, independent
from matching.trees import Trees
from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FORMAT = 1
CHUNK = 32_768
"""Rows that are scored at once: their columns stay in the processor's cache."""
LOWEST, HIGHEST = 1.0, 5.0
"""Ratings run from 1 to 5."""


@dataclass(frozen=True)
class Prior:
    """What is believed before any decision: that the matcher's own score means something.

    A proposal with a score of one half is accepted one time in four, and ten points of
    score nearly double the odds (exp(0.6) = 1.8). Both are believed loosely: two standard
    deviations of the intercept span acceptance from 1 in 20 to 2 in 3, those of the slope a
    score that means nothing to one that decides alone. Everything else is believed to add
    nothing, within the width of its family, until decisions say otherwise.

    Attributes:
        intercept: Log-odds of acceptance at a score of one half.
        slope: Log-odds a unit of score.
        widths: Standard deviation of the weights of each family.
    """

    intercept: float = -1.1
    slope: float = 6.0
    widths: Mapping[str, float] = field(
        default_factory=lambda: {
            "intercept": 1.0,
            "score": 3.0,
            "offers": 1.5,
            "level": 1.0,
            "missing": 0.3,
            "situation": 0.7,
            "gap": 0.3,
            "parameter": 0.3,
            "by side": 0.5,
            "by level": 2.0,
        }
    )

    def mean(self, design: Design) -> Floats:
        """Centre of the prior: nought but for the intercept and the score's slope."""
        centres = {"intercept": self.intercept, "score": self.slope}
        return np.array([centres.get(term.name, 0.0) for term in design.terms])


SATISFACTION_PRIOR = {"intercept": 3.0, "score": 2.0}
"""Expected rating at a score of one half, and what a unit of score adds to it."""


@dataclass(frozen=True, eq=False)
class Model:
    """A version of the model, as data.

    Attributes:
        kind: ``matcher`` (version 1), ``update``, ``interactions``, ``selectivity`` or
            ``boosted``.
        design: Which columns there are.
        prior: What was believed before any decision.
        widths: Prior width of each family that the evidence chose.
        acceptance: Posterior over the weights of acceptance, in log-odds.
        satisfaction: Posterior over the weights of the rating given acceptance.
        composition: What a unit of each constraint adds to the matcher's own score.
        trees: Boosted trees of a challenger, in log-odds; none for a linear model.
        blend: Share of the trees in the log-odds.
        calibration: Intercept and slope that make the blended log-odds honest.
        isotonic: What makes them more so, after that; of enough decisions.
        trained_rows: Decisions learned from.
        groups: Rounds learned from.
        trained_until: Latest proposal learned from, ISO; empty before any.
    """

    kind: str
    design: Design
    prior: Prior
    widths: Mapping[str, float]
    acceptance: Gaussian
    satisfaction: Gaussian
    composition: Mapping[str, float] = field(default_factory=dict)
    trees: Trees | None = None
    blend: float = 0.0
    calibration: tuple[float, float] = (0.0, 1.0)
    isotonic: Isotonic = AS_IS
    trained_rows: int = 0
    groups: int = 0
    trained_until: str = ""

    @property
    def constraints(self) -> tuple[str, ...]:
        """Names of the constraints that the model has weights for."""
        return tuple(self.design.centres)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the model's JSON, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Write the model as canonical JSON: sorted keys, no spaces, shortest floats."""
        plain = {
            "format": FORMAT,
            "kind": self.kind,
            "design": self.design.to_dict(),
            "prior": {
                "intercept": self.prior.intercept,
                "slope": self.prior.slope,
                "widths": dict(self.prior.widths),
            },
            "widths": dict(self.widths),
            "acceptance": _gaussian_to_dict(self.acceptance),
            "satisfaction": _gaussian_to_dict(self.satisfaction),
            "composition": dict(self.composition),
            "trees": None if self.trees is None else self.trees.to_dict(),
            "blend": self.blend,
            "calibration": list(self.calibration),
            "trained_rows": self.trained_rows,
            "groups": self.groups,
            "trained_until": self.trained_until,
        }
        if self.isotonic.told:
            plain["isotonic"] = [list(self.isotonic.told), list(self.isotonic.found)]
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            InvalidInput: The text is not such a model.
        """
        try:
            plain = json.loads(text)
            if plain["format"] != FORMAT:
                raise InvalidInput("model.format", f"must be {FORMAT}")
            return cls(**_fields(plain))
        except (KeyError, TypeError, ValueError, RecursionError):
            raise InvalidInput("model", "must be a model of this project, whole") from None


def first_champion(prior: Prior | None = None) -> Model:
    """Make version 1: the matcher's own weighted sum, calibrated by belief alone.

    Args:
        prior: Belief to start from; the documented one when absent.
    """
    belief = prior or Prior()
    design = Design()
    return Model(
        kind="matcher",
        design=design,
        prior=belief,
        widths=dict(belief.widths),
        acceptance=acceptance_prior(belief, design, belief.widths),
        satisfaction=satisfaction_prior(design, belief.widths),
    )


def score(model: Model, frame: pd.DataFrame) -> pd.DataFrame:
    """Predict what a platform needs to know of proposals before it makes them.

    Args:
        model: Any version.
        frame: Proposals; ``match_score`` is needed, constraints (any), ``match_key``,
            ``subject``, ``group``, ``parameter:side`` and context are used where they are.

    Returns:
        Same index: ``p_accept`` of this row's subject; ``p_mutual``, the product over the
        two rows of a match, NaN where the other one is not in the frame;
        ``expected_satisfaction`` given acceptance, 1..5; ``utility``, the probability
        (mutual, or of the subject where it is alone) times satisfaction / 5.

    Raises:
        InvalidInput: ``match_score`` is not there, or a value is infinite.
    """
    rows = features.with_context(frame)
    with np.errstate(invalid="ignore"):
        accepting, satisfied = heads(model, rows)
    if not np.isfinite(accepting).all():
        _refuse_infinite(frame)
    p_accept = expit(accepting)
    other = features.other_rows(frame)
    p_mutual = np.where(other >= 0, p_accept * p_accept[other], np.nan)
    satisfaction = np.clip(satisfied, LOWEST, HIGHEST)
    both = np.where(np.isnan(p_mutual), p_accept, p_mutual)
    return pd.DataFrame(
        {
            "p_accept": p_accept,
            "p_mutual": p_mutual,
            "expected_satisfaction": satisfaction,
            "utility": both * satisfaction / HIGHEST,
        },
        index=frame.index,
    )


def _refuse_infinite(frame: pd.DataFrame) -> None:
    """Name the column that has no number; missing would have been a value."""
    for column in map(str, frame.columns):
        kind, mark, _ = column.partition(":")
        read = f"{kind}{mark}" in (features.SCORE, features.CONSTRAINT, features.PARAMETER)
        if read and np.isinf(features.values(frame, column)).any():
            # What follows the colon may be anything that somebody wrote.
            raise InvalidInput(f"{kind}:[]" if mark else kind, "must be finite, or missing")


def explain(model: Model, frame: pd.DataFrame) -> pd.DataFrame:
    """Say what each feature contributed to the log-odds of acceptance.

    Args:
        model: Any version; trees contribute as one entry named ``trees``.
        frame: Proposals, as for ``score``.

    Returns:
        Long: ``row`` (index label), ``feature``, ``constraint`` (empty when the feature is
        not of one), ``value``, ``contribution``. Contributions of a row sum to the logit of
        its ``p_accept``.
    """
    rows = features.with_context(frame)
    intercept, slope = model.calibration
    share = slope * (1 - model.blend)
    parts, total = [], np.full(len(frame), intercept)
    for (term, value), weight in zip(
        model.design.columns(rows), model.acceptance.mean, strict=True
    ):
        parts.append(_entry(frame, term.name, value, share * weight * value))
        total += share * weight * value
    if model.trees is not None:
        raw = model.trees.log_odds(model.design.matrix(rows))
        parts.append(_entry(frame, "trees", raw, slope * model.blend * raw))
        total += slope * model.blend * raw
    shift = intercept + model.isotonic(total) - total
    parts.insert(0, _entry(frame, "calibration", np.ones(len(frame)), shift))
    long = pd.concat(parts, ignore_index=True)
    return long.sort_values("row", kind="stable", ignore_index=True)


def heads(model: Model, rows: pd.DataFrame) -> tuple[Floats, Floats]:
    """Log-odds of acceptance, and rating expected given it, of rows with their context."""
    accepting, satisfied = np.empty(len(rows)), np.empty(len(rows))
    for begin in range(0, len(rows), CHUNK):
        part = slice(begin, begin + CHUNK)
        accepting[part], satisfied[part] = _heads(model, rows.iloc[part])
    return accepting, satisfied


def _heads(model: Model, rows: pd.DataFrame) -> tuple[Floats, Floats]:
    accepting, satisfied = np.zeros(len(rows)), np.zeros(len(rows))
    weights = zip(model.acceptance.mean, model.satisfaction.mean, strict=True)
    for (_, value), (weight, rating) in zip(model.design.columns(rows), weights, strict=True):
        accepting += weight * value
        satisfied += rating * value
    if model.trees is not None:
        raw = model.trees.log_odds(model.design.matrix(rows))
        accepting = (1 - model.blend) * accepting + model.blend * raw
    intercept, slope = model.calibration
    return model.isotonic(np.asarray(intercept + slope * accepting)), satisfied


def log_odds(model: Model, rows: pd.DataFrame) -> Floats:
    """Log-odds of acceptance of rows that have their context."""
    return heads(model, rows)[0]


def satisfaction_prior(design: Design, widths: Mapping[str, float]) -> Gaussian:
    """Belief about the rating given acceptance: a higher score, a happier match."""
    mean = np.array([SATISFACTION_PRIOR.get(term.name, 0.0) for term in design.terms])
    return independent(mean, [term.family for term in design.terms], widths)


def acceptance_prior(prior: Prior, design: Design, widths: Mapping[str, float]) -> Gaussian:
    """Belief about the log-odds of acceptance before any decision."""
    return independent(prior.mean(design), [term.family for term in design.terms], widths)


def _entry(frame: pd.DataFrame, name: str, value: Floats, contribution: Floats) -> pd.DataFrame:
    kind, _, constraint = name.partition(":")
    of_constraint = kind in ("offers", "level", "missing") or " x " in kind
    named = constraint if of_constraint and constraint != "score" else ""
    return pd.DataFrame(
        {
            "row": frame.index,
            "feature": name,
            "constraint": named,
            "value": value,
            "contribution": contribution,
        }
    )


def _gaussian_to_dict(belief: Gaussian) -> dict[str, Any]:
    return {"mean": belief.mean.tolist(), "precision": belief.precision.tolist()}


def _gaussian(plain: Mapping[str, Any]) -> Gaussian:
    return Gaussian(np.array(plain["mean"]), np.array(plain["precision"]))


def _fields(plain: Mapping[str, Any]) -> dict[str, Any]:
    prior = plain["prior"]
    trees = plain["trees"]
    low, high = plain["calibration"]
    return {
        "kind": str(plain["kind"]),
        "design": Design.from_dict(plain["design"]),
        "prior": Prior(float(prior["intercept"]), float(prior["slope"]), prior["widths"]),
        "widths": dict(plain["widths"]),
        "acceptance": _gaussian(plain["acceptance"]),
        "satisfaction": _gaussian(plain["satisfaction"]),
        "composition": dict(plain["composition"]),
        "trees": None if trees is None else Trees.from_dict(trees),
        "blend": float(plain["blend"]),
        "calibration": (float(low), float(high)),
        "isotonic": Isotonic(*(tuple(map(float, part)) for part in plain.get("isotonic", ()))),
        "trained_rows": int(plain["trained_rows"]),
        "groups": int(plain["groups"]),
        "trained_until": str(plain["trained_until"]),
    }
