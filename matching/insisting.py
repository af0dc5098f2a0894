"""What it would cost to insist on a constraint: the shadow price of a rule that does not exist.

A constraint of a proposal is soft: its satisfaction counts, and pairs that hardly satisfy it are
still proposed. Were it a rule, pairs below a threshold would be forbidden, and people would be
assigned to the best of what is left. The price of the rule is the share of the expected mutual
acceptances that is lost by it. It is found by assigning every round with the rule and without it,
as the champion expects; what rules cost that are kept already says ``shadow_prices.rule_costs``.

Only pairs that were proposed are known. Where the matcher would have found others in their place,
the true price is lower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

from matching import features
from matching.assignment import Constraints, assign
from matching.couples import Couples, mutual
from matching.model import Model, score

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

THRESHOLD = 0.5
"""Pairs of which either party is satisfied less would be forbidden."""

ROUNDS = 30
"""The newest rounds are priced: what was proposed long ago says little of what a rule costs now."""

MOST_PEOPLE = 200
"""People on a side of a round; of a larger one the first so many stand for all."""

_CONFIDENCE = 0.95
_FREE = Constraints(unassigned_cost=0.0)


@dataclass(frozen=True)
class RulePrice:
    """What insisting on one constraint costs.

    Attributes:
        constraint: Its name.
        pairs: Pairs that were looked at.
        forbidden: Those that the rule forbids.
        rounds: Rounds that they belong to.
        cost: Share of the expected mutual acceptances that the rule costs, 0 to 1.
        lower: Lower end of its 95 % interval, rounds being the sample; None for a single one.
        upper: Upper end.
    """

    constraint: str
    pairs: int
    forbidden: int
    rounds: int
    cost: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True, eq=False)
class _Round:
    """The couples of one round: who they are, what each is worth, how satisfied it is."""

    couples: Couples
    people: tuple[NDArray[np.int64], NDArray[np.int64]]
    worth: Floats
    satisfied: dict[str, Floats]
    best: float


def price_constraints(rows: pd.DataFrame, model: Model, *, smallest: int) -> list[RulePrice]:
    """Price every constraint as if it were a rule.

    Args:
        rows: Proposals frame; matches of which one party alone is there are left out.
        model: Says what to expect of a pair.
        smallest: Fewest people behind any figure: a rule that touches fewer, or spares fewer,
            is not priced.

    Returns:
        A price for each constraint that can be priced, by name.
    """
    newest = sorted(rows["group"].unique())[-ROUNDS:]
    found = [_read(rows[rows["group"] == name].reset_index(drop=True), model) for name in newest]
    rounds = [one for one in found if len(one.worth)]
    names = features.constraint_names(rows)
    priced = [_price(name, rounds, smallest) for name in names if rounds]
    return [price for price in priced if price is not None]


def _read(frame: pd.DataFrame, model: Model) -> _Round:
    couples = Couples.of(frame)
    kept = (couples.left < MOST_PEOPLE) & (couples.right < MOST_PEOPLE)
    couples = Couples(
        couples.here[kept], couples.there[kept], couples.left[kept], couples.right[kept]
    )
    expected = score(model, frame)["p_accept"].to_numpy(dtype="float64")
    subjects = frame["subject"].to_numpy()
    satisfied = {}
    for name in features.constraint_names(frame):
        each = features.values(frame, features.CONSTRAINT + name)
        # What a party did not say is not held against a pair.
        satisfied[name] = np.fmin(each[couples.here], each[couples.there])
    people = (subjects[couples.here], subjects[couples.there])
    worth = mutual(couples, expected)
    best = _best(couples, worth) if len(worth) else 0.0
    return _Round(couples, people, worth, satisfied, best)


def _price(name: str, rounds: list[_Round], smallest: int) -> RulePrice | None:
    touched: set[int] = set()
    spared: set[int] = set()
    best, cost, forbidden = [], [], 0
    for one in rounds:
        below = _below(one, name)
        forbidden += int(below.sum())
        for side in one.people:
            touched.update(side[below].tolist())
            spared.update(side[~below].tolist())
        best.append(one.best)
        left = _best(one.couples, np.where(below, np.nan, one.worth)) if below.any() else one.best
        cost.append(max(0.0, one.best - left))
    few = any(0 < len(people) < smallest for people in (touched, spared))
    if few or len(touched | spared) < smallest or not sum(best):
        return None
    share, lower, upper = _share(np.array(cost), np.array(best))
    pairs = sum(len(one.worth) for one in rounds)
    return RulePrice(name, pairs, forbidden, len(rounds), share, lower, upper)


def _below(one: _Round, name: str) -> Mask:
    found = one.satisfied.get(name)
    return np.zeros(len(one.worth), dtype=bool) if found is None else found < THRESHOLD


def _best(couples: Couples, worth: Floats) -> float:
    """Return the largest sum of what couples are worth, each person in at most one; NaN in none."""
    laid_out = np.full(couples.shape, np.nan)
    laid_out[couples.left, couples.right] = worth
    return assign(laid_out, _FREE).utility


def _share(cost: Floats, best: Floats) -> tuple[float, float | None, float | None]:
    """Estimate a ratio of sums over rounds, with the interval of its linearisation.

    References:
        Cochran, W. G. (1977). Sampling Techniques, 3rd edition, section 6.4. Wiley.
    """
    share = float(cost.sum() / best.sum())
    count = len(cost)
    if count == 1:
        return share, None, None
    residuals = cost - share * best
    error = float(np.sqrt(count / (count - 1) * (residuals**2).sum()) / best.sum())
    half = float(student.ppf(0.5 + _CONFIDENCE / 2, count - 1)) * error
    return share, max(0.0, share - half), min(1.0, share + half)
