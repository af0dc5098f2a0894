"""How far each day lies from what the champion learned from: kept, and read as a metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import delete, or_, select

from schemas.clock import MICROS_PER_DAY, day_number, iso_day, micros
from schemas.purposes import Purpose
from schemas.tables import drift_days, matches
from warehouse import lineage, marks, withdrawals
from warehouse.by_subject import of_subject
from warehouse.engine import reading, writing
from warehouse.purposes import Ground, on_ground

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Engine

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
    people: Collection[int] = (),
) -> bool:
    """Keep comparisons, in the place of those of the same days; safe to run again.

    Nothing is kept, and nothing goes, where somebody who was compared has left since: what they
    had a part in they have taken with them, and the next run compares without them.

    Args:
        engine: The database.
        lease: The right to write.
        found: What was compared.
        version: The champion that it was compared with.
        since_day: First day that was looked at; what is kept of it and of later ones goes.
        at: Time of the comparison.
        people: Numbers of all subjects whose rows were compared.

    Returns:
        Whether they are kept.
    """
    rows = [{**one._asdict(), "model_version": version, "compared_at": micros(at)} for one in found]
    with writing(engine) as connection:
        lineage.lock_books(connection)  # whoever is leaving is waited for
        lease.check(connection)
        if not withdrawals.everybody_allows(connection, people, Purpose.IMPROVEMENT):
            return False
        connection.execute(delete(drift_days).where(drift_days.c.day >= since_day))
        if rows:
            connection.execute(drift_days.insert(), rows)
        return True


@on_ground(Ground.ERASURE)
def forget(connection: Connection, subject: int, learned: Sequence[str]) -> None:
    """Take away the comparisons that somebody who leaves has a part in.

    All comparisons with a version go together: single days that are missing would tell when the
    person was there. The next comparison makes its days anew. Call it before anything of the
    subject is deleted.

    Args:
        connection: The transaction in which they leave.
        subject: Who leaves.
        learned: The versions that learned from them.
    """
    compared = drift_days.alias()
    days = select(matches.c.day).where(of_subject(connection, matches, subject))
    theirs: list[ColumnElement[bool]] = [compared.c.day.in_(days)]
    purged_since = lineage.purged_since(connection, subject)
    if purged_since is not None:
        theirs.append(compared.c.day >= purged_since // MICROS_PER_DAY)
    held_against = select(compared.c.model_version).where(or_(*theirs))
    version = drift_days.c.model_version
    gone = delete(drift_days)
    if not marks.may_be_unbooked(connection):
        gone = gone.where(version.in_(learned) | version.in_(held_against))
    connection.execute(gone)


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
