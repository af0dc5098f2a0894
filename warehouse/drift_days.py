"""How far each day lies from what the champion learned from: kept, and read as a metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, select

from schemas.clock import day_number, iso_day, micros
from schemas.tables import drift_days
from warehouse.engine import reading, writing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Engine

    from warehouse.leases import Lease

SETTLED_DAYS = 7
"""A day that is older is compared no more; only such days are published."""
_DIGITS = 6


class Measured(NamedTuple):
    """One comparison; the day counts since 1970."""

    day: int
    feature: str
    measure: str
    rows: int
    value: float
    bound: float


def keep(
    engine: Engine,
    lease: Lease,
    found: Sequence[Measured],
    version: str,
    *,
    since_day: int,
    at: datetime,
) -> None:
    """Keep comparisons, in the place of those of the same days; safe to run again.

    Args:
        engine: The database.
        lease: The right to write.
        found: What was compared.
        version: The champion that it was compared with.
        since_day: First day that was looked at; what is kept of it and of later ones goes.
        at: Time of the comparison.
    """
    rows = [{**one._asdict(), "model_version": version, "compared_at": micros(at)} for one in found]
    with writing(engine) as connection:
        lease.check(connection)
        connection.execute(delete(drift_days).where(drift_days.c.day >= since_day))
        if rows:
            connection.execute(drift_days.insert(), rows)


def drift(engine: Engine, days: int, as_of: datetime, *, published: bool) -> dict[str, Any]:
    """Tell how far features, scores, outcomes and calibration have moved since training.

    Args:
        engine: The database.
        days: Length of the window, days.
        as_of: Its last day.
        published: Read only days that are compared no more, and of them whether they have moved:
            a value and its bound tell how many people stand behind them, and what they decided.

    Returns:
        Ready for JSON. ``features`` holds, by feature and measure (``stability``: population
        stability index; ``calibration``: distance of observed from expected acceptance;
        ``slope``: distance from 1 of the slope of decisions on expected log-odds), the days
        with value and bound, None where published, and whether it is beyond.
    """
    today = day_number(as_of)
    since, until = today - days + 1, today + 1 - (SETTLED_DAYS + 1) * published
    with reading(engine) as connection:
        rows = connection.execute(
            select(drift_days)
            .where(drift_days.c.day >= since, drift_days.c.day < until)
            .order_by(drift_days.c.feature, drift_days.c.measure, drift_days.c.day)
        ).all()
    features: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in rows:
        features.setdefault(row.feature, {}).setdefault(row.measure, []).append(
            {
                "day": iso_day(row.day),
                "value": None if published else round(row.value, _DIGITS),
                "bound": None if published else round(row.bound, _DIGITS),
                "beyond": row.value > row.bound,
                "model_version": row.model_version,
            }
        )
    window = {"since": iso_day(since), "until": iso_day(max(since, until))}
    return {
        "features": features,
        "days_compared": len({row.day for row in rows}),
        "beyond": sum(row.value > row.bound for row in rows),
        "window": window | {"published": published, "days": days},
    }
