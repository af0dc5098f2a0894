"""What another matcher would have got, estimated from what this one logged.

A plain bandit log (a row per context: reward, propensity and target propensity of the action
taken) and a log of assignments are read alike; ``matching.ope_log`` describes the frame. The
estimand is the mean reward of what the target proposes: per logged row in a plain log, per
proposed pair where all feasible pairs are there. It is identified if the reward of a pair does
not depend on which other pairs were made beside it, and if every pair that the target may
propose could have been proposed. Uncertainty is that between groups, so pairs that block one
another do not count as independent.

References:
    Horvitz, D. G. and Thompson, D. J. (1952). JASA 47(260). doi:10.2307/2280784
    Swaminathan, A. and Joachims, T. (2015). The self-normalized estimator for
    counterfactual learning. NeurIPS 28.
    Dudik, M., Langford, J. and Li, L. (2011). Doubly robust policy evaluation and learning.
    ICML 28. arXiv:1103.4601
    Hesterberg, T. (2015). What teachers should know about the bootstrap. The American
    Statistician 69(4). arXiv:1411.5279 (expanded percentile intervals)
    Wang, Y.-X., Agarwal, A. and Dudik, M. (2017). Optimal and adaptive off-policy
    evaluation in contextual bandits. ICML 34. arXiv:1612.01205
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from matching.ope_log import TARGET_SHARE, Log, by_group, read_log
from schemas.errors import InvalidInput, SmartMatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matching.solvers import Floats

ESTIMATORS = ("ips", "snips", "dr", "switch-dr")
NEEDS_PREDICTIONS = ("dr", "switch-dr")
SWITCH_AT = 10.0
"""Importance weight above which switch-DR trusts the prediction alone."""


@dataclass(frozen=True)
class Support:
    """How much a log must know about the target before an estimate is given.

    Attributes:
        least_effective_rows: Effective sample size, Kish's (sum w)^2 / sum w^2.
        least_effective_share: Effective sample size as a share of the logged rows.
        least_groups: Groups, without which there is no interval.
        most_unsupported: Share of the target's proposals that the log could not have made;
            known only where the rows that were not proposed are there too.
        least_covered: Mean importance weight. It is 1 where propensities are right and
            support is full; a log is refused when its mean lies below this bound beyond
            ``deviations`` standard errors.
        most_covered: The same from above: weights that are too large in the mean are those of
            wrong propensities, or of a log of which rows are missing.
        deviations: Standard errors.
    """

    least_effective_rows: float = 50.0
    least_effective_share: float = 0.005
    least_groups: int = 10
    most_unsupported: float = 0.01
    least_covered: float = 0.8
    most_covered: float = 1.25
    deviations: float = 4.0


@dataclass(frozen=True)
class Overlap:
    """How much of what the target does the log has seen.

    Attributes:
        rows: Logged rows.
        groups: Groups that they form.
        effective_rows: Kish's effective sample size of the importance weights.
        mean_weight: Importance weights, summed over the expected number of the target's
            proposals; 1 in expectation.
        largest_weight: The largest of them.
        largest_share: What the largest has of their sum.
        unsupported: Share of the target's proposals that the log could not have made; NaN
            where the rows that were not proposed are not there.
    """

    rows: int
    groups: int
    effective_rows: float
    mean_weight: float
    largest_weight: float
    largest_share: float
    unsupported: float


@dataclass(frozen=True)
class Estimate:
    """An estimate of the target's mean reward.

    Attributes:
        estimator: ``ips``, ``snips``, ``dr`` or ``switch-dr``.
        value: The estimate.
        standard_error: Between groups.
        lower: Asymptotic interval (Student's t over groups).
        upper: Asymptotic interval.
        bootstrap_lower: Percentile interval over resampled groups; NaN without replicates.
        bootstrap_upper: Percentile interval over resampled groups.
    """

    estimator: str
    value: float
    standard_error: float
    lower: float
    upper: float
    bootstrap_lower: float
    bootstrap_upper: float


@dataclass(frozen=True)
class Evaluation:
    """Estimates of one target policy, and how far the log supports them.

    Attributes:
        estimates: One an estimator.
        overlap: Diagnostics.
        proposals_per_group: What the target proposes in a group, in expectation; times the
            value it is the target's total of a group.
        confidence: Level of the intervals.
    """

    estimates: tuple[Estimate, ...]
    overlap: Overlap
    proposals_per_group: float
    confidence: float

    def table(self) -> pd.DataFrame:
        """Lay the estimates out, an estimator a row."""
        return pd.DataFrame([asdict(each) for each in self.estimates]).set_index("estimator")

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain data."""
        return asdict(self)


class SupportTooLow(SmartMatchError):
    """The log knows too little about what the target would do; the message says in what.

    Attributes:
        overlap: The diagnostics that led to the refusal.
    """

    def __init__(self, reason: str, overlap: Overlap) -> None:
        super().__init__(reason)
        self.overlap = overlap


def evaluate(
    frame: pd.DataFrame,
    *,
    estimators: Sequence[str] | None = None,
    confidence: float = 0.95,
    switch_at: float = SWITCH_AT,
    replicates: int = 1_000,
    seed: int = 0,
    support: Support | None = None,
) -> Evaluation:
    """Estimate what the target policy would have got.

    Args:
        frame: Columns as ``matching.ope_log`` says; other columns are ignored.
        estimators: Some of ``ESTIMATORS``; all that the columns allow when None.
        confidence: Level of the intervals, in (0, 1).
        switch_at: Importance weight above which switch-DR trusts the prediction alone.
        replicates: Bootstrap replicates over groups; 0 for none.
        seed: Of the bootstrap.
        support: Bounds below which the estimate is refused.

    Returns:
        The estimates and the diagnostics.

    Raises:
        SupportTooLow: The log cannot answer; says why.
        InvalidInput: A column is absent or breaks a rule.
    """
    if not 0 < confidence < 1:
        raise InvalidInput("confidence", "must be strictly between 0 and 1")
    if not switch_at > 0:
        raise InvalidInput("switch_at", "must be above 0")
    if replicates < 0:
        raise InvalidInput("replicates", "must not be negative")
    log = read_log(frame)
    sums = {name: _sums(name, log, switch_at) for name in _choose(estimators, log)}
    overlap = _overlap(log)
    _refuse_low_support(log, overlap, support or Support())
    return Evaluation(
        estimates=tuple(
            _estimate(name, *each, confidence=confidence, replicates=replicates, seed=seed)
            for name, each in sums.items()
        ),
        overlap=overlap,
        proposals_per_group=float(log.proposals.mean()),
        confidence=confidence,
    )


def _choose(estimators: Sequence[str] | None, log: Log) -> tuple[str, ...]:
    if estimators is None:
        skipped = NEEDS_PREDICTIONS if log.predictions is None else ()
        return tuple(name for name in ESTIMATORS if name not in skipped)
    for name in estimators:
        if name not in ESTIMATORS:
            raise InvalidInput("estimators", f"must be of {', '.join(ESTIMATORS)}")
        if name in NEEDS_PREDICTIONS and log.predictions is None:
            raise InvalidInput("prediction", "must be a column for doubly robust estimates")
    return tuple(estimators)


def _overlap(log: Log) -> Overlap:
    total = float(log.weights.sum())
    return Overlap(
        rows=log.weights.size,
        groups=log.proposals.size,
        effective_rows=total**2 / float((log.weights**2).sum()) if total > 0 else 0.0,
        mean_weight=total / max(float(log.proposals.sum()), TARGET_SHARE),
        largest_weight=float(log.weights.max()),
        largest_share=float(log.weights.max()) / total if total > 0 else float("nan"),
        unsupported=log.unsupported,
    )


def _refuse_low_support(log: Log, overlap: Overlap, support: Support) -> None:
    share = overlap.effective_rows / overlap.rows
    seen = by_group(log.group_of, log.weights, overlap.groups)
    covered, error = _ratio(seen, log.proposals)
    reason = None
    if overlap.unsupported > support.most_unsupported:
        reason = (
            f"{overlap.unsupported:.1%} of the target's proposals could not have been logged; "
            f"at most {support.most_unsupported:.1%} may be"
        )
    elif overlap.effective_rows == 0:
        reason = "no logged row is one that the target would propose"
    elif overlap.groups < support.least_groups:
        reason = f"{overlap.groups} groups; {support.least_groups} are needed for an interval"
    elif overlap.effective_rows < support.least_effective_rows:
        reason = (
            f"effective sample size {overlap.effective_rows:.1f} of {overlap.rows} rows; "
            f"{support.least_effective_rows:g} are needed"
        )
    elif share < support.least_effective_share:
        reason = (
            f"effective sample size is {share:.2%} of the rows; "
            f"{support.least_effective_share:.2%} are needed"
        )
    elif covered + support.deviations * error < support.least_covered:
        reason = (
            f"the log covers {covered:.1%} of what the target would propose; "
            f"at least {support.least_covered:.0%} are needed"
        )
    elif covered - support.deviations * error > support.most_covered:
        reason = (
            f"importance weights are {covered:.2f} in the mean and should be 1: propensities are"
            " not those of the log, or rows are missing"
        )
    if reason is not None:
        raise SupportTooLow(reason, overlap)


def _sums(name: str, log: Log, switch_at: float) -> tuple[Floats, Floats]:
    """Give numerator and denominator of an estimator for each group."""

    def summed(values: Floats) -> Floats:
        return by_group(log.group_of, values, log.proposals.size)

    if name == "ips":
        return summed(log.weights * log.rewards), log.proposals
    if name == "snips":
        return summed(log.weights * log.rewards), summed(log.weights)
    assert log.predictions is not None  # noqa: S101 -- chosen only with predictions
    assert log.direct is not None  # noqa: S101
    trusted = log.weights if name == "dr" else log.weights * (log.weights <= switch_at)
    return log.direct + summed(trusted * (log.rewards - log.predictions)), log.proposals


def _ratio(numerator: Floats, denominator: Floats) -> tuple[float, float]:
    """Estimate a ratio of sums over groups, with its standard error between groups."""
    groups = numerator.size
    total = max(float(denominator.sum()), TARGET_SHARE)
    value = float(numerator.sum() / total)
    if groups == 1:
        return value, float("inf")
    rest = numerator - value * denominator
    return value, float(np.sqrt((rest @ rest) * groups / (groups - 1)) / total)


def _estimate(
    name: str,
    numerator: Floats,
    denominator: Floats,
    *,
    confidence: float,
    replicates: int,
    seed: int,
) -> Estimate:
    value, error = _ratio(numerator, denominator)
    reach = float(stats.t.ppf(0.5 + confidence / 2, max(numerator.size - 1, 1))) * error
    low, high = _bootstrap(numerator, denominator, confidence, replicates, seed)
    return Estimate(name, value, error, value - reach, value + reach, low, high)


def _bootstrap(
    numerator: Floats, denominator: Floats, confidence: float, replicates: int, seed: int
) -> tuple[float, float]:
    if replicates == 0:
        return float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    values = np.empty(replicates)
    for at in range(replicates):
        drawn = generator.integers(numerator.size, size=numerator.size)
        values[at] = numerator[drawn].sum() / max(denominator[drawn].sum(), TARGET_SHARE)
    # Percentiles of few groups are too narrow; as much wider as Student's t is than normal.
    free = numerator.size - 1
    reach = stats.t.ppf(0.5 + confidence / 2, free) * np.sqrt(1 + 1 / free)
    low, high = np.quantile(values, [stats.norm.cdf(-reach), stats.norm.cdf(reach)])
    return float(low), float(high)
