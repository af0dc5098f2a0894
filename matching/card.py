"""The page that goes with a version: what it is, what it learned from, what it is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from matching.training import Retraining

DESCRIPTION_CHARACTERS = 4_900
"""MLflow keeps 5,000 characters of a version's description."""
_USE = """\
## Intended use

Ranks feasible pairs for an assignment: it says, before a match is proposed, how likely each
party is to accept it, and how satisfied they will be. It does not judge people, and is not to
decide alone on what somebody is denied."""
_LIMITS = """\
## Limits

* **Selection.** Only proposals that were made have an outcome. What the model says of pairs that
  nobody was ever proposed is an extrapolation; proposals made at random, with their probability
  on record, are what tells how good it is there.
* **Consent.** It knows those who agreed to improvement, who may differ from those who did not.
* **Time.** It holds as long as people and jobs are like those it learned from; drift is watched
  nightly.
* **Cause.** A weight says what goes with acceptance, not what brings it about."""
_CONSENT = """\
Only people whose consent to `improvement` stood when the rows were read; a person's own history
shapes features only with `preferences`. The consent digest is over who consented to what, so that
an erasure or a withdrawal can name the versions that are concerned."""


def as_description(card: str) -> str:
    """Return a card as a version's description: whole, or whole sections up to MLflow's limit."""
    if len(card) <= DESCRIPTION_CHARACTERS:
        return card
    kept = card[:DESCRIPTION_CHARACTERS].rpartition("\n## ")[0]
    return f"{kept}\n\nThe whole card is the artefact `model_card.md` of the run.\n"


def learned_from(found: Retraining) -> str:
    """Say how much a version learned from."""
    rounds = "1 round" if found.groups == 1 else f"{found.groups:,} rounds"
    return f"{found.training_rows:,} decisions of {rounds}"


def model_card(
    found: Retraining, *, training_digest: str, consent_digest: str, as_of: datetime
) -> str:
    """Write the model card of a retraining in Markdown.

    Args:
        found: The retraining.
        training_digest: Digest of the rows learned from.
        consent_digest: Digest of the consents that stood.
        as_of: Aware time of the reading.
    """
    checks = "\n".join(
        f"| {check.name} | {'yes' if check.passed else 'no'} | {check.sentence} |"
        for check in found.verdict.checks
    )
    weights = "\n".join(
        f"| {row.name} | {row.weight:.3f} | {row.lower:.3f} to {row.upper:.3f} | {row.first:.3f} |"
        for row in found.weights.table.itertuples(index=False)
    )
    tried = "\n".join(
        f"| {entry.name} | {entry.quality.log_loss:.4f} | {entry.quality.auc:.3f} |"
        f" {entry.quality.calibration_error:.3f} |"
        for entry in found.candidates
    )
    return f"""\
# SmartMatch acceptance model ({found.model.kind})

{found.verdict.sentence}

{_USE}

## Data and consent

{learned_from(found)}, read {as_of:%Y-%m-%d %H:%M} UTC.
Training digest `{training_digest}`, consent digest `{consent_digest}`, model digest
`{found.model.digest}`. Compared with champion `{found.champion_digest}`.

{_CONSENT}

{_LIMITS}

## Checks

| check | passed | evidence |
|---|---|---|
{checks}

## Candidates on held-out rounds

| candidate | log loss | AUC | calibration error |
|---|---|---|---|
{tried}

## Weights for a cost matrix

{100 * found.weights.moved:.0f} % of the weight is elsewhere than in version 1.

| constraint | weight | 95 % interval | version 1 |
|---|---|---|---|
{weights}
"""
