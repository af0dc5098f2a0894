"""A migration that is killed has changed nothing, and runs again: SIGKILL at every statement."""

from __future__ import annotations

import os
import random
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from tests.faults.breakpoints import Boundaries
from tests.faults.processes import Process, forked
from tests.unit.warehouse.test_migrations import differences, fill, held
from warehouse.engine import check_ready, connect
from warehouse.migrations import upgrade
from warehouse.revision import FIRST

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from tests.faults.conftest import Tally
    from tests.faults.worlds import Worlds

pytestmark = pytest.mark.promise("a killed migration recovers")

STATEMENTS = range(1, 60)
"""Numbers of statements; an upgrade that has fewer simply ends."""


def upgrade_and_die(url: SecretStr, at: int) -> None:
    """Upgrade a database, and be killed at a statement; 0 for none."""
    Boundaries(at, partial(os.kill, os.getpid(), signal.SIGKILL)).watch()
    engine = connect(url)
    upgrade(engine)
    engine.dispose()


def first_schema(engine: Engine) -> None:
    """Fill a database of the first schema."""
    upgrade(engine, FIRST)
    fill(engine)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.trials(short=4, full=len(STATEMENTS))
def test_database_is_as_before_and_the_next_upgrade_completes(
    kind: str, tally: Tally, make_worlds: Callable[..., Worlds]
) -> None:
    context = forked("tests.faults.test_killed_migrations")
    copies = make_worlds(kind, first_schema, tables=False).copies()
    for at in random.Random(kind).sample(STATEMENTS, tally.planned):
        url = next(copies)
        if Process(context, upgrade_and_die, url, at).wait() == -signal.SIGKILL:
            tally.count(_recovers(url, at))
    copies.close()
    assert tally.trials > 0
    assert tally.failures == []


def _recovers(url: SecretStr, at: int) -> str | None:
    engine = connect(url)
    try:
        kept: dict[str, Any] = held(engine)
        upgrade(engine)
        if not all(kept.values()) or held(engine) != kept or differences(engine):
            return f"killed at statement {at}: rows or tables differ"
        check_ready(engine)
    finally:
        engine.dispose()
    return None
