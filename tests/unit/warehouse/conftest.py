"""What several tests of the warehouse begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas.events import EventKind
from tests.population import answer, arrive, days_before, event, process

if TYPE_CHECKING:
    from sqlalchemy import Engine


@pytest.fixture
def people(engine: Engine) -> dict[str, int]:
    """Three with a proposal each, of whom ``c`` does not allow improvement."""
    known = {
        name: answer(engine, name, "analytics", *(["improvement"] if name != "c" else []))
        for name in "abc"
    }
    arrive(
        engine,
        [
            event(EventKind.PROPOSED, subject, number, occurred_at=days_before(3))
            for number, subject in enumerate(known.values(), 1)
        ],
    )
    process(engine)
    return known
