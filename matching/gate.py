"""Whether a candidate may become the champion.

The burden of proof lies with the candidate: every check must pass, on decisions that
neither it nor the champion has learned from. A refusal is an ordinary outcome and carries
the same evidence as a promotion.

There are two ways to pass. A candidate that is shown to predict better than the champion
replaces it. One that is fitted as the champion was, from more decisions, may also replace it
as a refresh (``matching.refresh``): new rounds are few, so that what they add to the same
way of fitting would take months to be shown by itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import logit
from scipy.stats import norm

from matching import refresh
from matching.calibration import auc, calibration_error, calibration_noise
from matching.evidence import Check, clustered, clustered_mean, count, paired_gain
from matching.logistic import log_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from matching.evidence import Evidence, Interval, Limits
    from matching.memorisation import Membership

    Floats = NDArray[np.float64]


class Slice(NamedTuple):
    """Gain of one group of decisions, with its z value, clustered by person."""

    slicing: str
    label: str
    rows: int
    gain: float
    z: float


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a candidate.

    Attributes:
        promote: Whether every check passed.
        sentence: Why, in words that need no statistics.
        checks: The evidence.
        slices: Every slice that was looked at.
    """

    promote: bool
    sentence: str
    checks: tuple[Check, ...]
    slices: tuple[Slice, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Say the verdict in plain JSON; a value that does not exist is null."""
        checks = [asdict(check) for check in self.checks]
        for check in checks:
            for key in ("value", "bound"):
                check[key] = None if np.isnan(check[key]) else check[key]
        return {"promote": self.promote, "sentence": self.sentence, "checks": checks}


def judge(evidence: Evidence, limits: Limits) -> Verdict:
    """Ask all questions.

    Args:
        evidence: Held-out decisions; may be empty.
        limits: What a promotion asks for.
    """
    enough = _enough(evidence, limits)
    if not enough.passed:
        return Verdict(False, f"Kept the champion: {enough.sentence}", (enough,))  # noqa: FBT003
    slices = slice_gains(evidence, limits)
    gain = _gains(evidence, limits)
    refreshed = () if gain.passed else refresh.checks(evidence, limits)
    checks = (
        enough,
        *(refreshed or (gain,)),
        _assigns(evidence),
        _honest(evidence, limits),
        *_slices_hold(slices, limits),
        *forgets(evidence.membership, limits),
        *_agrees(evidence, limits),
        _credible(evidence, limits),
    )
    failed = [check for check in checks if not check.passed]
    reasons = "; ".join(check.sentence for check in failed)
    sentence = (
        f"Kept the champion: {reasons}."
        if failed
        else f"Promoted: {checks[1].sentence}; all other checks passed."
    )
    return Verdict(not failed, sentence, checks, slices)


def slice_gains(evidence: Evidence, limits: Limits) -> tuple[Slice, ...]:
    """Measure the gain of every slice with enough rows and people."""
    found = []
    gain = evidence.gain
    for name, labels in evidence.slices.items():
        for label in sorted(set(labels.categories) - {""}):
            inside = np.asarray(labels == label)
            people = evidence.person[inside]
            if len(people) < limits.min_slice_rows or count(people) < limits.min_people:
                continue
            part = gain[inside]
            mean = float(np.sort(part).mean())
            error = np.sqrt(clustered(part - mean, people)) / len(part)
            z = mean / max(float(error), 1e-12)
            found.append(Slice(name, label, len(part), mean, z))
    return tuple(found)


def _enough(evidence: Evidence, limits: Limits) -> Check:
    people, needed = count(evidence.person), float(limits.min_decisions)
    asked = f"({limits.min_decisions} of {limits.min_people} people are needed)"
    new = "people that neither model has learned from"
    if people < limits.min_people:
        # A number would tell how often one of a few has decided.
        words = f"decisions of fewer than {limits.min_people} {new} {asked}"
        return Check("enough evidence", False, np.nan, needed, words)  # noqa: FBT003
    decisions = len(evidence.accepted)
    words = f"{decisions} decisions of {people} {new} {asked}"
    return Check("enough evidence", decisions >= needed, float(decisions), needed, words)


def _gains(evidence: Evidence, limits: Limits) -> Check:
    gain = paired_gain(evidence, limits)
    passed = gain.lower > 0
    percent = (
        100 * gain.mean / max(float(log_loss(evidence.accepted, evidence.champion).mean()), 1e-9)
    )
    verb = "predicts" if passed else "is not shown to predict"
    words = (
        f"the candidate {verb} decisions better ({percent:+.1f} % surprise removed, gain"
        f" {gain.mean:.4f} nats a decision, {100 * limits.confidence:g} % interval"
        f" {gain.lower:.4f} to {gain.upper:.4f})"
    )
    return Check("gain", passed, gain.lower, 0.0, words)


def _assigns(evidence: Evidence) -> Check:
    won, lost = evidence.matches_won, evidence.matches_lost
    noise = float(norm.ppf(0.95) * np.sqrt(won + lost))
    words = f"its assignments win {won} mutual matches and lose {lost}"
    return Check("assignment", won - lost >= -noise, float(won - lost), -noise, words)


def _honest(evidence: Evidence, limits: Limits) -> Check:
    error = calibration_error(evidence.accepted, evidence.candidate)
    people = evidence.person
    rows = np.bincount(people)
    alike = float((rows**2).sum() / rows.sum())
    chance = calibration_noise(evidence.candidate) * np.sqrt(1 + 0.1 * (alike - 1))
    bound = limits.max_calibration_error + 2 * chance
    words = f"its probabilities are off by {100 * error:.1f} points ({100 * bound:.1f} allowed)"
    return Check("calibration", bool(error <= bound), error, float(bound), words)


def _agrees(evidence: Evidence, limits: Limits) -> list[Check]:
    """Ask whether decisions go along with what is predicted of them.

    A flatter model gains over a sharper one on decisions that were drawn by lot, so that the
    candidate must be shown to tell something. And decisions that are the opposite of what a
    trained champion expects are suspect: tastes drift, but do not turn round overnight.
    """
    told = _together(evidence.candidate, evidence, limits)
    passed = told.lower > 0
    words = f"decisions {'go' if passed else 'are not shown to go'} along with what it predicts"
    found = [Check("follows", passed, told.lower, 0.0, words)]
    if not evidence.trained:
        return found
    expected = _together(evidence.champion, evidence, limits)
    passed = expected.upper >= 0
    words = (
        "new decisions go along with what the champion expects"
        if passed
        else "new decisions are the opposite of what the champion expects; are labels swapped?"
    )
    return [*found, Check("labels", passed, expected.upper, 0.0, words)]


def _together(probability: Floats, evidence: Evidence, limits: Limits) -> Interval:
    """Estimate the covariance of decisions and predicted log-odds."""
    told = logit(np.clip(probability, 1e-6, 1 - 1e-6))
    both = (told - told.mean()) * (evidence.accepted - evidence.accepted.mean())
    return clustered_mean(both, evidence, limits)


def _credible(evidence: Evidence, limits: Limits) -> Check:
    reached = {"the candidate": auc(evidence.accepted, evidence.candidate)}
    reached |= {f"{name} alone": value for name, value in evidence.telling.items()}
    who = max(reached, key=lambda one: (reached[one] == reached[one], reached[one]))
    passed = not reached[who] > limits.max_auc
    words = f"{who} tells accepted from rejected with AUC {reached[who]:.3f}" + (
        "" if passed else ", which nobody can: some feature knows the decision"
    )
    return Check("too good", passed, reached[who], limits.max_auc, words)


def _slices_hold(slices: tuple[Slice, ...], limits: Limits) -> list[Check]:
    if not slices:
        return []
    bound = float(norm.ppf(limits.slice_error / len(slices)))
    worst = min(slices, key=lambda one: one.z)
    words = (
        f"no group of {len(slices)} fares worse beyond noise"
        if worst.z >= bound
        else f"{worst.slicing} {worst.label} fares worse"
        f" ({worst.rows} decisions, {worst.gain:.4f} nats)"
    )
    return [Check("slices", worst.z >= bound, worst.z, bound, words)]


def forgets(found: Membership | None, limits: Limits) -> list[Check]:
    """Hold an audit against its bounds; where there is none, or it came to no number, it fails."""
    if found is None:
        words = "nobody has tried whether it remembers whom it learned from"
        return [Check("memorisation", False, np.nan, np.nan, words)]  # noqa: FBT003
    return [
        Check(
            "memorisation: attack",
            found.auc <= limits.max_membership_auc,
            found.auc,
            limits.max_membership_auc,
            "an attacker tells decisions that were learned from from others with AUC"
            f" {found.auc:.3f} ({limits.max_membership_auc:g} allowed)",
        ),
        Check(
            "memorisation: found",
            found.found <= limits.max_members_found,
            found.found,
            limits.max_members_found,
            f"an attacker finds {100 * found.found:.1f} % of them at 1 % false alarms"
            f" ({100 * limits.max_members_found:g} % allowed)",
        ),
    ]
