"""How many decisions have come since the model last learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from schemas.tables import accounts as books
from schemas.tables import versions
from warehouse import accounts
from warehouse.engine import insert_ignore, reading, writing

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

LEARNED = "decisions_learned"
"""Name of the counter that says how many decisions had come when the model last learned."""


def count(engine: Engine) -> int:
    """Count the decisions that were ever processed."""
    with reading(engine) as connection:
        return _total(connection)


def count_new(engine: Engine) -> int:
    """Count the decisions that were processed since the model last learned."""
    with reading(engine) as connection:
        learned = connection.execute(
            select(versions.c.value).where(versions.c.name == LEARNED)
        ).scalar()
        return _total(connection) - int(learned or 0)


def note_learned(engine: Engine, counted: int) -> None:
    """Note how many decisions there were when a run began to learn; it never goes back."""
    with writing(engine) as connection:
        connection.execute(insert_ignore(connection, versions).values(name=LEARNED, value=0))
        connection.execute(
            versions.update()
            .where(versions.c.name == LEARNED, versions.c.value < counted)
            .values(value=counted)
        )


def _total(connection: Connection) -> int:
    value = connection.execute(
        select(books.c.value).where(books.c.counter == accounts.DECIDED, books.c.rule == "")
    ).scalar()
    return int(value or 0)
