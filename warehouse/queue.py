"""Ask the database how it is: whether it takes writes, and what waits in staging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from schemas.tables import staged
from warehouse.engine import is_postgres, reading

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


def probe(connection: Connection) -> None:
    """Do nothing in a transaction that writes: that it commits is the answer.

    SQLite is asked for its one place to write; PostgreSQL refuses when it only follows another.
    """
    if is_postgres(connection):
        connection.execute(text("SELECT txid_current()"))


def backlog(engine: Engine) -> tuple[int, int | None]:
    """Return how many events no run has processed yet, and when the oldest of them came."""
    with reading(engine) as connection:
        count = connection.execute(select(func.count()).select_from(staged)).scalar_one()
        oldest = connection.execute(
            select(staged.c.received_at).order_by(staged.c.seq).limit(1)
        ).scalar_one_or_none()
    return count, oldest
