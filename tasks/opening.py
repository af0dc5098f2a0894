"""Connect for one step, so that a step can run in any process; and open a restored database."""

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


@contextmanager
def opened(url: SecretStr) -> Iterator[Engine]:
    """Yield an engine, and close its connections at the end."""
    engine = connect(url)
    widen_cache(engine)
    try:
        yield engine
    finally:
        engine.dispose()


@io_task
def follow_witness(url: SecretStr, keys: Path) -> int:
    """Forget again in a restored backup whom the witness knows to be erased."""
    with opened(url) as engine:
        return tombstones.catch_up(engine, keys)
