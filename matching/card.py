"""The page that goes with a version: what it is, what it learned from, what it is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from matching.training import Retraining

_SELECTION = """\
Only proposals that were made have an outcome. What the model says of pairs that nobody was
ever proposed is an extrapolation; proposals made at random, with their probability on
record, are what tells how good it is there."""


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

Predicts, before a match is proposed, whether each party will accept it, and how satisfied
they will be. It is meant to rank feasible pairs for an assignment, not to judge people.

## Learned from

{found.training_rows} decisions of {found.groups} rounds, read {as_of.isoformat()}.
Training digest `{training_digest}`, consent digest `{consent_digest}`, model digest
`{found.model.digest}`. Compared with champion `{found.champion_digest}`.

{_SELECTION}

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
