"""A market of two sides whose truth is known, to see whether learning helps.

Everybody has wishes, properties, a taste of their own, a bar that they set and an
attraction that no constraint measures. Constraints say how well a partner satisfies a
wish; their true effects differ by side, differ from equal weights, and drift. What a
person decides follows from all of it, so the best assignment is known, which no platform
ever knows of its own market. Everything follows from the settings and one seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr

from matching.assignment import Constraints
from matching.rounds import Round
from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matching.pairing import Pairing
    from matching.solvers import Floats, Integers

SIDES = (0, 1)
TASTE_DIMENSIONS = 3
MINUTES_APART = 5


@dataclass(frozen=True)
class Effect:
    """What one constraint does to decisions, in log-odds from unsatisfied to satisfied.

    Attributes:
        name: Name of the constraint.
        weights: Effect on side 0 and on side 1.
        spread: Above 1 satisfaction crowds at 0 and 1, below 1 around one half.
        missing: Share of satisfactions that nobody knows.
    """

    name: str
    weights: tuple[float, float]
    spread: float = 1.0
    missing: float = 0.0


EFFECTS = (
    Effect("schedule", (4.0, 2.0), spread=0.7),
    Effect("skills", (2.5, 4.5), spread=0.7),
    Effect("goals", (2.0, 1.5), spread=0.7, missing=0.05),
    Effect("distance", (0.0, 0.5), spread=1.6),
    Effect("seniority", (-1.0, 0.0), spread=1.6),
    Effect("language", (0.0, -0.5), spread=1.6, missing=0.1),
)
"""Three constraints that matter and vary little beside three that vary much and do not:
equal weights follow the latter."""


@dataclass(frozen=True)
class MarketSettings:
    """Size and nature of a market.

    Attributes:
        people: People of each side who exist.
        turnout: People of each side who come to a round, at most ``people``.
        effects: The constraints and their true effects.
        intercepts: Log-odds of accepting a partner of middling satisfaction, by side.
        selectivity: Standard deviation of the bars that people set, in log-odds.
        attraction: Standard deviation of how sought-after people are, in log-odds.
        taste: Standard deviation of the match of hidden tastes, in log-odds.
        drift: Standard deviation of the change of each effect from round to round.
        infeasible: Share of pairs that a hard rule excludes.
        no_show: Share of people who are proposed a partner and never decide.
        rated: Share of acceptances that are followed by a rating.
        places: Partners that a person of side 0 and of side 1 may have in one round.
        consents: Share of people who grant analytics, improvement and preferences.
    """

    people: int = 120
    turnout: int = 40
    effects: tuple[Effect, ...] = EFFECTS
    intercepts: tuple[float, float] = (-0.9, -0.9)
    selectivity: float = 0.7
    attraction: float = 0.5
    taste: float = 0.4
    drift: float = 0.05
    infeasible: float = 0.05
    no_show: float = 0.05
    rated: float = 0.7
    places: tuple[int, int] = (1, 1)
    consents: tuple[float, float, float] = (0.95, 0.9, 0.5)
    first_day: date = date(2025, 1, 6)

    def __post_init__(self) -> None:
        if not 1 <= self.turnout <= self.people:
            raise InvalidInput("turnout", "must be between 1 and the number of people")
        for name in ("selectivity", "attraction", "taste", "drift"):
            if getattr(self, name) < 0:
                raise InvalidInput(name, "must not be negative")
        for name in ("infeasible", "no_show", "rated"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidInput(name, "must be between 0 and 1")


@dataclass(frozen=True, eq=False)
class _Side:
    """What is hidden about the people of one side; arrays have a row a person."""

    wishes: Floats
    properties: Floats
    tastes: Floats
    traits: Floats
    bars: Floats
    attraction: Floats


@dataclass(frozen=True, eq=False)
class Market:
    """A market; ``hold_round`` and ``rounds`` let it meet.

    Attributes:
        settings: What it was made from.
        seed: What it was made from.
        people: ``user_id``, ``side`` and the consents ``analytics``, ``improvement`` and
            ``preferences`` of everybody.
    """

    settings: MarketSettings
    seed: int
    people: pd.DataFrame
    hidden: tuple[_Side, _Side] = field(repr=False)


def open_market(settings: MarketSettings | None = None, *, seed: int) -> Market:
    """Make the people of a market."""
    chosen = settings or MarketSettings()
    generator = np.random.default_rng([seed, 0])
    sides = (_make_side(chosen, generator), _make_side(chosen, generator))
    granted = generator.random((2 * chosen.people, 3)) < np.asarray(chosen.consents)
    people = pd.DataFrame(
        {
            "user_id": [_name(side, person) for side in SIDES for person in range(chosen.people)],
            "side": np.repeat(SIDES, chosen.people),
            "analytics": granted[:, 0],
            "improvement": granted[:, 0] & granted[:, 1],
            "preferences": granted[:, 0] & granted[:, 2],
        }
    )
    return Market(chosen, seed, people, sides)


def rounds(market: Market, count: int) -> Iterator[Round]:
    """Hold the first rounds of a market, in order."""
    for number in range(count):
        yield hold_round(market, number)


def hold_round(market: Market, number: int) -> Round:
    """Hold one round: all its feasible pairs, with what everybody would decide.

    The same number gives the same round, whatever was held before.

    Args:
        market: The market.
        number: From 0; rounds are a day apart and effects drift from one to the next.

    Returns:
        The round. Beside the columns of every round its pairs have ``true_probability``,
        which is the truth behind ``accepted``, and ``shows_up``, which is false for people
        who will not decide at all.
    """
    settings = market.settings
    generator = np.random.default_rng([market.seed, 1, number])
    present = tuple(
        np.sort(generator.choice(settings.people, settings.turnout, replace=False)) for _ in SIDES
    )
    feasible = np.argwhere(
        generator.random((settings.turnout, settings.turnout)) >= settings.infeasible
    )
    ends = (present[0][feasible[:, 0]], present[1][feasible[:, 1]])
    effects = true_effects(market, number)
    shows_up = [generator.random(settings.people) >= settings.no_show for _ in SIDES]
    day = settings.first_day + timedelta(days=number)
    halves = [
        _decide(market, side, ends, effects[:, side], generator).assign(
            side=side,
            shows_up=shows_up[side][ends[side]],
            match_id=[f"r{number}-a{one}-b{two}" for one, two in zip(*ends, strict=True)],
        )
        for side in SIDES
    ]
    pairs = pd.concat(halves, ignore_index=True)
    return Round(f"round {number + 1}", day, _dated(pairs, day))


def true_effects(market: Market, number: int) -> Floats:
    """Give the effects in force in one round: shape (constraints, sides), in log-odds."""
    settings = market.settings
    generator = np.random.default_rng([market.seed, 2])
    steps = generator.normal(size=(number + 1, len(settings.effects), 2))
    start = np.array([effect.weights for effect in settings.effects])
    return np.asarray(start + settings.drift * steps[1:].sum(axis=0))


def true_utility(pairs: pd.DataFrame, pairing: Pairing) -> Floats:
    """Give the true probability that both accept: the matrix that an oracle assigns by."""
    truth = pairs["true_probability"].to_numpy(dtype=np.float64)
    both = np.empty_like(truth)
    both[pairing.first] = both[pairing.second] = truth[pairing.first] * truth[pairing.second]
    return pairing.matrix(both)


def places(market: Market) -> Constraints:
    """Give the constraints of every round: the places, and that an empty one costs 1.

    A pair is worth at most 1, so a place stays empty only where excluded pairs leave hardly
    anybody for it, and a round is never impossible.
    """
    one, two = market.settings.places
    return Constraints(row_capacity=one, column_capacity=two, unassigned_cost=1.0)


def _make_side(settings: MarketSettings, generator: np.random.Generator) -> _Side:
    people, kinds = settings.people, len(settings.effects)
    return _Side(
        wishes=generator.normal(size=(people, kinds)),
        properties=generator.normal(size=(people, kinds)),
        tastes=generator.normal(size=(people, TASTE_DIMENSIONS)),
        traits=generator.normal(size=(people, TASTE_DIMENSIONS)),
        bars=settings.selectivity * generator.normal(size=people),
        attraction=settings.attraction * generator.normal(size=people),
    )


def _decide(
    market: Market,
    side: int,
    ends: tuple[Integers, Integers],
    effects: Floats,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Let one side look at its pairs: what it sees, what it would decide, how it would rate."""
    settings = market.settings
    own, other = ends[side], ends[1 - side]
    me, them = market.hidden[side], market.hidden[1 - side]
    satisfaction = _satisfaction(settings, me.wishes[own], them.properties[other], generator)
    taste = (me.tastes[own] * them.traits[other]).sum(axis=1) / np.sqrt(TASTE_DIMENSIONS)
    log_odds = (
        settings.intercepts[side]
        + (satisfaction - 0.5) @ effects
        + settings.taste * taste
        + them.attraction[other]
        - me.bars[own]
    )
    probability = expit(log_odds)
    rating = np.clip(np.round(3 + 0.6 * log_odds + 0.7 * generator.normal(size=own.size)), 1, 5)
    seen = np.where(
        generator.random(satisfaction.shape) < [effect.missing for effect in settings.effects],
        np.nan,
        satisfaction,
    )
    known = np.isfinite(seen).sum(axis=1)
    score = np.where(known == 0, 0.5, np.nansum(seen, axis=1) / np.maximum(known, 1))
    columns = {
        "user_id": [_name(side, person) for person in own],
        "partner_id": [_name(1 - side, person) for person in other],
        "match_score": score,
        "accepted": generator.random(own.size) < probability,
        "rating": np.where(generator.random(own.size) < settings.rated, rating, np.nan),
        "true_probability": probability,
    }
    names = [f"constraint:{effect.name}" for effect in settings.effects]
    return pd.DataFrame(columns | dict(zip(names, seen.T, strict=True)))


def _satisfaction(
    settings: MarketSettings, wishes: Floats, offers: Floats, generator: np.random.Generator
) -> Floats:
    spread = np.array([effect.spread for effect in settings.effects])
    closeness = 0.5 * wishes + 0.5 * offers + np.sqrt(0.5) * generator.normal(size=wishes.shape)
    return np.asarray(np.round(ndtr(spread * closeness), 4))


def _dated(pairs: pd.DataFrame, day: date) -> pd.DataFrame:
    nth = pairs.groupby("user_id").cumcount()
    evening = pd.Timestamp(day, tz="UTC") + pd.Timedelta(hours=18)
    dated = pairs.assign(
        group=day.isoformat(),
        occurred_at=evening + pd.to_timedelta(MINUTES_APART * nth, unit="min"),
        alternatives_count=pairs.groupby("user_id")["user_id"].transform("size") - 1,
    )
    dated["parameter:side"] = dated["side"].astype("float64")
    dated["occurred_at"] = dated["occurred_at"].astype("datetime64[us, UTC]")
    return dated


def _name(side: int, person: int) -> str:
    return f"{'ab'[side]}{person}"
