"""What insisting on each constraint costs, as it was last priced: kept, and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, select

from schemas.clock import micros
from schemas.purposes import Purpose
from schemas.tables import shadow_prices
from warehouse import lineage, withdrawals
from warehouse.engine import writing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Engine

    from warehouse.leases import Lease

_DIGITS, _PUBLISHED_DIGITS = 6, 2


class Priced(NamedTuple):
    """The price of one constraint; columns as in ``docs/data-dictionary.md``."""

    facet: str
    threshold: float
    pairs: int
    forbidden: int
    rounds: int
    cost: float
    lower: float | None
    upper: float | None


def keep(
    engine: Engine,
    found: Sequence[Priced],
    version: str,
    at: datetime,
    *,
    lease: Lease | None = None,
    people: Collection[int] = (),
) -> None:
    """Keep prices in the place of the earlier ones; none where somebody of them has left since.

    Args:
        engine: The database.
        found: A price a constraint.
        version: The champion whose expectations they stand on.
        at: Time of the pricing.
        lease: Of this retrain, if it is one.
        people: Numbers of all subjects whose rows were priced.

    Raises:
        LeaseLost: Another retrain has taken over; nothing was written.
    """
    rows = [{**one._asdict(), "model_version": version, "priced_at": micros(at)} for one in found]
    with writing(engine) as connection:
        lineage.lock_books(connection)  # whoever is leaving is waited for
        if lease is not None:
            lease.check(connection)
        connection.execute(delete(shadow_prices))
        if rows and withdrawals.everybody_allows(connection, people, Purpose.IMPROVEMENT):
            connection.execute(shadow_prices.insert(), rows)


def read(connection: Connection, *, published: bool) -> dict[str, dict[str, Any]]:
    """Read the prices by constraint, ready for JSON.

    Published they are rounded: each retrain prices anew, and what one person more changes must
    not show from one night to the next.
    """
    digits = _PUBLISHED_DIGITS if published else _DIGITS
    rows = connection.execute(select(shadow_prices).order_by(shadow_prices.c.facet))
    return {
        row.facet: {
            "cost": round(row.cost, digits),
            "interval": _rounded(row.lower, row.upper, digits),
            "threshold": row.threshold,
            "rounds": row.rounds,
            "model_version": row.model_version,
        }
        for row in rows
    }


def _rounded(lower: float | None, upper: float | None, digits: int) -> list[float] | None:
    if lower is None or upper is None:
        return None
    return [round(lower, digits), round(upper, digits)]
