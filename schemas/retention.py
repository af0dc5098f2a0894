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
from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Table

    from schemas.settings import Settings


@dataclass(frozen=True)
class Aged:
    """One class of data and the moment before which it has to go.

    Attributes:
        data_class: Name of the class, as in the evidence.
        cutoff: What is older is deleted, microseconds since 1970.
    """

    data_class: str
    cutoff: int


@dataclass(frozen=True)
class Rule(Aged):
    """One class of rows.

    Attributes:
        table: Where its rows lie.
        by: The column that tells a row's age, in microseconds or, where ``in_days``, in days.
        in_days: Whether ``by`` counts days.
        but: A state in which a row stays, however old.
    """

    table: Table
    by: str
    in_days: bool = False
    but: str | None = None

    @property
    def expired(self) -> ColumnElement[bool]:
        """The condition of a row that has to go."""
        cutoff = self.cutoff // MICROS_PER_DAY if self.in_days else self.cutoff
        old = self.table.c[self.by] < cutoff
        return old if self.but is None else old & (self.table.c.state != self.but)


def not_later(as_of: datetime | None, now: datetime) -> datetime:
    """Return the time by which age is told: the one that is given, or now.

    Raises:
        InvalidInput: It is later than now, or names no time zone.
    """
    if as_of is not None and as_of.tzinfo is None:
        raise InvalidInput("as_of", "must name its time zone")
    if as_of is not None and as_of > now:
        raise InvalidInput("as_of", "must not be later than now")
    return as_of or now


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
            micros(now) - settings.staging_retention_days * MICROS_PER_DAY,
            tables.staged,
            "received_at",
        ),
        Rule("rejected", before(settings.rejected_retention_days), tables.rejected, "rejected_at"),
        Rule("events", events, tables.events, "occurred_at"),
        Rule("matches", events, tables.matches, "day", in_days=True),
        Rule("metric_sums", sums, tables.metric_sums, "day", in_days=True),
        # A block goes as a whole, its sums with it, once its last day is past.
        Rule("blocks", sums, tables.blocks, "until_day", in_days=True),
        Rule("tallies", sums, tables.tallies, "day", in_days=True),
        Rule("drift_days", sums, tables.drift_days, "day", in_days=True),
        # What was asked for and not answered yet, such as a retrain after somebody left, is owed.
        Rule("runs", logs, tables.runs, "requested_at", but="queued"),
        Rule("purges", sums, tables.purges, "finished_at"),
    )


LOG_FILES, ORCHESTRATION, DELETED_RUNS = "log_files", "orchestration", "deleted_runs"


def beside_the_database(settings: Settings, now: datetime) -> tuple[Aged, ...]:
    """List what has to go of what is kept elsewhere: log files, Prefect's and MLflow's runs."""
    cutoff = (day_number(now) - settings.logs_retention_days) * MICROS_PER_DAY
    return tuple(Aged(name, cutoff) for name in (LOG_FILES, ORCHESTRATION, DELETED_RUNS))
