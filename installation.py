"""Set an installation up: the tables, the keys, the first champion."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import UTC, datetime

import warehouse.setup
from schemas.errors import NotRegistered
from schemas.settings import DEMO_MARK, Settings
from warehouse import lineage
from warehouse.engine import connect
from warehouse.leases import lease


def set_up_database(settings: Settings | None = None) -> None:
    """Create the tables and the key file that are missing; what exists stays."""
    warehouse.setup.set_up_database(settings or Settings())


def set_up_model(settings: Settings | None = None) -> str:
    """Register the first champion unless there is one, publish its weights, and return its version.

    A registry that the demo made is emptied first, unless the database is the demo's too: a
    platform begins with its own matcher.
    """
    from matching.registry import Registry  # imports MLflow, which takes seconds

    settings = settings or Settings()
    set_up_database(settings)
    settings.check_registry()
    if not settings.is_of_demo and (settings.mlruns / DEMO_MARK).exists():
        clear_registry(settings)
    settings.mlruns.mkdir(parents=True, exist_ok=True)
    registry = Registry(settings.tracking_uri, str(settings.artifacts), settings.model_name)
    registry.register_first_champion()
    return publish_champion(settings)


def publish_champion(settings: Settings) -> str:
    """Publish the champion's weights for the API to hand back, and return its version."""
    from matching.handback import weights_document
    from matching.registry import Registry  # imports MLflow, which takes seconds
    from warehouse.training import publish_weights

    registry = Registry(settings.tracking_uri, str(settings.artifacts), settings.model_name)
    champion, version = registry.champion()
    engine = connect(settings.url)
    publish_weights(engine, version, weights_document(champion, version), at=datetime.now(UTC))
    engine.dispose()
    return version


def step_back(settings: Settings) -> str | None:
    """Take a champion out of use of which a database that was put back has no books.

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
    with lease(engine, "retrain_model", settings.lease_seconds), suppress(NotRegistered):
        if disposal.step_back(registry, lineage.unbooked(engine, learned)) is not None:
            return publish_champion(settings)
    return None


def clear_registry(settings: Settings) -> None:
    """Delete every run, model and artefact of the registry."""
    for entry in settings.mlruns.iterdir():
        if entry.name == ".gitkeep":
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
