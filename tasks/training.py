"""Steps of the retrain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from matching import insisting, refit
from matching import training as learning
from matching.handback import weights_document
from matching.insisting import RulePrice
from matching.model import Model
from matching.refit import RefitDifference
from matching.training import Retraining
from matching.versions import Recorded
from schemas.clock import moment
from tasks.opening import opened
from tasks.policies import compute_task, io_task
from warehouse import decisions, lineage, runs, shadow_prices, training
from warehouse.engine import connect
from warehouse.training import TrainingSet

if TYPE_CHECKING:
    from matching.registry import Registry


@io_task
def read(url: SecretStr, since_day: int, now: int) -> TrainingSet:
    """Read the proposals that the model may learn from."""
    return training.read_training(connect(url), since_day=since_day, as_of=moment(now))


@io_task
def step_back(url: SecretStr, registry: Registry, now: int) -> str | None:
    """Take a champion out of use from whom somebody has left, and publish the one before."""
    from matching import disposal  # imports MLflow, which takes seconds

    with opened(url) as engine:
        version = disposal.step_back(registry, lineage.marked(engine))
    if version is not None:
        publish.fn(url, registry, now)
    return version


@io_task
def dispose(url: SecretStr, registry: Registry, kept_since: int, now: int) -> list[str]:
    """Delete for good the versions that somebody has left, and those past their time."""
    from matching import disposal  # imports MLflow, which takes seconds

    with opened(url) as engine:
        _, champion = registry.champion()
        named = lineage.superseded(engine, champion=champion, before=kept_since)
        disposal.dispose(registry, named)
        training.note_disposal(engine, named, moment(now))
    return named


@io_task
def read_champion(registry: Registry) -> tuple[Model, str]:
    """Load the champion and its version."""
    return registry.champion()


@compute_task
def fit(rows: TrainingSet, champion: Model, seed: int) -> Retraining:
    """Fit the candidates, choose one and let the gate judge it."""
    return learning.retrain(rows.frame, champion, seed=seed)


@compute_task
def compare_refit(rows: TrainingSet, champion: Model, found: Retraining) -> RefitDifference | None:
    """Hold learning step by step against learning everything at once."""
    return refit.compare_refit(rows.frame, champion, found.model)


@io_task
def register(
    registry: Registry, found: Retraining, rows: TrainingSet, refit: RefitDifference | None
) -> Recorded:
    """Register the candidate, and make it champion where the gate allows."""
    return registry.record(
        found,
        training_digest=rows.digest,
        consent_digest=rows.consent_digest,
        as_of=rows.as_of,
        extra=refit.metrics() if refit else {},
    )


@io_task
def register_refusal(registry: Registry, reason: str, rows: TrainingSet) -> str:
    """Record why no candidate was made."""
    return registry.record_refusal(
        reason,
        training_digest=rows.digest,
        consent_digest=rows.consent_digest,
        as_of=rows.as_of,
    )


@io_task
def keep_books(url: SecretStr, recorded: Recorded, rows: TrainingSet, reason: str) -> None:
    """Keep what the version learned from."""
    training.record_training(
        connect(url),
        recorded.version,
        rows,
        outcome="promoted" if recorded.promoted else "refused",
        reason=reason,
    )


@io_task
def publish(url: SecretStr, registry: Registry, now: int) -> str:
    """Publish the champion's weights, and return its version."""
    champion, version = registry.champion()
    document = weights_document(champion, version)
    training.publish_weights(connect(url), version, document, at=moment(now))
    return version


@compute_task
def price_constraints(rows: TrainingSet, champion: Model, smallest: int) -> list[RulePrice]:
    """Price what insisting on each constraint would cost."""
    return insisting.price_constraints(rows.frame, champion, smallest=smallest)


@io_task
def keep_prices(url: SecretStr, found: list[RulePrice], version: str, now: int) -> None:
    """Keep the prices in the place of the earlier ones."""
    prices = [
        shadow_prices.Priced(
            facet=price.constraint,
            threshold=insisting.THRESHOLD,
            pairs=price.pairs,
            forbidden=price.forbidden,
            rounds=price.rounds,
            cost=price.cost,
            lower=price.lower,
            upper=price.upper,
        )
        for price in found
    ]
    shadow_prices.keep(connect(url), prices, version, moment(now))


@io_task
def count_decisions(url: SecretStr) -> int:
    """Count the decisions that there are before the training set is read."""
    return decisions.count(connect(url))


@io_task
def answer_requests(url: SecretStr, began: int, now: int, counted: int) -> int:
    """Note that whatever asked for a retrain before this one began has been answered."""
    decisions.note_learned(connect(url), counted)
    return runs.answer(connect(url), "retrain_model", asked_until=moment(began), now=moment(now))
