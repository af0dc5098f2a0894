"""Retraining: fit the candidates, choose one, let the gate judge it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from matching import couples, features, gate, memorisation
from matching.calibration import Quality, auc, quality, reliability
from matching.candidates import Candidate, Fitting, candidates
from matching.evaluation import canonical, forward, splits
from matching.evidence import Evidence, Limits, count, paired_gain
from matching.gate import Verdict
from matching.model import Model, first_champion, log_odds
from matching.weights import Weights, weights
from schemas.errors import InvalidInput, NotEnoughDecisions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from matching.model import Prior

    Floats = NDArray[np.float64]

NEEDED = ("match_key", "subject", "group", "occurred_at", "match_score", "accepted", "rating")
AUDIT_ROWS = 4_000
"""Rows of the audit at most: fewer rows are remembered better, so it errs to refuse."""
SIMPLER_WITHIN = 0.002
"""Nats a decision that a more complex candidate must gain to be preferred."""
ASSIGNED_ROWS = 50_000
"""Held-out rows whose rounds are assigned at most; the latest rounds are taken."""
TELLING_ROWS = 20_000
"""Held-out rows on which each constraint is looked at alone."""
WIDTH_SHARES = tuple(2 ** (-step / 2) for step in range(9))
"""How wide a candidate's priors may be, as a share of what the evidence chooses; tried in turn."""
BANDS = ((0.5, "low"), (0.75, "middle"), (np.inf, "high"))


@dataclass(frozen=True)
class Tried:
    """A candidate and what it was worth on rounds it had not seen."""

    name: str
    quality: Quality


@dataclass(frozen=True, eq=False)
class Retraining:
    """What a retraining found.

    Attributes:
        model: The chosen candidate, fitted on all decisions.
        candidates: All that were tried, with their quality on held-out rounds.
        verdict: Whether it may become champion, and why.
        metrics: Figures of candidate and champion on held-out decisions; none of too few people.
        slices: Slicing, label, rows, gain and z of every slice looked at.
        calibration: Reliability table of the candidate on held-out decisions, empty likewise.
        weights: Of the candidate, for a cost matrix.
        champion_digest: Digest of the champion it was compared with.
        training_rows: Decisions learned from.
        groups: Rounds learned from.
    """

    model: Model
    candidates: tuple[Tried, ...]
    verdict: Verdict
    metrics: dict[str, float]
    slices: pd.DataFrame
    calibration: pd.DataFrame
    weights: Weights
    champion_digest: str
    training_rows: int
    groups: int


def retrain(
    training: pd.DataFrame,
    champion: Model,
    *,
    seed: int,
    limits: Limits | None = None,
    offered: Sequence[Candidate] = (),
) -> Retraining:
    """Fit the candidates on all decisions, choose one, and judge it against the champion.

    Each candidate is a full fit that starts from version 1's belief. It is judged by what
    it would have predicted of each round that is new to the champion, had it been fitted
    just before.

    One thread: sums split over threads depend on their number in the last bits, and the
    matrices are small.

    Args:
        training: Proposals frame, in any order; rows without a decision are context.
        champion: The version in use.
        seed: For the trees' ties and the audit's halves.
        limits: What a promotion asks for.
        offered: Candidates to try instead of the usual ones.

    Raises:
        InvalidInput: A column is absent.
        NotEnoughDecisions: There is no decision, or only decisions of one kind.
    """
    for column in NEEDED:
        if column not in training.columns:
            raise InvalidInput(column, "must be a column of the training set")
    rows = canonical(training)
    if rows["accepted"].nunique() < 2:  # noqa: PLR2004 - accepted and rejected
        raise NotEnoughDecisions("a model needs accepted and rejected proposals to learn from")
    with threadpool_limits(limits=1):
        usual = offered or candidates(len(rows), seed=seed)
        return _retrain(rows, champion, usual, seed, limits or Limits())


def _retrain(
    rows: pd.DataFrame, champion: Model, offered: Sequence[Candidate], seed: int, limits: Limits
) -> Retraining:
    # The choice rests on the rows alone: the same rows give the same model, whoever is champion.
    steps = splits(rows, "")
    tried = list(zip(offered, forward(rows, steps, champion.prior, offered), strict=True))
    chosen, held_out = _choose(rows, tried)
    forgetful = _forgetful(rows, champion.prior, chosen, seed, limits)
    if forgetful.width_share < 1:
        chosen = forgetful.candidate
        (held_out,) = forward(rows, steps, champion.prior, (chosen,))
    record = None
    if chosen.refreshes and champion.kind == chosen.name:
        record = _beside(rows, held_out, first_champion(champion.prior))
    if champion.trained_until:
        new = splits(rows, champion.trained_until)
        (held_out,) = forward(rows, new, champion.prior, (chosen,))
    model = chosen.fit(Fitting(rows, champion.prior))
    evidence = _evidence(rows, champion, held_out)
    evidence = replace(evidence, record=record, membership=forgetful.membership)
    verdict = gate.judge(evidence, limits)
    return Retraining(
        model=model,
        candidates=tuple(
            Tried(candidate.name, _told_quality(rows, probability, limits))
            for candidate, probability in tried
        ),
        verdict=verdict,
        metrics=_metrics(evidence, limits) | {"width_share": forgetful.width_share},
        slices=pd.DataFrame(verdict.slices, columns=list(gate.Slice._fields)),
        calibration=_reliability(evidence, limits),
        weights=weights(model),
        champion_digest=champion.digest,
        training_rows=len(rows),
        groups=int(rows["group"].nunique()),
    )


def _choose(rows: pd.DataFrame, tried: list[tuple[Candidate, Floats]]) -> tuple[Candidate, Floats]:
    """Take the best on held-out rounds; a complex one must be better by a margin."""

    def cost(entry: tuple[Candidate, Floats]) -> float:
        loss = _quality(rows, entry[1]).log_loss
        return (0.0 if np.isnan(loss) else round(loss, 9)) + SIMPLER_WITHIN * entry[0].complexity

    return min(tried, key=cost)


def _quality(rows: pd.DataFrame, probability: Floats) -> Quality:
    held = ~np.isnan(probability)
    return quality(rows["accepted"].to_numpy(dtype="float64")[held], probability[held])


def _told_quality(rows: pd.DataFrame, probability: Floats, limits: Limits) -> Quality:
    """Say what a candidate was worth; of too few people there is no figure."""
    people = rows["subject"][~np.isnan(probability)].nunique()
    return _quality(rows, probability if people >= limits.min_people else probability * np.nan)


def _evidence(rows: pd.DataFrame, champion: Model, held_out: Floats) -> Evidence:
    held = ~np.isnan(held_out)
    judged = rows[held].reset_index(drop=True)
    compared = _beside(rows, held_out, champion)
    won, lost = _assignments(judged, compared.champion, compared.candidate)
    return replace(
        compared,
        slices=_slices(rows, held),
        telling=_telling(judged),
        matches_lost=lost,
        matches_won=won,
    )


def _beside(rows: pd.DataFrame, held_out: Floats, champion: Model) -> Evidence:
    """Put what was predicted of held-out rows beside what another model says of them."""
    held = ~np.isnan(held_out)
    judged = rows[held].reset_index(drop=True)
    person, partner = _parties(judged)
    return Evidence(
        accepted=judged["accepted"].to_numpy(dtype="float64"),
        champion=expit(log_odds(champion, judged)),
        candidate=held_out[held],
        person=person,
        partner=partner,
        round=np.asarray(pd.factorize(judged["group"])[0], dtype="int64"),
        trained=champion.trained_rows > 0,
    )


def _parties(rows: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Code who decides and about whom; an unknown partner is somebody of their own."""
    person = np.asarray(pd.factorize(rows["subject"])[0], dtype="int64")
    other = features.People.of(rows).other
    alone = len(rows) + np.arange(len(rows))
    partner = np.where(other >= 0, person[other], alone)
    return person, np.asarray(pd.factorize(partner)[0], dtype="int64")


def _assignments(judged: pd.DataFrame, champion: Floats, candidate: Floats) -> tuple[int, int]:
    """Count mutual matches that one model's assignment makes and the other's does not.

    Only pairs that were proposed have an outcome, so only they can be assigned. The latest
    rounds are looked at, up to ``ASSIGNED_ROWS``.
    """
    won = lost = 0
    accepted = judged["accepted"].to_numpy(dtype="float64")
    rounds = judged.groupby("group", sort=True).indices
    taken = 0
    for places in reversed(list(rounds.values())):
        taken += len(places)
        if taken > ASSIGNED_ROWS and taken > len(places):
            break
        matches = couples.Couples.of(judged.iloc[places])
        both = couples.mutual(matches, accepted[places]) > 0
        old, new = (
            couples.choose(matches, couples.mutual(matches, probability[places]))
            for probability in (champion, candidate)
        )
        won += int((both & new & ~old).sum())
        lost += int((both & old & ~new).sum())
    return won, lost


def _slices(rows: pd.DataFrame, held: NDArray[np.bool_]) -> dict[str, pd.Categorical[str]]:
    """Label the held-out rows by side, proposing version, satisfaction and acquaintance."""
    judged = rows[held]
    side = features.values(judged, features.SIDE)
    sided = np.select([np.isnan(side), side > 0], [0, 2], 1)
    labels: dict[str, pd.Categorical[str]] = {"side": _coded(sided, ["", "0", "1"])}
    if "model_version" in rows.columns:
        version = judged["model_version"].fillna("").astype(str)
        labels["model version"] = pd.Categorical(version.where(version != "", "matcher"))
    begun = rows.groupby("subject")["group"].transform("min")
    labels["person"] = _coded((begun != rows["group"])[held], ["new", "known"])
    for name in features.constraint_names(rows):
        # A platform may call a constraint as we call a slicing.
        free = name if name not in labels else f"constraint {name}"
        labels[free] = _bands(features.values(judged, features.CONSTRAINT + name))
    return labels


def _telling(judged: pd.DataFrame) -> dict[str, float]:
    """See how well each constraint alone tells what was decided; AUC, one half or more."""
    taken = judged.iloc[:: -(-len(judged) // TELLING_ROWS) or 1]
    accepted = taken["accepted"].to_numpy(dtype="float64")
    found = {}
    for name in features.constraint_names(taken):
        value = features.values(taken, features.CONSTRAINT + name)
        there = ~np.isnan(value)
        found[name] = abs(auc(accepted[there], value[there]) - 0.5) + 0.5
    return {name: value for name, value in found.items() if not np.isnan(value)}


def _bands(value: Floats) -> pd.Categorical[str]:
    band = np.select([value < edge for edge, _ in BANDS], range(len(BANDS)), len(BANDS))
    return _coded(band, [*(label for _, label in BANDS), "missing"])


def _coded(codes: ArrayLike, names: list[str]) -> pd.Categorical[str]:
    """Label rows by a name's number: as texts they would take thirty times the memory."""
    return pd.Categorical.from_codes(np.asarray(codes, dtype="int8"), pd.Index(names))


class _Forgetful(NamedTuple):
    """A candidate as wide as the audit lets through; as it was where the audit lets none."""

    candidate: Candidate
    width_share: float
    membership: memorisation.Membership | None


def _forgetful(
    rows: pd.DataFrame, prior: Prior, chosen: Candidate, seed: int, limits: Limits
) -> _Forgetful:
    as_it_was = None
    for share in WIDTH_SHARES:
        narrowed = chosen.narrowed(share)
        found = _Forgetful(narrowed, share, _audit(rows, prior, narrowed, seed))
        as_it_was = as_it_was or found
        if found.membership is None:
            break
        if all(check.passed for check in gate.forgets(found.membership, limits)):
            return found
    return as_it_was or found


def _audit(
    rows: pd.DataFrame, prior: Prior, chosen: Candidate, seed: int
) -> memorisation.Membership | None:
    taken = rows.iloc[:: -(-len(rows) // AUDIT_ROWS)]
    if taken["subject"].nunique() < 2:  # noqa: PLR2004 - there is nobody to tell a person from
        return None

    def predict(mask: NDArray[np.bool_]) -> Floats:
        model = chosen.fit(Fitting(taken[mask], prior))
        return np.asarray(expit(log_odds(model, taken)))

    person, _ = _parties(taken)
    accepted = taken["accepted"].to_numpy(dtype="float64")
    return memorisation.audit(predict, accepted, person, seed=seed)


def _reliability(evidence: Evidence, limits: Limits) -> pd.DataFrame:
    told = len(evidence.accepted) if count(evidence.person) >= limits.min_people else 0
    return reliability(evidence.accepted[:told], evidence.candidate[:told])


def _metrics(evidence: Evidence, limits: Limits) -> dict[str, float]:
    if count(evidence.person) < limits.min_people:
        return {}
    gain = paired_gain(evidence, limits)
    found = {"held_out_rows": float(len(evidence.accepted))}
    for name, probability in (("champion", evidence.champion), ("candidate", evidence.candidate)):
        worth = quality(evidence.accepted, probability)
        found |= {
            f"{name}_log_loss": worth.log_loss,
            f"{name}_auc": worth.auc,
            f"{name}_calibration_error": worth.calibration_error,
        }
    found |= {"gain": gain.mean, "gain_lower": gain.lower, "gain_upper": gain.upper}
    found |= {
        "matches_won": float(evidence.matches_won),
        "matches_lost": float(evidence.matches_lost),
    }
    if evidence.membership is not None:
        found |= {
            "membership_auc": evidence.membership.auc,
            "members_found": evidence.membership.found,
        }
    return found
