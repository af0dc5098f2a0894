"""Whether a candidate may become the champion.

The burden of proof lies with the candidate: every check must pass, on decisions that
neither it nor the champion has learned from. A refusal is an ordinary outcome and carries
the same evidence as a promotion.

Rows are not independent: one person makes many decisions, and two people see the same
partner. Intervals count people and rounds, not rows.

References:
    Cameron, Gelbach, Miller (2011). Robust inference with multiway clustering. Journal of
    Business & Economic Statistics 29(2), 238-249.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from matching.calibration import calibration_error, calibration_noise
from matching.logistic import log_loss

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        min_people: Fewest people who made them.
        few_rounds: From this number of rounds on they are counted as clusters too; fewer
            cannot say how much rounds differ.
        max_calibration_error: Largest calibration error beyond what chance explains.
        min_slice_rows: Smallest slice that is looked at.
        slice_error: Chance that any of the slices of an equally good model is called worse.
        max_membership_auc: Largest AUC of a membership attack.
        max_members_found: Largest share of members found at one false alarm in a hundred.
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


@dataclass(frozen=True)
class Gain:
    """How much less the candidate is surprised by a decision than the champion, in nats."""

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
    """

    accepted: Floats
    champion: Floats
    candidate: Floats
    person: Codes
    partner: Codes
    round: Codes
    slices: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    matches_lost: int = 0
    matches_won: int = 0
    membership: Membership | None = None

    @property
    def gain(self) -> Floats:
        """Gain of each row in nats."""
        return log_loss(self.accepted, self.champion) - log_loss(self.accepted, self.candidate)


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
    checks = (
        enough,
        _gains(evidence, limits),
        _assigns(evidence),
        _honest(evidence, limits),
        *_slices_hold(slices, limits),
        *_forgets(evidence, limits),
    )
    failed = [check for check in checks if not check.passed]
    reasons = "; ".join(check.sentence for check in failed)
    sentence = (
        f"Kept the champion: {reasons}."
        if failed
        else f"Promoted: {checks[1].sentence}; all other checks passed."
    )
    return Verdict(not failed, sentence, checks, slices)


def paired_gain(evidence: Evidence, limits: Limits) -> Gain:
    """Estimate the mean gain with an interval that counts people and rounds.

    The variance is clustered by the deciding person and by the partner, and by round too
    where there are enough of them; the widest interval is taken.
    """
    gain = evidence.gain
    mean = float(np.sort(gain).mean())
    rest = gain - mean
    people = _count(evidence.person)
    by_people = _clustered(rest, evidence.person) + _clustered(rest, evidence.partner)
    by_people = max(by_people - float((rest**2).sum()), _clustered(rest, evidence.person))
    tail = 0.5 + limits.confidence / 2
    margin = student.ppf(tail, max(people - 1, 1)) * np.sqrt(by_people) / len(gain)
    rounds = _count(evidence.round)
    if rounds >= limits.few_rounds:
        by_round = _clustered(rest, evidence.round)
        wide = student.ppf(tail, rounds - 1) * np.sqrt(by_round) / len(gain)
        margin = max(margin, wide)
    return Gain(mean, mean - float(margin), mean + float(margin))


def slice_gains(evidence: Evidence, limits: Limits) -> tuple[Slice, ...]:
    """Measure the gain of every slice with enough rows and people."""
    found = []
    gain = evidence.gain
    for name, labels in evidence.slices.items():
        for label in sorted(set(labels.tolist()) - {""}):
            inside = labels == label
            people = evidence.person[inside]
            if len(people) < limits.min_slice_rows or _count(people) < limits.min_people:
                continue
            part = gain[inside]
            mean = float(np.sort(part).mean())
            error = np.sqrt(_clustered(part - mean, people)) / len(part)
            z = mean / max(float(error), 1e-12)
            found.append(Slice(name, label, len(part), mean, z))
    return tuple(found)


def _enough(evidence: Evidence, limits: Limits) -> Check:
    decisions, people = len(evidence.accepted), _count(evidence.person)
    passed = decisions >= limits.min_decisions and people >= limits.min_people
    words = (
        f"{decisions} decisions of {people} people that neither model has learned from"
        f" ({limits.min_decisions} of {limits.min_people} are needed)"
    )
    return Check("enough evidence", passed, float(decisions), float(limits.min_decisions), words)


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


def _forgets(evidence: Evidence, limits: Limits) -> list[Check]:
    found = evidence.membership
    if found is None:
        return []
    sure = found.auc - norm.ppf(0.95) * found.auc_error
    known = found.auc > limits.max_membership_auc and sure > 0.5  # noqa: PLR2004 - guessing
    caught = found.found > limits.max_members_found and found.found_by_luck < 0.05  # noqa: PLR2004
    return [
        Check(
            "memorisation: attack",
            not known,
            found.auc,
            limits.max_membership_auc,
            f"an attacker tells learned-from people from others with AUC {found.auc:.3f}",
        ),
        Check(
            "memorisation: found",
            not caught,
            found.found,
            limits.max_members_found,
            f"an attacker finds {100 * found.found:.1f} % of them at 1 % false alarms",
        ),
    ]


def _count(codes: Codes) -> int:
    return int((np.bincount(codes) > 0).sum())


def _clustered(rest: Floats, cluster: Codes) -> float:
    """Variance of the sum of ``rest`` when rows of a cluster go together."""
    sums = np.bincount(cluster, rest)
    used = max(_count(cluster), 2)
    return float((np.sort(sums**2)).sum() * used / (used - 1))
