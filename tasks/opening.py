"""Open what a step works on: a connection of its own, the registry, a restored database."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from tasks.policies import io_task
from warehouse import tombstones
from warehouse.bulk import widen_cache
from warehouse.engine import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from matching.registry import Registry
    from schemas.settings import Settings


@contextmanager
def opened(url: SecretStr) -> Iterator[Engine]:
    """Yield an engine, and close its connections at the end."""
    engine = connect(url)
    widen_cache(engine)
    try:
        yield engine
    finally:
        engine.dispose()


def registry_of(settings: Settings) -> Registry:
    """Return the registry of an installation.

    Raises:
        NotReady: It is a platform's, and the database the demo's.
    """
    from matching.registry import Registry  # imports MLflow, which takes seconds

    settings.check_registry()
    return Registry(settings.tracking_uri, str(settings.artifacts), settings.model_name)


@io_task
def follow_witness(url: SecretStr, keys: Path) -> int:
    """Forget again in a restored backup whom the witness knows to be erased."""
    with opened(url) as engine:
        return tombstones.catch_up(engine, keys)
