"""What a verdict on a candidate rests on: limits, held-out decisions, and intervals over them.

Rows are not independent: one person makes many decisions, and two people see the same
partner. Intervals count people and rounds, not rows.

References:
    Cameron, Gelbach, Miller (2011). Robust inference with multiway clustering. Journal of
    Business & Economic Statistics 29(2), 238-249.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

from matching.logistic import log_loss

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from matching.memorisation import Membership

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Limits:
    """What a promotion asks for.

    Attributes:
        confidence: Of the interval of the gain, two-sided.
        min_decisions: Fewest decisions that a verdict may rest on.
        min_people: Fewest people who made them; of fewer no figure is told.
        few_rounds: From this number of rounds on they are counted as clusters too; fewer
            cannot say how much rounds differ.
        max_calibration_error: Largest calibration error beyond what chance explains.
        min_slice_rows: Smallest slice that is looked at.
        slice_error: Chance that any of the slices of an equally good model is called worse.
        max_membership_auc: Largest AUC of a membership attack.
        max_members_found: Largest share of members found at one false alarm in a hundred.
        max_auc: Largest AUC of a candidate or of a single constraint; people are not that
            predictable, so beyond it a feature is suspected of knowing the decision.
        min_slope: For a refresh, what the slope of new decisions on the champion's log-odds
            must be shown to be above.
        max_slope: What it must not be shown to be above.
    """

    confidence: float = 0.95
    min_decisions: int = 100
    min_people: int = 12
    few_rounds: int = 8
    max_calibration_error: float = 0.02
    min_slice_rows: int = 30
    slice_error: float = 0.05
    max_membership_auc: float = 0.55
    max_members_found: float = 0.02
    max_auc: float = 0.99
    min_slope: float = 0.4
    max_slope: float = 1.5


@dataclass(frozen=True)
class Check:
    """One question of the gate.

    Attributes:
        name: Short name.
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


@dataclass(frozen=True)
class Interval:
    """A mean and its interval."""

    mean: float
    lower: float
    upper: float


@dataclass(frozen=True, eq=False)
class Evidence:
    """Held-out decisions with what both models expected of them.

    Attributes:
        accepted: 0 or 1, shape (n,).
        champion: Probability by the champion.
        candidate: Probability by the candidate.
        person: Code of the deciding person.
        partner: Code of the person decided about; the number of people where unknown.
        round: Code of the round.
        slices: Name of a slicing -> label of each row.
        matches_lost: Mutual matches that only the champion's assignment makes.
        matches_won: Mutual matches that only the candidate's assignment makes.
        membership: Result of the memorisation audit.
        telling: Constraint -> AUC of its satisfaction alone, at least one half.
        trained: Whether the champion has learned from decisions.
        record: For a refresh, what its way of fitting would have predicted of every round
            from the rounds before it, beside version 1; see ``matching.refresh``.
    """

    accepted: Floats
    champion: Floats
    candidate: Floats
    person: Codes
    partner: Codes
    round: Codes
    slices: Mapping[str, pd.Categorical[str]] = field(default_factory=dict)
    matches_lost: int = 0
    matches_won: int = 0
    membership: Membership | None = None
    telling: Mapping[str, float] = field(default_factory=dict)
    trained: bool = False
    record: Evidence | None = None

    @property
    def gain(self) -> Floats:
        """Gain of each row in nats."""
        return log_loss(self.accepted, self.champion) - log_loss(self.accepted, self.candidate)


def paired_gain(evidence: Evidence, limits: Limits) -> Interval:
    """Estimate the mean gain in nats a decision, with an interval that counts people and rounds."""
    return clustered_mean(evidence.gain, evidence, limits)


def clustered_mean(values: Floats, evidence: Evidence, limits: Limits) -> Interval:
    """Estimate a mean over decisions, with an interval that counts people and rounds.

    The variance is clustered by the deciding person and by the partner, and by round too
    where there are enough of them; the widest interval is taken.

    Args:
        values: One a decision, shape (n,).
        evidence: Who decided about whom, and when.
        limits: Confidence, and from how many rounds on they count.
    """
    mean = float(np.sort(values).mean())
    rest = values - mean
    people = count(evidence.person)
    by_people = clustered(rest, evidence.person) + clustered(rest, evidence.partner)
    by_people = max(by_people - float((rest**2).sum()), clustered(rest, evidence.person))
    tail = 0.5 + limits.confidence / 2
    margin = student.ppf(tail, max(people - 1, 1)) * np.sqrt(by_people) / len(values)
    rounds = count(evidence.round)
    if rounds >= limits.few_rounds:
        by_round = clustered(rest, evidence.round)
        wide = student.ppf(tail, rounds - 1) * np.sqrt(by_round) / len(values)
        margin = max(margin, wide)
    return Interval(mean, mean - float(margin), mean + float(margin))


def count(codes: Codes) -> int:
    """Number of different codes."""
    return int((np.bincount(codes) > 0).sum())


def clustered(rest: Floats, cluster: Codes) -> float:
    """Variance of the sum of ``rest`` when rows of a cluster go together."""
    sums = np.bincount(cluster, rest)
    used = max(count(cluster), 2)
    return float((np.sort(sums**2)).sum() * used / (used - 1))
