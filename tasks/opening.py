"""Connect for one step, so that a step can run in any process."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from warehouse.bulk import widen_cache
from warehouse.engine import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr
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
