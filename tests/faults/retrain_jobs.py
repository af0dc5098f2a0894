"""What a retrain leaves, read in a process of its own: MLflow keeps its store's file open."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import select

import flows.retrain_model  # noqa: F401  # imports MLflow, which takes seconds
from installation import roll_back
from matching.registry import CHAMPION, PREVIOUS, Registry
from schemas.errors import NotRegistered
from schemas.tables import leases, published_weights, runs, shadow_prices, training_sets
from tests.faults import flow_jobs  # noqa: F401  # what is killed
from warehouse.engine import connect, reading
from warehouse.lineage import unbooked

_RUN = 32
"""Characters of a run's number, which its folder is called."""

if TYPE_CHECKING:
    from pathlib import Path

    from schemas.settings import Settings


def tell_left(settings: Settings, file: Path) -> None:
    """Write what counts of a retrain's end, whatever the versions' numbers, as JSON."""
    registry = Registry(settings.tracking_uri, str(settings.artifacts), settings.model_name)
    engine = connect(settings.url)
    champion, version = registry.champion()
    versions = registry.versions()
    learned = [entry.version for entry in versions if entry.learned]
    runs_on_disk = {path.name for path in settings.artifacts.glob("*") if len(path.name) == _RUN}
    newest = select(published_weights).order_by(published_weights.c.seq.desc()).limit(1)
    digest = select(training_sets.c.digest).where(training_sets.c.version == version)
    prices = select(shadow_prices).order_by(shadow_prices.c.facet)
    ended = select(leases.c.name, leases.c.finished_at.is_not(None)).order_by(leases.c.name)
    with reading(engine) as connection:
        weights = connection.execute(newest).mappings().one()
        found = {
            "champion": champion.digest,
            "previous": _digest(registry, PREVIOUS),
            "weights": str(weights["document"]).replace(f'"{version}"', f'"{CHAMPION}"'),
            "weights' version": weights["version"] == version,
            "prices": [list(row)[:-2] for row in connection.execute(prices)],
            "books": connection.execute(digest).scalars().all(),
            "unbooked": sorted(unbooked(connection, learned)),
            "without a version": sorted(runs_on_disk - {entry.run_id for entry in versions}),
            "requests": [
                list(row) for row in connection.execute(select(runs.c.flow, runs.c.state))
            ],
            "leases": [list(row) for row in connection.execute(ended)],
        }
    file.write_text(json.dumps(found))


def _digest(registry: Registry, alias: str) -> str | None:
    try:
        return registry.load(alias)[0].digest
    except NotRegistered:
        return None


def put_back(settings: Settings) -> None:
    """Make the previous champion champion again."""
    roll_back(settings)
