"""From proposals to the columns that a model weighs.

A column belongs to a family, and a family shares one prior width: the model is told what
kind of thing a column is, and the data say how much that kind matters. Missing is a value:
a missing satisfaction offers nothing above the person's own mean, and says so in a column
of its own. Names of constraints and parameters come from the data; a name that the design
does not know is ignored, one that a frame lacks is missing in every row.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from matching import features
from matching.features import CONSTRAINT, GAP, OWN, PARAMETER, SCORE, known, values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

OWN_PRIOR = 1.0
"""How many average options everybody's own mean starts from, so that one option says little."""
DIGITS = 6
"""Decimals of a centre or scale: sums in another order differ beyond them, and nothing else."""
SPREAD_CENTRE = 0.1
"""A usual standard deviation of scores over one person's options."""


@dataclass(frozen=True)
class Term:
    """One column: its name and the family whose prior width it shares."""

    name: str
    family: str


@dataclass(frozen=True)
class Design:
    """Which columns a model has, and around what they are centred.

    Attributes:
        centres: Mean satisfaction of each known constraint in training.
        scales: Mean and standard deviation of each known match parameter in training.
        demand: What a unit of a constraint, or of ``score``, adds to how sought-after a
            person is; empty before anything was learned.
        interactions: Whether constraints interact with side and own level.
        bars: What a unit of the person's own level of a constraint, or of ``score``, adds to
            their log-odds: how easily they accept anybody. With it each side has a column of
            rank one, how easily the person accepts times how much this partner offers; empty
            for none.
    """

    centres: Mapping[str, float] = field(default_factory=dict)
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    demand: Mapping[str, float] = field(default_factory=dict)
    interactions: bool = False
    bars: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def learn(cls, frame: pd.DataFrame, *, interactions: bool = False) -> Self:
        """Read names, centres and scales from training rows, whatever their order.

        A constraint or parameter without a single value is left out, and a parameter that
        never varies with it.
        """
        centres = {}
        for name in features.constraint_names(frame):
            mean, _ = _moments(values(frame, CONSTRAINT + name))
            if not np.isnan(mean):
                centres[name] = mean
        scales = {}
        for name in features.parameter_names(frame):
            mean, deviation = _moments(values(frame, PARAMETER + name))
            if deviation > 0:
                scales[name] = (mean, deviation)
        return cls(centres, scales, interactions=interactions)

    def with_demand(self, weights: Mapping[str, float]) -> Self:
        """Add the column that compares how sought-after two people are.

        Args:
            weights: Weight of each term by its name, of a fit without that column: what
                makes a partner accepted is what makes a person sought after.
        """
        demand = {name: round(weights[f"offers:{name}"], DIGITS) for name in self.centres}
        return replace(self, demand={"score": round(weights["score"], DIGITS)} | demand)

    def with_bars(self, weights: Mapping[str, float]) -> Self:
        """Add a rank-1 selectivity column for each side.

        Args:
            weights: Weight of each term by its name, of a fit without those columns.
        """
        names = ("score", *self.centres)
        return replace(self, bars={name: round(weights[f"level:{name}"], DIGITS) for name in names})

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The columns in order."""
        nothing = pd.DataFrame({SCORE: np.empty(0)})
        return tuple(term for term, _ in self.columns(nothing))

    def columns(self, frame: pd.DataFrame) -> Iterator[tuple[Term, Floats]]:
        """Make the columns one by one, so that a million rows need no matrix.

        Args:
            frame: Rows that went through ``features.with_context``.

        Yields:
            Each term with its value a row; never missing.
        """
        score = values(frame, SCORE)
        options = known(values(frame, features.OPTIONS), 1.0)
        yield Term("intercept", "intercept"), np.ones(len(frame))
        yield Term("score", "score"), known(score - 0.5)
        level = _level(frame, "score", 0.5, options)
        yield Term("level:score", "level"), level
        for name, centre in self.centres.items():
            yield from self._constraint(frame, name, centre, options)
        yield from self._situation(frame)
        if self.bars:
            yield from self._selectivity(frame, options)
        if self.demand:
            yield Term("gap", "gap"), self._gap(frame)
        for name, (centre, scale) in self.scales.items():
            value = (values(frame, PARAMETER + name) - centre) / scale
            yield Term(f"parameter:{name}", "parameter"), known(value)

    def matrix(self, frame: pd.DataFrame) -> Floats:
        """Make all columns, shape (rows, terms), column by column in memory."""
        matrix = np.empty((len(frame), len(self.terms)), order="F")
        for index, (_, column) in enumerate(self.columns(frame)):
            matrix[:, index] = column
        return matrix

    def to_dict(self) -> dict[str, Any]:
        """Say the design in plain JSON."""
        bars = {"bars": dict(self.bars)} if self.bars else {}
        return {
            "centres": dict(self.centres),
            "scales": {name: list(scale) for name, scale in self.scales.items()},
            "demand": dict(self.demand),
            "interactions": self.interactions,
        } | bars

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Read what ``to_dict`` said."""
        scales = {name: (float(a), float(b)) for name, (a, b) in plain["scales"].items()}
        demand = {name: float(weight) for name, weight in plain["demand"].items()}
        bars = {name: float(weight) for name, weight in plain.get("bars", {}).items()}
        return cls(dict(plain["centres"]), scales, demand, bool(plain["interactions"]), bars)

    def _constraint(
        self, frame: pd.DataFrame, name: str, centre: float, options: Floats
    ) -> Iterator[tuple[Term, Floats]]:
        value = values(frame, CONSTRAINT + name)
        level = _level(frame, name, centre, options)
        offers = known(value - centre - level)
        yield Term(f"offers:{name}", "offers"), offers
        yield Term(f"level:{name}", "level"), level
        yield Term(f"missing:{name}", "missing"), np.isnan(value).astype("float64")
        if self.interactions:
            yield Term(f"offers x side:{name}", "by side"), offers * _side(frame)
            yield Term(f"offers x level:{name}", "by level"), offers * level

    def _selectivity(self, frame: pd.DataFrame, options: Floats) -> Iterator[tuple[Term, Floats]]:
        """How easily the person accepts anybody, times how much this partner offers."""
        level = _level(frame, "score", 0.5, options)
        easily = self.bars["score"] * level
        offered = self.demand["score"] * known(values(frame, SCORE) - 0.5 - level)
        for name, centre in self.centres.items():
            level = _level(frame, name, centre, options)
            easily += self.bars[name] * level
            offered += self.demand[name] * known(values(frame, CONSTRAINT + name) - centre - level)
        product, side = easily * offered, _side(frame)
        yield Term("selectivity:0", "by level"), np.where(side <= 0, product, 0.0)
        yield Term("selectivity:1", "by level"), np.where(side > 0, product, 0.0)

    def _gap(self, frame: pd.DataFrame) -> Floats:
        """How much more sought-after the partner is than the deciding person, in log-odds."""
        total = np.zeros(len(frame))
        for name, weight in sorted(self.demand.items()):
            total += weight * known(values(frame, GAP + name))
        return total

    @staticmethod
    def _situation(frame: pd.DataFrame) -> Iterator[tuple[Term, Floats]]:
        yield Term("rank", "situation"), known(values(frame, features.RANK))
        spread = values(frame, features.SPREAD) - SPREAD_CENTRE
        yield Term("spread", "situation"), known(spread)
        yield Term("returned", "situation"), known(values(frame, features.RETURNED))
        yield Term("side", "situation"), _side(frame)


def _level(frame: pd.DataFrame, name: str, centre: float, options: Floats) -> Floats:
    """Put the own mean beside everybody's, shrunk: with one option it is mostly everybody's."""
    own = values(frame, OWN + name) - centre
    return known(own) * (options / (options + OWN_PRIOR))


def _side(frame: pd.DataFrame) -> Floats:
    side = values(frame, features.SIDE)
    return np.where(np.isnan(side), 0.0, np.where(side > 0, 0.5, -0.5))


def _moments(value: Floats) -> tuple[float, float]:
    """Mean and standard deviation of what is there, rounded; the order of rows is no matter."""
    there = np.sort(value[~np.isnan(value)])
    if there.size == 0:
        return float("nan"), 0.0
    return round(float(there.mean()), DIGITS), round(float(there.std()), DIGITS)
