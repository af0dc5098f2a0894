"""Ask the database how it is: whether it takes writes, and what waits in staging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from schemas.tables import staged, versions
from warehouse.engine import add_to, reading
from warehouse.purposes import Ground, on_ground

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


def probe(connection: Connection) -> None:
    """Write a row that says nothing: that it commits is the answer, also on a full disk."""
    connection.execute(add_to(connection, versions, ["name"]), [{"name": "probe", "value": 1}])


@on_ground(Ground.COUNTING)
def backlog(engine: Engine) -> tuple[int, int | None]:
    """Return how many events no run has processed yet, and when the oldest of them came."""
    with reading(engine) as connection:
        count = connection.execute(select(func.count()).select_from(staged)).scalar_one()
        oldest = connection.execute(
            select(staged.c.received_at).order_by(staged.c.seq).limit(1)
        ).scalar_one_or_none()
    return count, oldest
