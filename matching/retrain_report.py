"""What a retrain came to, as a page that a person reads in the Prefect UI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matching.card import learned_from

if TYPE_CHECKING:
    from matching.refit import RefitDifference
    from matching.training import Retraining
    from matching.versions import Recorded


def retrain_report(
    found: Retraining, recorded: Recorded, refit: RefitDifference | None, page: str
) -> str:
    """Write the promotion or refusal in Markdown: sentence, plot, checks, candidates.

    Args:
        found: What was found.
        recorded: Its version.
        refit: How learning step by step compares; None after a single round.
        page: Address of the version in the MLflow UI.
    """
    # They draw with Matplotlib, which takes a second to load.
    from matching.figures import as_data_uri, gate_figure

    verdict = found.verdict
    told = f"Nightly refit: {refit.sentence}." if refit else "Nightly refit: a single round."
    outcome = "Promoted" if recorded.promoted else "Refused: the champion stays"
    return (
        f"## {outcome}\n\n**{verdict.sentence}**\n\n"
        f"Version [{recorded.version}]({page}), learned from {learned_from(found)}; the "
        f"champion is version {recorded.champion_version}.\n\n"
        f"![gain over the champion]({as_data_uri(gate_figure(found))})\n\n"
        f"{_checks(found)}\n\n{_candidates(found)}\n\n{told}"
    )


def refusal_report(reason: str, decided: int, version: str) -> str:
    """Write why nothing was learned at all."""
    return (
        f"## Nothing learned: the champion stays\n\n**{reason}**\n\n"
        f"{decided} decisions were read; the champion is version {version}."
    )


def _checks(found: Retraining) -> str:
    rows = "\n".join(
        f"| {check.name} | {'holds' if check.passed else 'fails'} | {check.sentence} |"
        for check in found.verdict.checks
    )
    return f"| check | | what it says |\n|---|---|---|\n{rows}"


def _candidates(found: Retraining) -> str:
    rows = "\n".join(
        f"| {entry.name} | {entry.quality.log_loss:.4f} | {entry.quality.auc:.3f} |"
        for entry in found.candidates
    )
    return f"| candidate | log loss on unseen rounds | AUC |\n|---|---|---|\n{rows}"
