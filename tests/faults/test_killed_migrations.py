"""A migration that is killed under load has changed nothing, and runs again.

SIGKILL at every statement, while somebody goes on to write and to read.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import event, select
from sqlalchemy.exc import DatabaseError

from schemas.errors import NotReady
from schemas.tables import receipts
from tests.faults.breakpoints import Boundaries
from tests.faults.processes import Process, forked
from tests.unit.warehouse.test_migrations import differences, fill, held
from warehouse import migrations
from warehouse.engine import _begin_immediate, check_ready, connect, reading, writing
from warehouse.migrations import upgrade
from warehouse.revision import FIRST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine

    from tests.faults.conftest import Tally
    from tests.faults.worlds import Worlds

pytestmark = pytest.mark.promise("a killed migration recovers")

STATEMENTS = range(1, 60)
"""Numbers of statements; an upgrade that has fewer simply ends."""


def upgrade_and_die(url: SecretStr, at: int, mutant: str = "") -> None:
    """Upgrade a database, and be killed at a statement.

    Args:
        url: The database.
        at: Number of the statement; 0 for none.
        mutant: A planted fault: ``piecewise`` commits each statement by itself.
    """
    Boundaries(at, partial(os.kill, os.getpid(), signal.SIGKILL)).watch()
    if mutant == "piecewise":
        migrations.writing = _piecewise
    engine = connect(url)
    upgrade(engine)
    engine.dispose()


@contextmanager
def _piecewise(engine: Engine) -> Iterator[Connection]:
    # Without a BEGIN of ours SQLite commits by itself.
    event.remove(engine, "begin", _begin_immediate)
    with engine.connect() as connection:
        yield connection


class Load(threading.Thread):
    """Stores receipts, one a transaction, and reads, until it is stopped."""

    def __init__(self, url: SecretStr) -> None:
        super().__init__(daemon=True)
        self._engine = connect(url, busy_timeout_ms=30_000)
        self._stop_now = threading.Event()
        self.stored: set[bytes] = set()
        self.start()

    def run(self) -> None:
        for number in itertools.count():
            if self._stop_now.is_set():
                return
            event_id = number.to_bytes(16, "big")
            with writing(self._engine) as connection:
                connection.execute(receipts.insert().values(event_id=event_id, digest=bytes(16)))
            self.stored.add(event_id)
            # On SQLite nobody else gets in beside somebody who never pauses.
            time.sleep(0.002)

    def stop(self) -> str | None:
        """Stop, and return what is wrong with what was stored."""
        self._stop_now.set()
        self.join()
        with reading(self._engine) as connection:
            kept = set(connection.execute(select(receipts.c.event_id)).scalars())
        self._engine.dispose()
        return None if self.stored <= kept else "a row that was stored beside it is gone"


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
        load = Load(url)
        killed = Process(context, upgrade_and_die, url, at).wait() == -signal.SIGKILL
        lost = load.stop()
        if killed or lost:
            tally.count(lost or _recovers(url, at))
    copies.close()
    assert tally.trials > 0
    assert tally.failures == []


def _recovers(url: SecretStr, at: int) -> str | None:
    engine = connect(url)
    try:
        kept: dict[str, Any] = held(engine)
        try:
            upgrade(engine)
        except (NotReady, DatabaseError) as error:
            return f"killed at statement {at}: does not run again ({type(error).__name__})"
        if not all(kept.values()) or held(engine) != kept or differences(engine):
            return f"killed at statement {at}: rows or tables differ"
        check_ready(engine)
    finally:
        engine.dispose()
    return None


@pytest.mark.trials(short=6, full=len(STATEMENTS))
def test_migration_that_commits_each_statement_is_caught(
    tally: Tally, make_worlds: Callable[..., Worlds]
) -> None:
    context = forked("tests.faults.test_killed_migrations")
    copies = make_worlds("sqlite", first_schema, tables=False).copies()
    for at in range(len(STATEMENTS), 0, -len(STATEMENTS) // tally.planned):
        url = next(copies)
        killed = Process(context, upgrade_and_die, url, at, "piecewise").wait() == -signal.SIGKILL
        if killed and _recovers(url, at):
            tally.mutant_caught = True
            break
    copies.close()
    assert tally.mutant_caught
