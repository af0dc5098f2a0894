"""People whose database is put back as it was: who is told, erased, and there afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import delete, select, text

from privacy.pseudonyms import subject_pseudonym
from schemas.consents import Options
from schemas.events import EventKind
from schemas.tables import (
    events,
    matches,
    metadata,
    subjects,
)
from tests.population import KEY, NOTICE, NOW, RUN, arrive, event, process
from warehouse import burial, consents, tombstones
from warehouse.engine import is_postgres, reading, writing
from warehouse.erasure import delete_subject, finish_erasure, mark_forgotten
from warehouse.erasure_requests import begin_for
from warehouse.leases import lease
from warehouse.replaying import ERASE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Engine

HOUR = 3_600_000_000


def answer(engine: Engine, keys: Path, name: str, *purposes: str, at: int = NOW - HOUR) -> int:
    person = consents.Person("key", (subject_pseudonym(KEY, name),))
    options = Options(*(name in purposes for name in ("analytics", "preferences", "improvement")))
    entry = consents.Entry(uuid4(), options, NOTICE, "test", None, at)
    with writing(engine) as connection:
        return tombstones.record(connection, keys, person, entry).subject


def ask(engine: Engine, keys: Path, name: str) -> str:
    with writing(engine) as connection:
        return begin_for(connection, keys, [subject_pseudonym(KEY, name)], RUN)


def erase(engine: Engine, keys: Path, name: str) -> str:
    request = ask(engine, keys, name)
    marks = burial.bury(engine, keys, request, RUN)
    with lease(engine, ERASE, 60.0) as held:
        delete_subject(engine, request, held, marks=marks)
    mark_forgotten(engine, request)
    finish_erasure(engine, request, RUN)
    return request


def snapshot(engine: Engine) -> Callable[[], None]:
    """Take a copy of every row, as a base backup would; return what puts it back."""
    with reading(engine) as connection:
        rows = {
            table: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in metadata.sorted_tables
        }

    def put() -> None:
        with writing(engine) as connection:
            if is_postgres(engine):
                for table in ("consents", "private_releases"):
                    connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
            else:
                for table in ("consents", "private_releases"):
                    for name in ("update", "delete", "replace"):
                        connection.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_{name}"))
            for emptied in reversed(metadata.sorted_tables):
                connection.execute(delete(emptied))
            for filled, kept in rows.items():
                if kept:
                    connection.execute(filled.insert(), kept)

    return put


def three_people(engine: Engine, keys: Path) -> dict[str, int]:
    """Record three people with a match each."""
    known = {name: answer(engine, keys, name, "analytics", "improvement") for name in "abc"}
    arrive(
        engine,
        [
            event(kind, subject, number)
            for number, subject in enumerate(known.values(), 1)
            for kind in (EventKind.PROPOSED, EventKind.ACCEPTED)
        ],
    )
    process(engine)
    return known


def rows_of(engine: Engine, subject: int) -> int:
    with reading(engine) as connection:
        return sum(
            len(connection.execute(select(table).where(table.c.subject == subject)).all())
            for table in (subjects, events, matches)
        )
