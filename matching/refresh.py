"""Whether the champion's own way of fitting may go on with more decisions.

A fit of everything is its predecessor updated by what came since: the prior shrinks what few
decisions say, so it is close to the champion, and what it gains over it is small. To show so
small a gain takes more new rounds than a platform has in months; meanwhile people would be
matched by a model that is known to have seen less. So a refresh is judged by

* its record: each round of the history predicted by a fit of the rounds before it. The paired
  interval of the gain over version 1 must lie above zero;
* the new rounds: there it must not be shown to be worse than the champion;
* surprise: the champion must not be more surprised by the new decisions than it expected to
  be. Swapped labels, another population or a change of taste would show; then the candidate
  has to prove its gain over the champion like any other.

References:
    Dawid, A. P. (1984). Statistical theory: the prequential approach. Journal of the Royal
    Statistical Society A 147(2), 278-292.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import entr

from matching.evidence import Check, clustered_mean, paired_gain
from matching.logistic import log_loss

if TYPE_CHECKING:
    from matching.evidence import Evidence, Limits


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
        _expected(evidence, limits),
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
    return Check("record", passed, gain.lower, 0.0, words)


def _not_worse(evidence: Evidence, limits: Limits) -> Check:
    gain = paired_gain(evidence, limits)
    passed = gain.upper >= 0
    told = "does not predict" if passed else "predicts"
    words = f"it {told} the new rounds worse than the champion ({gain.mean:+.4f} nats a decision)"
    return Check("not worse", passed, gain.upper, 0.0, words)


def _expected(evidence: Evidence, limits: Limits) -> Check:
    p = np.clip(evidence.champion, 1e-6, 1 - 1e-6)
    excess = log_loss(evidence.accepted, p) - entr(p) - entr(1 - p)
    found = clustered_mean(excess, evidence, limits)
    passed = found.lower <= limits.max_surprise
    told = "are" if passed else "are not"
    words = (
        f"the new decisions {told} what the champion expects"
        f" ({found.mean:+.3f} nats a decision more surprising than foreseen,"
        f" {limits.max_surprise:g} allowed beyond noise)"
    )
    return Check("surprise", passed, found.lower, limits.max_surprise, words)
