"""What another matcher would have got, estimated from what this one logged.

The frame has a row per decision that was logged and, where known, a row per decision that
could have been (one feasible pair of one round each):

| column | meaning |
|---|---|
| reward | outcome of the pair that was proposed; NaN in a row that was not |
| proposed | whether it was; absent: where there is a reward. An undecided proposal has no reward and is refused: leave it out or say what it is worth |
| propensity | probability that the log's policy proposed it, in (0, 1] where it was proposed; 0 or NaN where it never could be |
| target_propensity | probability that the policy to evaluate proposes it, in [0, 1] |
| group | the round; rows of one group are decided together and one blocks another; absent: every row by itself |
| prediction | reward that a model expects, fitted without these rows; absent: no DR |
| baseline | for logs that hold only what was proposed: the target's mean prediction over everything that could have been; absent: summed from the rows |

So a plain bandit log (a row per context: reward, propensity and target propensity of the
action taken) and a log of assignments are read alike. The estimand is the mean reward of
what the target proposes: per logged row in a plain log, per proposed pair where all feasible
pairs are there. It is identified if the reward of a pair does not depend on which other
pairs were made beside it, and if every pair that the target may propose could have been
proposed. Uncertainty is that between groups, so pairs that block one another do not count as
independent.

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
"""  # noqa: E501 -- a table

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from schemas.errors import InvalidInput, SmartMatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matching.solvers import Floats, Integers

ESTIMATORS = ("ips", "snips", "dr", "switch-dr")
NEEDS_PREDICTIONS = ("dr", "switch-dr")
SWITCH_AT = 10.0
"""Importance weight above which switch-DR trusts the prediction alone."""
TARGET_SHARE = 1e-12


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
        deviations: Standard errors.
    """

    least_effective_rows: float = 50.0
    least_effective_share: float = 0.005
    least_groups: int = 10
    most_unsupported: float = 0.01
    least_covered: float = 0.8
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


@dataclass(frozen=True, eq=False)
class _Log:
    """Sums that all estimators share: logged rows, and per group."""

    weights: Floats
    rewards: Floats
    predictions: Floats | None
    group_of: Integers
    proposals: Floats
    direct: Floats | None
    unsupported: float


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
        frame: Columns as in the table above; other columns are ignored.
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
    log = _read(frame)
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


def _read(frame: pd.DataFrame) -> _Log:
    reward, propensity, target = (
        _column(frame, name) for name in ("reward", "propensity", "target_propensity")
    )
    logged = np.isfinite(reward)
    if "proposed" in frame.columns:
        logged = frame["proposed"].to_numpy(dtype=bool)
    if not logged.any() or not np.isfinite(reward[logged]).all():
        raise InvalidInput("reward", "must be known wherever a pair was proposed")
    _check_probabilities(propensity[logged], target)
    group_of = np.arange(len(frame))
    if "group" in frame.columns:
        group_of = pd.factorize(frame["group"], use_na_sentinel=False)[0].astype(np.intp)
    groups = int(group_of.max()) + 1
    all_pairs_there = not logged.all()
    each = target if all_pairs_there else np.ones(target.size)
    impossible = ~logged & ~(propensity > 0) & (target > TARGET_SHARE)
    prediction = _column(frame, "prediction") if "prediction" in frame.columns else None
    direct = None
    if prediction is not None:
        own = _column(frame, "baseline") if "baseline" in frame.columns else None
        if own is None and not all_pairs_there:
            raise InvalidInput("baseline", "must be there where only proposed rows are")
        value = np.where(logged, own, 0.0) if own is not None else target * prediction
        if not (np.isfinite(value).all() and np.isfinite(prediction[logged]).all()):
            raise InvalidInput("prediction", "must be finite wherever it is used")
        direct = _by_group(group_of, value, groups)
    return _Log(
        weights=target[logged] / propensity[logged],
        rewards=reward[logged],
        predictions=None if prediction is None else prediction[logged],
        group_of=group_of[logged],
        proposals=_by_group(group_of, each, groups),
        direct=direct,
        unsupported=(
            float(target[impossible].sum() / max(target.sum(), TARGET_SHARE))
            if all_pairs_there
            else float("nan")
        ),
    )


def _column(frame: pd.DataFrame, name: str) -> Floats:
    if name not in frame.columns:
        raise InvalidInput(name, "must be a column of the frame")
    return frame[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _check_probabilities(propensity: Floats, target: Floats) -> None:
    if not ((propensity > 0) & (propensity <= 1)).all():
        raise InvalidInput("propensity", "must be above 0 and at most 1 where it was proposed")
    if not ((target >= 0) & (target <= 1)).all():
        raise InvalidInput("target_propensity", "must be between 0 and 1")


def _choose(estimators: Sequence[str] | None, log: _Log) -> tuple[str, ...]:
    if estimators is None:
        skipped = NEEDS_PREDICTIONS if log.predictions is None else ()
        return tuple(name for name in ESTIMATORS if name not in skipped)
    for name in estimators:
        if name not in ESTIMATORS:
            raise InvalidInput("estimators", f"must be of {', '.join(ESTIMATORS)}")
        if name in NEEDS_PREDICTIONS and log.predictions is None:
            raise InvalidInput("prediction", "must be a column for doubly robust estimates")
    return tuple(estimators)


def _overlap(log: _Log) -> Overlap:
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


def _refuse_low_support(log: _Log, overlap: Overlap, support: Support) -> None:
    share = overlap.effective_rows / overlap.rows
    seen = _by_group(log.group_of, log.weights, overlap.groups)
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
    if reason is not None:
        raise SupportTooLow(reason, overlap)


def _sums(name: str, log: _Log, switch_at: float) -> tuple[Floats, Floats]:
    """Give numerator and denominator of an estimator for each group."""

    def by_group(values: Floats) -> Floats:
        return _by_group(log.group_of, values, log.proposals.size)

    if name == "ips":
        return by_group(log.weights * log.rewards), log.proposals
    if name == "snips":
        return by_group(log.weights * log.rewards), by_group(log.weights)
    assert log.predictions is not None  # noqa: S101 -- chosen only with predictions
    assert log.direct is not None  # noqa: S101
    trusted = log.weights if name == "dr" else log.weights * (log.weights <= switch_at)
    return log.direct + by_group(trusted * (log.rewards - log.predictions)), log.proposals


def _by_group(group_of: Integers, values: Floats, groups: int) -> Floats:
    return np.bincount(group_of, weights=values, minlength=groups).astype(np.float64)


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
