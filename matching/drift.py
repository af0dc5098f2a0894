"""Has the world moved since the model was trained?

Day by day, what is offered (features), what the model says of it (scores), what people do
(outcomes) and whether both agree (as many accept as expected: calibration; those of whom it was
expected: slope) are held against the training set. A bound is crossed only by what is both large
and more than chance: a day of twenty decisions always looks different.

References:
    Siddiqi, N. (2006). Credit risk scorecards. Wiley: population stability, where 0.1 is
    small and 0.25 is large.
    Yurdakul, B. (2018). Statistical properties of population stability index. Western
    Michigan University: its distribution when nothing has changed is that of a chi-square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import chi2, norm

from matching import evidence, features
from matching.calibration import calibration_slope
from matching.model import Model, log_odds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BINS = 10
FLOOR = 1e-4
"""Smallest share of a bin: an empty one would make the index infinite."""
ALIKE = 0.1
"""How much two decisions of one person go together; it widens what counts as chance."""


@dataclass(frozen=True)
class DriftBounds:
    """From where on a change asks for a retrain.

    Attributes:
        stability: Population stability index of a feature, the score or the outcome.
        calibration: Distance of observed from expected acceptance.
        slope: Distance from 1 of the slope of decisions on the log-odds expected of them.
        confidence: How sure it must be that a change is more than chance.
        min_rows: Fewest rows of a day that are looked at.
    """

    stability: float = 0.25
    calibration: float = 0.1
    slope: float = 0.5
    confidence: float = 0.999
    min_rows: int = 30


@dataclass(frozen=True, eq=False)
class Drift:
    """What changed.

    Attributes:
        table: One row a day and measure: ``day``, ``measure`` (``match_score``, a
            constraint's column, ``score``, ``outcome``, ``calibration`` or ``slope``), ``rows``,
            ``value``, ``bound``, ``beyond``.
        beyond: Whether any bound is crossed.
        sentence: What to make of it.
    """

    table: pd.DataFrame
    beyond: bool
    sentence: str


def drift(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    model: Model,
    *,
    bounds: DriftBounds | None = None,
) -> Drift:
    """Hold proposals of now against those of training.

    Args:
        reference: Proposals the model learned from, with ``accepted``.
        current: Later proposals; ``accepted`` may be missing where nobody decided yet.
        model: The version in use.
        bounds: From where on a retrain is asked for.
    """
    asked = bounds or DriftBounds()
    before = _measures(features.with_context(reference), model)
    now = features.with_context(current)
    days = now["occurred_at"].dt.strftime("%Y-%m-%d").to_numpy()
    found = []
    for day in np.unique(days):
        part = now[days == day]
        if len(part) >= asked.min_rows:
            found += _of_day(str(day), before, part, model, asked)
    columns = ["day", "measure", "rows", "value", "bound", "beyond"]
    table = pd.DataFrame(found, columns=columns)
    moved = table[table["beyond"].astype(bool)]
    return Drift(table, bool(len(moved)), _sentence(table, moved))


def stability(reference: Floats, current: Floats) -> float:
    """Population stability index of two samples; missing is a bin of its own.

    Bins are the deciles of the reference, so nought means that the shares are the same.
    """
    old, new = _shares(reference, current)
    return float(((new - old) * np.log(new / old)).sum())


def _of_day(
    day: str, before: dict[str, Floats], part: pd.DataFrame, model: Model, asked: DriftBounds
) -> list[tuple[str, str, int, float, float, bool]]:
    now = _measures(part, model)
    people = _people_weight(part)
    found = []
    for name, old in before.items():
        new = now[name]
        if len(new) < asked.min_rows or len(old) == 0:
            continue
        chance = chi2.ppf(asked.confidence, BINS) * people * (1 / len(new) + 1 / len(old))
        bound = max(asked.stability, float(chance))
        value = stability(old, new)
        found.append((day, name, len(new), value, bound, value > bound))
    return found + _calibration(day, part, model, asked)


def _calibration(
    day: str, part: pd.DataFrame, model: Model, asked: DriftBounds
) -> list[tuple[str, str, int, float, float, bool]]:
    decided = part[part["accepted"].notna()]
    if len(decided) < asked.min_rows:
        return []
    accepted, told = decided["accepted"].to_numpy(dtype="float64"), log_odds(model, decided)
    expected = expit(told)
    gap = abs(float((accepted - expected).mean()))
    variance = (expected * (1 - expected)).sum() * _people_weight(decided) / len(decided) ** 2
    chance = norm.ppf(0.5 + asked.confidence / 2) * np.sqrt(variance)
    bound = max(asked.calibration, float(chance))
    found = [(day, "calibration", len(decided), gap, bound, gap > bound)]
    if model.trained_rows == 0:
        return found  # what was never learned cannot have changed
    return [*found, _slope(day, decided, accepted, told, asked)]


def _slope(
    day: str, decided: pd.DataFrame, accepted: Floats, told: Floats, asked: DriftBounds
) -> tuple[str, str, int, float, float, bool]:
    """As many may accept as before, and yet others: the slope shows that tastes have turned."""
    slope, influence = calibration_slope(accepted, told)
    people = pd.factorize(decided["subject"])[0]
    variance = evidence.clustered(influence, np.asarray(people, dtype="int64"))
    chance = norm.ppf(0.5 + asked.confidence / 2) * np.sqrt(variance)
    bound = max(asked.slope, float(chance))
    gap = abs(slope - 1.0)
    return (day, "slope", len(decided), gap, bound, gap > bound)


def _measures(rows: pd.DataFrame, model: Model) -> dict[str, Floats]:
    names = [features.SCORE]
    names += [features.CONSTRAINT + name for name in model.constraints]
    found = {name: features.values(rows, name) for name in names}
    found["score"] = np.asarray(expit(log_odds(model, rows)))
    accepted = features.values(rows, "accepted")
    found["outcome"] = accepted[~np.isnan(accepted)]
    return found


def _shares(reference: Floats, current: Floats) -> tuple[Floats, Floats]:
    there = reference[~np.isnan(reference)]
    edges = np.unique(np.quantile(there, np.arange(1, BINS) / BINS)) if there.size else np.empty(0)

    def share(sample: Floats) -> Floats:
        place = np.where(np.isnan(sample), BINS, np.searchsorted(edges, sample, side="left"))
        counts = np.bincount(place, minlength=BINS + 1)
        return np.asarray(np.maximum(counts / max(len(sample), 1), FLOOR))

    return share(reference), share(current)


def _people_weight(rows: pd.DataFrame) -> float:
    """How many times more a row varies because people make several decisions."""
    counts = rows.groupby("subject").size().to_numpy(dtype="float64")
    return float(1 + ALIKE * ((counts**2).sum() / counts.sum() - 1)) if len(counts) else 1.0


def _sentence(table: pd.DataFrame, moved: pd.DataFrame) -> str:
    if table.empty:
        return "Too few new proposals to tell whether anything has changed."
    if moved.empty:
        return f"Nothing has moved beyond its bound on {table['day'].nunique()} day(s)."
    worst = moved.iloc[int((moved["value"] / moved["bound"]).to_numpy().argmax())]
    return (
        f"{len(moved)} of {len(table)} measures have moved beyond their bounds, most of all"
        f" {worst['measure']} on {worst['day']} ({worst['value']:.2f}, bound"
        f" {worst['bound']:.2f}): a retrain is asked for."
    )
