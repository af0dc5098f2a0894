"""Ask the database how it is: whether it takes writes, and what waits in staging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from schemas.tables import staged, versions
from warehouse import accounts
from warehouse.engine import add_to, reading
from warehouse.purposes import Ground, on_ground

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


def probe(connection: Connection) -> None:
    """Write a row that says nothing: that it commits is the answer, also on a full disk."""
    connection.execute(add_to(connection, versions, ["name"]), [{"name": "probe", "value": 1}])


@on_ground(Ground.COUNTING)
def backlog(engine: Engine) -> tuple[int, int | None]:
    """Return how many events no run has processed yet, and when the oldest of them came.

    By the books: to count them takes the longer the more there are, and monitors ask often.
    """
    with reading(engine) as connection:
        count = accounts.waiting(accounts.read(connection))
        oldest = connection.execute(
            select(staged.c.received_at).order_by(staged.c.seq).limit(1)
        ).scalar_one_or_none()
    return count, oldest
