"""Databases in the state before a flow, copied for each trial, and what a flow leaves in them."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import time
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from sqlalchemy import create_engine, func, select, update
from sqlalchemy.engine import make_url

from schemas.clock import MICROS_PER_DAY, moment
from schemas.tables import (
    block_sums,
    blocks,
    erasures,
    events,
    matches,
    purges,
    receipts,
    rejected,
    runs,
    staged,
    subjects,
)
from tests.histories import admit, consent, history, make_row, process, stage, tables
from warehouse.audit import balance
from warehouse.engine import connect, create_tables, reading, writing
from warehouse.erasure_requests import begin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

PEOPLE = 14
EVENTS = 240
REQUEST_ABOUT = 3
_RANDOM = random.Random(3)
LEAVER = _RANDOM.getrandbits(62)
"""Who has number 3 where nobody leaves: a search for it has to find nobody else."""

_numbers = itertools.count()


def now() -> int:
    """Return the time, microseconds since 1970."""
    return time.time_ns() // 1_000


def _staged(engine: Engine, *, days_ago: int = 1) -> None:
    """People, two of whom changed their mind; events, some of them broken.

    Those of yesterday are believed by a purge: it asks whether time was seen lately.
    """
    admit(engine, range(1, PEOPLE + 1))
    shift = now() - days_ago * MICROS_PER_DAY
    rows = history(11, length=EVENTS, subjects=PEOPLE, matches=40)
    newest = max(row["occurred_at"] for row in rows)
    for row in rows:
        row["occurred_at"] += shift - newest
        row["received_at"] = row["occurred_at"] + 1_000_000
    rows += [make_row("match_feedback", subject=2, figures={"rating": 9}) for _ in range(3)]
    stage(engine, rows[: EVENTS // 2])
    process(engine, as_of=now())
    stage(engine, rows[EVENTS // 2 :])
    consent(engine, 5, analytics=False)


def _processed(engine: Engine, *, days_ago: int = 1) -> None:
    _staged(engine, days_ago=days_ago)
    process(engine, as_of=now())
    with reading(engine) as connection:
        kept = connection.execute(select(func.count()).select_from(events)).scalar_one()
    assert kept > EVENTS // 2


def _finished(engine: Engine) -> None:
    """The same, of days that are over for good, so that they can be sealed."""
    _processed(engine, days_ago=30)


def _aged(engine: Engine) -> None:
    """The same, with events of three years ago, kept and rejected."""
    _processed(engine)
    long_ago = now() - 1_100 * MICROS_PER_DAY
    old = {"occurred_at": long_ago, "received_at": long_ago}
    stage(
        engine, [make_row("match_proposed", subject=1, match_key=n, **old) for n in range(90, 99)]
    )
    process(engine, as_of=long_ago)
    stage(engine, [make_row("match_feedback", subject=1, figures={"rating": 9}, **old)])
    process(engine, as_of=long_ago)


def _asked_to_erase(engine: Engine) -> None:
    """The same, and one of the people asked to be erased, with marks as random as real ones."""
    _processed(engine)
    with writing(engine) as connection:
        for table in (staged, rejected, events, matches, subjects):
            chosen = update(table).where(table.c.subject == REQUEST_ABOUT)
            connection.execute(chosen.values(subject=LEAVER))
        connection.execute(
            update(subjects)
            .where(subjects.c.subject == LEAVER)
            .values(pseudonym=_RANDOM.randbytes(32), ledger_id=_RANDOM.randbytes(16))
        )
    begin(engine, LEAVER, moment(now()))


STATES = {
    "process_events": _staged,
    "aggregate_metrics": _finished,
    "purge_expired": _aged,
    "erase_subject": _asked_to_erase,
}
"""The state before each flow."""


def arguments(engine: Engine, flow: str) -> tuple[str, ...]:
    """Return the arguments of a flow in its world."""
    if flow != "erase_subject":
        return ()
    with reading(engine) as connection:
        return (str(connection.execute(select(erasures.c.request)).scalar_one()),)


class Worlds:
    """Makes copies of a database in one state.

    Args:
        directory: Where SQLite's files lie; each copy is a file there.
        postgres: URL of a PostgreSQL server; SQLite when None.
        state: What fills the first database.
        tables: Whether it has its tables before that.
    """

    def __init__(
        self, directory: Path, postgres: str | None, state: Any, *, tables: bool = True
    ) -> None:
        self._directory = directory
        self._postgres = postgres
        self._name = f"world_{os.getpid()}_{next(_numbers)}"
        url = self._empty()
        engine = connect(url)
        if tables:
            create_tables(engine)
        state(engine)
        engine.dispose()

    def copies(self) -> Iterator[SecretStr]:
        """Yield the URL of a fresh copy again and again; each is gone with the next."""
        while True:
            name = f"{self._name}_{next(_numbers)}"
            if self._postgres is None:
                path = self._directory / name
                shutil.copy(self._directory / self._name, path)
                yield SecretStr(f"sqlite:///{path}")
                for left in self._directory.glob(f"{name}*"):
                    left.unlink()
            else:
                self._admin(f"CREATE DATABASE {name} TEMPLATE {self._name}")
                yield self._url(name)
                self._admin(f"DROP DATABASE {name} WITH (FORCE)")

    def _empty(self) -> SecretStr:
        if self._postgres is None:
            return SecretStr(f"sqlite:///{self._directory / self._name}")
        self._admin(f"CREATE DATABASE {self._name}")
        return self._url(self._name)

    def _url(self, name: str) -> SecretStr:
        assert self._postgres is not None
        url = make_url(self._postgres).set(database=name)
        return SecretStr(url.render_as_string(hide_password=False))

    def _admin(self, statement: str) -> None:
        assert self._postgres is not None
        admin = create_engine(self._postgres, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(statement)
        admin.dispose()


def left_by(url: SecretStr) -> dict[str, Any]:
    """Read everything that the flows leave, but for times and numbers of runs."""
    engine = connect(url)
    found = dict(tables(engine))
    with reading(engine) as connection:
        found["blocks"] = connection.execute(
            select(blocks.c.since_day, blocks.c.until_day, blocks.c.subjects).order_by("since_day")
        ).all()
        found["block_sums"] = connection.execute(
            select(block_sums).order_by(*block_sums.primary_key)
        ).all()
        found["receipts"] = connection.execute(select(receipts).order_by("event_id")).all()
        found["erasures"] = connection.execute(select(erasures.c.state, erasures.c.subject)).all()
        found["evidence"] = connection.execute(
            select(purges.c.data_class, func.sum(purges.c.deleted))
            .group_by(purges.c.data_class)
            .order_by(purges.c.data_class)
        ).all()
        found["runs"] = connection.execute(select(runs.c.flow, runs.c.state)).all()
    found["balanced"] = balance(engine).agrees
    engine.dispose()
    return found
