"""Whether the champion's own way of fitting may go on with more decisions.

A fit of everything is its predecessor updated by what came since: the prior shrinks what few
decisions say, so it is close to the champion, and what it gains over it is small. To show so
small a gain takes more new rounds than a platform has in months; meanwhile people would be
matched by a model that is known to have seen less. So a refresh is judged by

* its record: each round of the history predicted by a fit of the rounds before it. The paired
  interval of the gain over version 1 must lie above zero;
* the new rounds: there it must not be shown to be worse than the champion;
* the champion's word: on the new decisions its log-odds must still mean what they say. The
  slope of a logistic fit on them is 1 where they do, 0 where decisions are drawn by lot,
  negative where labels are swapped, and far above 1 where a feature knows the decision. Where
  the slope is not shown to be near 1, the candidate has to prove its gain over the champion
  like any other, and new rounds are gathered for it.

References:
    Dawid, A. P. (1984). Statistical theory: the prequential approach. Journal of the Royal
    Statistical Society A 147(2), 278-292.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logit

from matching.calibration import calibration_slope
from matching.evidence import Check, clustered_mean, paired_gain

if TYPE_CHECKING:
    from matching.evidence import Evidence, Interval, Limits

RECORD = "record"
"""Name of the check that tells a refresh from a candidate which gains over the champion."""


def checks(evidence: Evidence, limits: Limits) -> tuple[Check, ...]:
    """Ask what a refresh has to answer.

    Args:
        evidence: Held-out decisions, with a record where the candidate is a refresh.
        limits: What a promotion asks for.

    Returns:
        The checks; none where the candidate is no refresh.
    """
    if evidence.record is None:
        return ()
    return (
        _record(evidence.record, limits),
        _not_worse(evidence, limits),
        _keeps_its_word(evidence, limits),
    )


def _record(record: Evidence, limits: Limits) -> Check:
    gain = paired_gain(record, limits)
    passed = gain.lower > 0
    told = "predicts" if passed else "is not shown to predict"
    words = (
        f"learning from all rounds so far {told} the next one better than the matcher's own score"
        f" (gain {gain.mean:.4f} nats a decision, {100 * limits.confidence:g} % interval"
        f" {gain.lower:.4f} to {gain.upper:.4f}), and the candidate goes on with newer decisions"
    )
    return Check(RECORD, passed, gain.lower, 0.0, words)


def _not_worse(evidence: Evidence, limits: Limits) -> Check:
    gain = paired_gain(evidence, limits)
    passed = gain.upper >= 0
    told = "does not predict" if passed else "predicts"
    words = f"it {told} the new rounds worse than the champion ({gain.mean:+.4f} nats a decision)"
    return Check("not worse", passed, gain.upper, 0.0, words)


def slope(evidence: Evidence, limits: Limits) -> Interval:
    """Estimate the slope of the decisions on the champion's log-odds, clustered like gains."""
    expected = logit(np.clip(evidence.champion, 1e-6, 1 - 1e-6))
    found, influence = calibration_slope(evidence.accepted, expected)
    return clustered_mean(found + len(influence) * influence, evidence, limits)


def _keeps_its_word(evidence: Evidence, limits: Limits) -> Check:
    found = slope(evidence, limits)
    near = found.lower > limits.min_slope
    passed = near and found.lower < limits.max_slope
    told = "follow" if passed else ("follow too well" if near else "are not shown to follow")
    words = (
        f"the new decisions {told} what the champion expects (slope {found.mean:.2f},"
        f" {100 * limits.confidence:g} % interval {found.lower:.2f} to {found.upper:.2f};"
        f" its lower end must lie between {limits.min_slope:g} and {limits.max_slope:g})"
    )
    bound = limits.max_slope if near else limits.min_slope
    return Check("champion's word", passed, found.lower, bound, words)
