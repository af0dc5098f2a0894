"""How many decisions have come since the model last learned, or was last asked to."""

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

TOLD = "decisions_told"
"""Name of the counter that says how many had come when it was last told that enough are new."""


def count(engine: Engine) -> int:
    """Count the decisions that were ever processed."""
    with reading(engine) as connection:
        return _total(connection)


def count_new(engine: Engine) -> int:
    """Count the decisions that were processed since the model last learned."""
    return _count_since(engine, LEARNED)


def count_untold(engine: Engine) -> int:
    """Count those that were processed since it last learned, or was last told of enough."""
    return _count_since(engine, LEARNED, TOLD)


def note_learned(engine: Engine, counted: int) -> None:
    """Note how many decisions there were when a run began to learn; it never goes back."""
    _note(engine, LEARNED, counted)


def note_told(engine: Engine) -> None:
    """Note that the decisions of now were told: they are enough to learn from."""
    _note(engine, TOLD, count(engine))


def _count_since(engine: Engine, *names: str) -> int:
    with reading(engine) as connection:
        noted = connection.execute(select(versions.c.value).where(versions.c.name.in_(names)))
        return _total(connection) - max(noted.scalars(), default=0)


def _note(engine: Engine, name: str, counted: int) -> None:
    with writing(engine) as connection:
        connection.execute(insert_ignore(connection, versions).values(name=name, value=0))
        connection.execute(
            versions.update()
            .where(versions.c.name == name, versions.c.value < counted)
            .values(value=counted)
        )


def _total(connection: Connection) -> int:
    value = connection.execute(
        select(books.c.value).where(books.c.counter == accounts.DECIDED, books.c.rule == "")
    ).scalar()
    return int(value or 0)
