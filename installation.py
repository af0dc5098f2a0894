"""Set an installation up: the tables, the keys, the first champion."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import warehouse.setup
from schemas.errors import NotRegistered
from schemas.settings import DEMO_MARK, Settings
from warehouse import lineage, weights
from warehouse.engine import connect, reading
from warehouse.leases import lease

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from matching.registry import Registry
    from warehouse.leases import Lease


def set_up_database(settings: Settings | None = None) -> None:
    """Create the tables and the key file that are missing; what exists stays."""
    warehouse.setup.set_up_database(settings or Settings())


def set_up_model(settings: Settings | None = None) -> str:
    """Register the first champion unless there is one, publish its weights, and return its version.

    A registry that the demo made is emptied first, unless the database is the demo's too: a
    platform begins with its own matcher.
    """
    from matching.registry import CHAMPION, Registry  # imports MLflow, which takes seconds

    settings = settings or Settings()
    set_up_database(settings)
    settings.check_registry()
    if not settings.is_of_demo and (settings.mlruns / DEMO_MARK).exists():
        clear_registry(settings)
    settings.mlruns.mkdir(parents=True, exist_ok=True)
    registry = Registry(settings.tracking_uri, str(settings.artifacts), settings.model_name)
    engine = connect(settings.url)
    registry.follow(partial(weights.aliases, engine))
    version = registry.register_first_champion()
    if weights.aliases(engine).get(CHAMPION) != version:
        _publish(engine, registry, version)
    engine.dispose()
    return version


def _publish(engine: Engine, registry: Registry, version: str, held: Lease | None = None) -> None:
    """Publish a version's weights for the API to hand back, and make it champion by name.

    Raises:
        NotRegistered: Somebody whom it learned from has left meanwhile.
    """
    from matching.handback import weights_document
    from warehouse.training import publish_weights

    document = weights_document(*registry.load(version))
    if not publish_weights(engine, version, document, at=datetime.now(UTC), lease=held):
        raise NotRegistered("somebody has left this version meanwhile; retrain")
    registry.follow(partial(weights.aliases, engine))


def roll_back(settings: Settings) -> str:
    """Put the previous champion back, exactly; the one in use becomes the previous.

    Returns:
        Version of the champion now.

    Raises:
        LeaseHeld: A retrain is at work.
        NotRegistered: There is no previous champion.
    """
    from matching.registry import PREVIOUS, Registry  # imports MLflow, which takes seconds

    settings.check_registry()
    registry = Registry(settings.tracking_uri, str(settings.artifacts), settings.model_name)
    engine = connect(settings.url)
    with lease(engine, "retrain_model", settings.lease_seconds) as held:
        registry.follow(partial(weights.aliases, engine))
        _, version = registry.load(PREVIOUS)
        _publish(engine, registry, version, held)
    engine.dispose()
    return version


def step_back(settings: Settings) -> str | None:
    """Have the registry follow a database that was put back, and take out what cannot be in use.

    That is a champion of which the database has no books, and one that was deleted since.

    Returns:
        The version that is champion now, or None where nothing was changed.

    Raises:
        LeaseHeld: A retrain is at work.
        NotReady: The registry is a platform's, and the database the demo's.
    """
    if not settings.mlruns.exists():
        return None
    from matching import disposal  # imports MLflow, which takes seconds
    from matching.registry import Registry

    settings.check_registry()
    registry = Registry(settings.tracking_uri, str(settings.artifacts), settings.model_name)
    learned = [entry.version for entry in registry.versions() if entry.learned]
    engine = connect(settings.url)
    with lease(engine, "retrain_model", settings.lease_seconds) as held, suppress(NotRegistered):
        with reading(engine) as connection:
            unbooked = lineage.unbooked(connection, learned)
            published = weights.published(connection)
        before = _champion(registry)
        registry.follow(partial(weights.aliases, engine))
        version, champion = disposal.earlier(registry, unbooked, published), _champion(registry)
        if version is None and champion not in published[:1]:
            version = champion
        if version is not None:
            _publish(engine, registry, version, held)
            return version
        return champion if champion != before else None
    return None


def _champion(registry: Registry) -> str | None:
    from matching.registry import CHAMPION

    named = (entry.version for entry in registry.versions() if CHAMPION in entry.aliases)
    return next(named, None)


def clear_registry(settings: Settings) -> None:
    """Delete every run, model and artefact of the registry."""
    for entry in settings.mlruns.iterdir():
        if entry.name == ".gitkeep":
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
