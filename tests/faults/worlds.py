"""Databases in the state before a flow, copied for each trial, and what a flow leaves in them."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import make_url

from schemas.clock import MICROS_PER_DAY, moment
from schemas.tables import drift_days, erasures, events, metadata, purges, versions
from tests.histories import history, make_row, process
from tests.population import answer, arrive, learn
from warehouse import consents, withdrawals
from warehouse.audit import balance
from warehouse.engine import connect, create_tables, reading, writing
from warehouse.erasure_requests import begin
from warehouse.proof import NOT_BEFORE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine, Table

PEOPLE = 14
EVENTS = 240

_numbers = itertools.count()


def now() -> int:
    """Return the time, microseconds since 1970."""
    return time.time_ns() // 1_000


def _staged(engine: Engine, *, days_ago: int = 1) -> list[int]:
    """People, one of whom changed their mind; events, some of them broken.

    Those of yesterday are believed by a purge: it asks whether time was seen lately.
    """
    people = [_answer(engine, number, "analytics", "improvement") for number in range(PEOPLE)]
    shift = now() - days_ago * MICROS_PER_DAY
    rows = history(11, length=EVENTS, subjects=PEOPLE, matches=40)
    newest = max(row["occurred_at"] for row in rows)
    for row in rows:
        row["subject"] = people[row["subject"] - 1]
        row["occurred_at"] += shift - newest
        row["received_at"] = row["occurred_at"] + 1_000_000
    rows += [make_row("match_feedback", subject=people[1], figures={"rating": 9}) for _ in range(3)]
    arrive(engine, rows[: EVENTS // 2])
    process(engine, as_of=now())
    arrive(engine, rows[EVENTS // 2 :])
    _answer(engine, 4, "improvement")
    return people


def _answer(engine: Engine, number: int, *purposes: str) -> int:
    return answer(engine, f"person {number}", *purposes, at=now())


def _processed(engine: Engine, *, days_ago: int = 1) -> list[int]:
    """The same behind a run, and a version of the model that learned from it and was watched."""
    people = _staged(engine, days_ago=days_ago)
    process(engine, as_of=now())
    learn(engine, "1", at=now())
    with writing(engine) as connection:
        kept = connection.execute(select(func.count()).select_from(events)).scalar_one()
        assert kept > EVENTS // 2
        day = (now() - days_ago * MICROS_PER_DAY) // MICROS_PER_DAY
        watched = {"feature": "score", "measure": "stability", "rows": 40, "value": 0.1}
        told = {"day": day, "bound": 0.2, "model_version": "1", "compared_at": now()}
        connection.execute(drift_days.insert().values(**watched, **told))
    return people


def _finished(engine: Engine) -> None:
    """The same, of days that are over for good, so that they can be sealed."""
    _processed(engine, days_ago=30)


def _aged(engine: Engine) -> None:
    """The same, with events of three years ago, kept and rejected, which arrived when all did."""
    one, *_ = _processed(engine)
    long_ago = now() - 1_100 * MICROS_PER_DAY
    old = {"subject": one, "occurred_at": long_ago, "received_at": now() - MICROS_PER_DAY}
    arrive(engine, [make_row("match_proposed", match_key=n, **old) for n in range(90, 99)])
    process(engine, as_of=long_ago)
    arrive(engine, [make_row("match_feedback", figures={"rating": 9}, **old)])
    process(engine, as_of=long_ago)


def _asked_to_erase(engine: Engine) -> None:
    """The same, and one of the people asked to be erased."""
    leaver = _processed(engine)[2]
    begin(engine, leaver, moment(now()))


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


_CLOCK, _RUN, _GAPS = "tells the time", "names the run", "a number that may leave some out"
MASKED = {
    "rejected": {"rejected_at": _CLOCK},
    "blocks": {"block": _GAPS, "sealed_at": _CLOCK},
    "block_sums": {"block": _GAPS},
    "training_sets": {"marked_at": _CLOCK},
    "leases": {"fence": _RUN, "holder": _RUN, "expires_at": _CLOCK, "finished_at": _CLOCK},
    "erasures": {"finished_at": _CLOCK},
    "runs": {"run": _RUN, "requested_at": _CLOCK, "finished_at": _CLOCK},
}
"""Columns in which two runs differ, by table, and why: only whether they are filled is compared."""

CHANGES = (consents.CHANGES, withdrawals.COUNT)


def left_by(url: SecretStr) -> dict[str, Any]:
    """Read every table whole, but for what is ``MASKED``.

    Three are read otherwise. Of ``versions`` two only say that something changed, which a tombstone
    does once more that is carried out after a kill, as after a restore; a mark of 0 is none. The
    evidence of a purge is summed by class: a purge that was killed leaves rows of its own. The
    report of an erasure is compared without its signature and without saying that it was taken up
    after a stop, and of each store only what was found: how many bytes were searched depends on
    what else lies there.
    """
    engine = connect(url)
    with reading(engine) as connection:
        found = {table.name: _left_in(connection, table) for table in metadata.sorted_tables}
    found["balanced"] = balance(engine).agrees
    engine.dispose()
    return found


def _left_in(connection: Connection, table: Table) -> Any:
    rows = [dict(row) for row in connection.execute(select(table)).mappings()]
    if table is purges:
        deleted: Counter[str] = Counter()
        for row in rows:
            deleted[row["data_class"]] += row["deleted"]
        return dict(deleted)
    if table is versions:
        return {row["name"]: row["name"] in CHANGES or row["value"] for row in rows if row["value"]}
    for row in rows:
        for name in MASKED.get(table.name, ()):
            row[name] = row[name] is not None
        if table is erasures:
            row["report"] = _told(json.loads(row["report"] or "{}"))
    return sorted(rows, key=repr)


def _told(report: dict[str, Any]) -> dict[str, Any]:
    stores = [(one["store"], one["found"], one["places_after"]) for one in report.get("stores", ())]
    limits = [limit for limit in report.get("limits", ()) if limit != NOT_BEFORE]
    return report | {"signed": None, "stores": stores, "limits": limits}
