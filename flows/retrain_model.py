"""Learn from what people decided, and promote only what is shown to be better."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from matching.refit import RefitDiffers
from matching.retrain_report import refusal_report, retrain_report
from schemas.clock import day_number, micros
from schemas.settings import Settings
from tasks import opening, training, validation
from warehouse.engine import connect
from warehouse.leases import lease
from warehouse.validations import directory

TrainingDays = Annotated[int | None, Field(ge=1, le=395)]


@dataclass(frozen=True)
class Retrained:
    """What a retrain came to.

    Attributes:
        promoted: Whether there is a new champion.
        version: The champion's version, new or old.
        candidate: Version of the candidate; None where none was made.
        decisions: Number of decisions learned from.
        sentence: Why, for a person.
        doubt: Why no version was deleted by its age, where the clock is days ahead of the last
            purge and is not believed; None where it is.
    """

    promoted: bool
    version: str
    candidate: str | None
    decisions: int
    sentence: str
    doubt: str | None


@flow(name="retrain-model")
def retrain_model(training_days: TrainingDays = None) -> Retrained:
    """Fit candidates on the consented decisions, and promote the best if the gate allows.

    Every outcome is an MLflow run with its evidence; a refusal is one like a promotion. Where no
    version is champion, the matcher's own score becomes the first. Safe to run again after a
    failure at any step.

    Args:
        training_days: Age of the oldest proposal to learn from, 1 to 395 days; as in the settings
            when empty. Of more proposals than ``SMARTMATCH_TRAINING_PROPOSALS`` the newest days
            are read.

    Returns:
        Whether there is a new champion, and why.

    Raises:
        LeaseHeld: Another retrain is at work.
        LeaseLost: This run was silent for so long that another one took over.
        RefitDiffers: Learning step by step came to something else than learning everything at
            once. What was registered is the latter, and stands.
    """
    settings = Settings()
    opening.follow_witness(settings.url, settings.keys)
    now = datetime.now(UTC)
    kept_days = settings.superseded_model_days
    registry = opening.registry_of(settings)

    since = day_number(now) - (training_days or settings.training_days)

    with lease(connect(settings.url), "retrain_model", settings.lease_seconds) as held:
        training.begin(settings.url, registry, held, micros(now))
        training.step_back(settings.url, registry, held, micros(now))
        champion, version = training.read_champion(settings.url, registry)
        counted = training.count_decisions(settings.url)
        rows = training.read(settings.url, since, micros(now), settings.training_proposals)
        with validation.noting_unusable(directory(settings), micros(now)):
            judged = validation.judge(rows)
        validation.record(directory(settings), micros(now), judged.checked)
        over_time = f"\n\n[Validation over time]({settings.validation_page})"
        reason = judged.reason
        if reason is not None:
            training.register_refusal(registry, reason, rows)
            # Those of before may count somebody who left.
            training.keep_prices(settings.url, held, [], version, micros(now), rows)
            doubt = training.dispose(settings.url, registry, held, kept_days, micros(now))
            training.answer_requests(settings.url, micros(now), micros(datetime.now(UTC)), counted)
            _show(refusal_report(reason, rows.decided, version) + over_time, doubt)
            return Retrained(False, version, None, rows.decided, reason, doubt)  # noqa: FBT003
        found = training.fit(rows, champion, settings.seed, settings.smallest_group)
        refit = training.compare_refit(rows, champion, found)
        recorded = training.register(settings.url, held, registry, found, rows, refit)
        sentence = found.verdict.sentence
        left = training.keep_books(
            settings.url, registry, settings.keys, held, recorded, rows, sentence
        )
        if left:
            sentence = f"Not used: {left} of those it learned from left meanwhile. {sentence}"
            recorded = replace(recorded, promoted=False, champion_version=version)
        published = training.publish(
            settings.url, registry, held, recorded.champion_version, micros(now)
        )
        if published != recorded.champion_version:
            sentence = f"Not used: somebody it learned from has left meanwhile. {sentence}"
            recorded = replace(recorded, promoted=False, champion_version=published)
        serving, _ = training.read_champion(settings.url, registry)
        # Rows of somebody who left meanwhile price nothing.
        prices = [] if left else training.price_constraints(rows, serving, settings.smallest_group)
        training.keep_prices(settings.url, held, prices, published, micros(now), rows)
        doubt = training.dispose(settings.url, registry, held, kept_days, micros(now))
        training.answer_requests(settings.url, micros(now), micros(datetime.now(UTC)), counted)

    page = settings.version_page(recorded.version)
    report = retrain_report(found, recorded, refit, page)
    _show(report + over_time, doubt)
    if refit is not None and not refit.within:
        raise RefitDiffers(refit.sentence)
    return Retrained(recorded.promoted, published, recorded.version, rows.decided, sentence, doubt)


def _show(report: str, doubt: str | None) -> None:
    create_markdown_artifact(
        key="retrain",
        description="Promoted or refused, with the gate's plot and each of its checks",
        markdown=f"{report}\n\n{doubt}" if doubt else report,
    )


if __name__ == "__main__":
    retrain_model()
