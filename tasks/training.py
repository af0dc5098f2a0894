"""Steps of the retrain."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.logging import get_run_logger
from pydantic import SecretStr

from matching import features, insisting, refit
from matching import training as learning
from matching.evidence import Limits
from matching.handback import weights_document
from matching.insisting import RulePrice
from matching.model import Model
from matching.refit import RefitDifference
from matching.training import Retraining
from matching.versions import Recorded
from schemas.clock import MICROS_PER_DAY, moment
from schemas.errors import LeaseLost, NotRegistered
from tasks.opening import opened
from tasks.policies import compute_task, io_task
from warehouse import clock_witness, decisions, lineage, shadow_prices, training, weights
from warehouse.clock_witness import ClockJumped
from warehouse.engine import connect, reading
from warehouse.keyfile import has_ring
from warehouse.leases import Lease
from warehouse.training import TrainingSet
from warehouse.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from matching.registry import Registry


@io_task
def read(url: SecretStr, since_day: int, now: int, most: int) -> TrainingSet:
    """Read the proposals that the model may learn from: of too many, the newest days."""
    return training.read_training(connect(url), since_day=since_day, as_of=moment(now), most=most)


@io_task
def begin(url: SecretStr, registry: Registry, lease: Lease, now: int) -> str | None:
    """Make the matcher's own score champion where there is none, as `smartmatch init` does.

    Before that, name in the registry what a run published that did not come to naming it.

    Returns:
        The version that was published, or None where that was done already.
    """
    from matching.registry import CHAMPION  # imports MLflow, which takes seconds

    with opened(url) as engine:
        registry.follow(partial(weights.aliases, engine))
        told = weights.aliases(engine).get(CHAMPION)
    champion = next(
        (entry.version for entry in registry.versions() if CHAMPION in entry.aliases), None
    )
    if champion is None:
        with opened(url) as engine:
            lease.renew(engine)  # whoever was overtaken registers none beside the other's
        return publish.fn(url, registry, lease, registry.register_first(), now)
    return None if champion == told else publish.fn(url, registry, lease, champion, now)


@io_task
def step_back(url: SecretStr, registry: Registry, lease: Lease, now: int) -> str | None:
    """Take a champion out of use from whom somebody has left, and publish the one before.

    One whose retrain was killed before it kept the books is taken out as well.
    """
    from matching import disposal  # imports MLflow, which takes seconds

    learned = _learned(registry)
    with opened(url) as engine:
        lease.renew(engine)  # whoever was overtaken registers nothing beside the other's
    with opened(url) as engine, reading(engine) as connection:
        without_ground = lineage.marked(connection) | lineage.unbooked(connection, learned)
        published = weights.published(connection)
    version = disposal.earlier(registry, without_ground, published)
    if version is not None:
        publish.fn(url, registry, lease, version, now)
    return version


@io_task
def dispose(
    url: SecretStr, registry: Registry, lease: Lease, kept_days: int, now: int
) -> str | None:
    """Delete for good the versions that somebody has left, without books, and past their time.

    With them goes what retrains left that were stopped before they had a version.

    Returns:
        Why none was deleted by its age, where the clock is not believed; None where it is.
    """
    from matching import disposal  # imports MLflow, which takes seconds

    # Listed before the fence is looked at: what another retrain registers is not among them.
    learned, abandoned = _learned(registry), disposal.abandoned(registry)
    with opened(url) as engine:
        doubt = _doubt(engine, now)
        kept_since = now - kept_days * MICROS_PER_DAY if doubt is None else 0
        named, all_booked = training.condemn(engine, lease, learned, before=kept_since)
        registry.follow(partial(weights.aliases, engine))
        disposal.dispose(registry, named, abandoned)
        training.note_disposal(engine, lease, named, moment(now), all_booked=all_booked)
    return doubt


def _doubt(engine: Engine, now: int) -> str | None:
    try:
        clock_witness.check_clock(engine, now)
    except ClockJumped as jumped:
        doubt = f"No version was deleted by its age: {jumped}"
        get_run_logger().warning(doubt)
        return doubt
    return None


def _learned(registry: Registry) -> list[str]:
    return [entry.version for entry in registry.versions() if entry.learned]


@contextmanager
def _unless_overtaken(registry: Registry, version: str) -> Iterator[None]:
    """Delete a version again that this run registered and another run left no use for."""
    from matching import disposal  # imports MLflow, which takes seconds

    try:
        yield
    except LeaseLost:
        disposal.dispose(registry, [version])
        raise


@io_task
def read_champion(url: SecretStr, registry: Registry) -> tuple[Model, str]:
    """Load the version whose weights are published, and its number.

    Where the registry does not have it, that is the champion by name.
    """
    with opened(url) as engine:
        published = weights.newest(engine)
    if published is not None:
        with suppress(NotRegistered):
            return registry.load(published.version)
    return registry.champion()


@compute_task
def fit(rows: TrainingSet, champion: Model, seed: int, smallest: int) -> Retraining:
    """Fit the candidates, choose one and let the gate judge it."""
    limits = Limits(min_people=max(Limits.min_people, smallest))
    told = features.without_rare(rows.frame, smallest)
    return learning.retrain(told, champion, seed=seed, limits=limits)


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
    registry: Registry,
    keys: Path,
    lease: Lease,
    recorded: Recorded,
    rows: TrainingSet,
    reason: str,
) -> int:
    """Keep what the version learned from; return how many of them have left meanwhile."""
    with _unless_overtaken(registry, recorded.version):
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
def publish(url: SecretStr, registry: Registry, lease: Lease, version: str, now: int) -> str:
    """Publish a version's weights, by which it comes into use, and name it in the registry.

    The fence is looked at by the transaction that publishes. The names follow whatever was
    published last, so that a run which was overtaken in between names the other run's version.

    Returns:
        The version; where somebody has left it meanwhile, the one that stays in use.
    """
    document = weights_document(*registry.load(version))
    with opened(url) as engine:
        used = training.publish_weights(engine, version, document, at=moment(now), lease=lease)
        registry.follow(partial(weights.aliases, engine))
        newest = None if used else weights.newest(engine)
    return newest.version if newest else version


@compute_task
def price_constraints(rows: TrainingSet, champion: Model, smallest: int) -> list[RulePrice]:
    """Price what insisting on each constraint would cost."""
    return insisting.price_constraints(rows.frame, champion, smallest=smallest)


@io_task
def keep_prices(  # noqa: PLR0917
    url: SecretStr,
    lease: Lease,
    found: list[RulePrice],
    version: str,
    now: int,
    rows: TrainingSet,
) -> None:
    """Keep the prices in the place of the earlier ones, unless somebody of them has left."""
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
    people = set(rows.frame["subject"].tolist())
    shadow_prices.keep(connect(url), prices, version, moment(now), lease=lease, people=people)


@io_task
def count_decisions(url: SecretStr) -> int:
    """Count the decisions that there are before the training set is read."""
    return decisions.count(connect(url))


@io_task
def answer_requests(url: SecretStr, began: int, now: int, counted: int) -> int:
    """Note that whatever asked for a retrain before this one began has been answered."""
    decisions.note_learned(connect(url), counted)
    return training.answer_requests(connect(url), asked_until=moment(began), now=moment(now))
