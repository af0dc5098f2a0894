"""How long each class of data is kept, and by which column its age is told.

The ceilings follow the CNIL's guidance on audience measurement (events 13 months, aggregates
25 months) and on security logs (6 months); settings may only shorten them, unless the operator
gives a reason (``schemas/settings.py``). Why each table is there is in ``schemas/data_map.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas import tables
from schemas.clock import MICROS_PER_DAY, day_number, micros

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Table

    from schemas.settings import Settings


@dataclass(frozen=True)
class Rule:
    """One class of data and the moment before which it has to go.

    Attributes:
        data_class: Name of the class, as in the evidence.
        table: Where its rows lie.
        cutoff: Rows of before are deleted, microseconds since 1970.
        by: The column that tells a row's age, in microseconds or, where ``in_days``, in days.
        in_days: Whether ``by`` counts days.
    """

    data_class: str
    table: Table
    cutoff: int
    by: str
    in_days: bool = False

    @property
    def expired(self) -> ColumnElement[bool]:
        """The condition of a row that has to go."""
        cutoff = self.cutoff // MICROS_PER_DAY if self.in_days else self.cutoff
        return self.table.c[self.by] < cutoff


def rules(settings: Settings, now: datetime) -> tuple[Rule, ...]:
    """List what has to go now, in the order in which it goes.

    A cutoff is the start of a day, so that a day goes as a whole.
    """

    def before(days: int) -> int:
        return (day_number(now) - days) * MICROS_PER_DAY

    events = before(settings.events_retention_days)
    sums = before(settings.metrics_retention_days)
    logs = before(settings.logs_retention_days)
    return (
        # Staged events age by the hour: a week's limit is short enough to be exact.
        Rule(
            "staged",
            tables.staged,
            micros(now) - settings.staging_retention_days * MICROS_PER_DAY,
            "received_at",
        ),
        Rule("rejected", tables.rejected, before(settings.rejected_retention_days), "rejected_at"),
        Rule("events", tables.events, events, "occurred_at"),
        Rule("matches", tables.matches, events, "day", in_days=True),
        Rule("metric_sums", tables.metric_sums, sums, "day", in_days=True),
        # A block goes as a whole, its sums with it, once its last day is past.
        Rule("blocks", tables.blocks, sums, "until_day", in_days=True),
        Rule("tallies", tables.tallies, sums, "day", in_days=True),
        Rule("drift_days", tables.drift_days, sums, "day", in_days=True),
        Rule("runs", tables.runs, logs, "requested_at"),
        Rule("purges", tables.purges, sums, "finished_at"),
    )
