"""Learn from what people decided, and promote only what is shown to be better."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from matching.refit import RefitDiffers
from matching.registry import Registry
from matching.training import Retraining
from schemas.clock import day_number, micros
from schemas.settings import Settings
from tasks import training, validation
from warehouse.engine import connect
from warehouse.leases import lease


@dataclass(frozen=True)
class Retrained:
    """What a retrain came to.

    Attributes:
        promoted: Whether there is a new champion.
        version: The champion's version, new or old.
        candidate: Version of the candidate; None where none was made.
        decisions: Number of decisions learned from.
        sentence: Why, for a person.
    """

    promoted: bool
    version: str
    candidate: str | None
    decisions: int
    sentence: str


@flow(name="retrain-model")
def retrain_model() -> Retrained:
    """Fit candidates on the consented decisions, and promote the best if the gate allows.

    Every outcome is an MLflow run with its evidence; a refusal is one like a promotion. Safe to
    run again after a failure at any step.

    Returns:
        Whether there is a new champion, and why.

    Raises:
        NotRegistered: There is no champion; ``smartmatch init`` makes the first.
        LeaseHeld: Another retrain is at work.
        RefitDiffers: Learning step by step came to something else than learning everything at
            once. What was registered is the latter, and stands.
    """
    settings = Settings()
    now = datetime.now(UTC)
    registry = Registry(settings.tracking_uri, str(settings.artifacts), settings.model_name)

    with lease(connect(settings.url), "retrain_model", settings.lease_seconds):
        champion, version = training.read_champion(registry)
        rows = training.read(settings.url, day_number(now) - settings.training_days, micros(now))
        reason = validation.reason_not_to_learn(rows)
        if reason is not None:
            training.register_refusal(registry, reason, rows)
            training.answer_requests(settings.url, micros(now), micros(datetime.now(UTC)))
            return Retrained(False, version, None, rows.decided, reason)  # noqa: FBT003
        found = training.fit(rows, champion, settings.seed)
        refit = training.compare_refit(rows, champion, found)
        recorded = training.register(registry, found, rows, refit)
        sentence = found.verdict.sentence
        training.keep_books(settings.url, recorded, rows, sentence)
        published = training.publish(settings.url, registry, micros(now))
        serving, _ = training.read_champion(registry)
        prices = training.price_constraints(rows, serving, settings.smallest_group)
        training.keep_prices(settings.url, prices, published, micros(now))
        training.answer_requests(settings.url, micros(now), micros(datetime.now(UTC)))

    told = f"Nightly refit: {refit.sentence}." if refit else "Nightly refit: a single round."
    report = f"**{sentence}**\n\n{_evidence(found)}\n\n{told}"
    create_markdown_artifact(key="retrain", markdown=report)
    if refit is not None and not refit.within:
        raise RefitDiffers(refit.sentence)
    return Retrained(recorded.promoted, published, recorded.version, rows.decided, sentence)


def _evidence(found: Retraining) -> str:
    checks = "\n".join(
        f"| {check.name} | {'holds' if check.passed else 'fails'} | {check.sentence} |"
        for check in found.verdict.checks
    )
    tried = "\n".join(
        f"| {entry.name} | {entry.quality.log_loss:.4f} | {entry.quality.auc:.3f} |"
        for entry in found.candidates
    )
    return (
        f"| check | | what it says |\n|---|---|---|\n{checks}\n\n"
        f"| candidate | log loss on unseen rounds | AUC |\n|---|---|---|\n{tried}"
    )


if __name__ == "__main__":
    retrain_model()
