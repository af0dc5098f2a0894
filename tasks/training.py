"""Steps of the retrain."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.logging import get_run_logger
from pydantic import SecretStr

from matching import insisting, refit
from matching import training as learning
from matching.evidence import Limits
from matching.handback import weights_document
from matching.insisting import RulePrice
from matching.model import Model
from matching.refit import RefitDifference
from matching.training import Retraining
from matching.versions import Recorded
from schemas.clock import MICROS_PER_DAY, moment
from tasks.opening import opened
from tasks.policies import compute_task, io_task
from warehouse import clock_witness, decisions, lineage, runs, shadow_prices, training
from warehouse.clock_witness import ClockJumped
from warehouse.engine import connect
from warehouse.keyfile import has_ring
from warehouse.leases import Lease
from warehouse.training import TrainingSet
from warehouse.witness import Witness

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from matching.registry import Registry


@io_task
def read(url: SecretStr, since_day: int, now: int, most: int) -> TrainingSet:
    """Read the proposals that the model may learn from: of too many, the newest days."""
    return training.read_training(connect(url), since_day=since_day, as_of=moment(now), most=most)


@io_task
def begin(url: SecretStr, registry: Registry, lease: Lease, now: int) -> str | None:
    """Make the matcher's own score champion where there is none, as `smartmatch init` does.

    Returns:
        The version that is champion now, or None where nothing was changed.
    """
    from matching.registry import CHAMPION  # imports MLflow, which takes seconds

    if any(CHAMPION in entry.aliases for entry in registry.versions()):
        return None
    registry.register_first_champion()
    return publish.fn(url, registry, lease, now)


@io_task
def step_back(url: SecretStr, registry: Registry, lease: Lease, now: int) -> str | None:
    """Take a champion out of use from whom somebody has left, and publish the one before.

    One whose retrain was killed before it kept the books is taken out as well.
    """
    from matching import disposal  # imports MLflow, which takes seconds

    with opened(url) as engine:
        lease.renew(engine)
        without_ground = lineage.marked(engine) | _unbooked(engine, registry)
        version = disposal.step_back(registry, without_ground)
    if version is not None:
        publish.fn(url, registry, lease, now)
    return version


@io_task
def dispose(
    url: SecretStr, registry: Registry, lease: Lease, kept_days: int, now: int
) -> str | None:
    """Delete for good the versions that somebody has left, without books, and past their time.

    Returns:
        Why none was deleted by its age, where the clock is not believed; None where it is.
    """
    from matching import disposal  # imports MLflow, which takes seconds

    with opened(url) as engine:
        lease.renew(engine)
        doubt = _doubt(engine, now)
        kept_since = now - kept_days * MICROS_PER_DAY if doubt is None else 0
        _, champion = registry.champion()
        named = lineage.superseded(engine, champion=champion, before=kept_since)
        unbooked = _unbooked(engine, registry)
        named += sorted(unbooked - {champion})
        disposal.dispose(registry, named)
        training.note_disposal(
            engine, lease, named, moment(now), all_booked=champion not in unbooked
        )
    return doubt


def _doubt(engine: Engine, now: int) -> str | None:
    try:
        clock_witness.check_clock(engine, now)
    except ClockJumped as jumped:
        doubt = f"No version was deleted by its age: {jumped}"
        get_run_logger().warning(doubt)
        return doubt
    return None


def _unbooked(engine: Engine, registry: Registry) -> set[str]:
    return lineage.unbooked(
        engine, [entry.version for entry in registry.versions() if entry.learned]
    )


@io_task
def read_champion(registry: Registry) -> tuple[Model, str]:
    """Load the champion and its version."""
    return registry.champion()


@compute_task
def fit(rows: TrainingSet, champion: Model, seed: int, smallest: int) -> Retraining:
    """Fit the candidates, choose one and let the gate judge it."""
    limits = Limits(min_people=max(Limits.min_people, smallest))
    return learning.retrain(rows.frame, champion, seed=seed, limits=limits)


@compute_task
def compare_refit(rows: TrainingSet, champion: Model, found: Retraining) -> RefitDifference | None:
    """Hold learning step by step against learning everything at once."""
    return refit.compare_refit(rows.frame, champion, found.model)


@io_task
def register(  # noqa: PLR0917
    url: SecretStr,
    lease: Lease,
    registry: Registry,
    found: Retraining,
    rows: TrainingSet,
    refit: RefitDifference | None,
) -> Recorded:
    """Register the candidate; it comes into use when the books are kept."""
    training.expect_version(connect(url), lease)
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
def keep_books(  # noqa: PLR0917
    url: SecretStr,
    keys: Path,
    lease: Lease,
    recorded: Recorded,
    rows: TrainingSet,
    reason: str,
) -> int:
    """Keep what the version learned from; return how many of them have left meanwhile."""
    return training.record_training(
        connect(url),
        lease,
        recorded.version,
        rows,
        outcome="promoted" if recorded.promoted else "refused",
        reason=reason,
        now=datetime.now(UTC),
        witness=Witness(keys) if has_ring(keys) else None,
    )


@io_task
def introduce(url: SecretStr, lease: Lease, registry: Registry, recorded: Recorded) -> None:
    """Make the version champion where the gate allows, if nobody else has taken over."""
    lease.renew(connect(url))
    registry.introduce(recorded)


@io_task
def publish(url: SecretStr, registry: Registry, lease: Lease, now: int) -> str:
    """Publish the champion's weights, and return its version."""
    champion, version = registry.champion()
    document = weights_document(champion, version)
    training.publish_weights(connect(url), version, document, at=moment(now), lease=lease)
    return version


@compute_task
def price_constraints(rows: TrainingSet, champion: Model, smallest: int) -> list[RulePrice]:
    """Price what insisting on each constraint would cost."""
    return insisting.price_constraints(rows.frame, champion, smallest=smallest)


@io_task
def keep_prices(
    url: SecretStr, lease: Lease, found: list[RulePrice], version: str, now: int
) -> None:
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
    shadow_prices.keep(connect(url), prices, version, moment(now), lease=lease)


@io_task
def count_decisions(url: SecretStr) -> int:
    """Count the decisions that there are before the training set is read."""
    return decisions.count(connect(url))


@io_task
def answer_requests(url: SecretStr, began: int, now: int, counted: int) -> int:
    """Note that whatever asked for a retrain before this one began has been answered."""
    decisions.note_learned(connect(url), counted)
    return runs.answer(connect(url), "retrain_model", asked_until=moment(began), now=moment(now))
