"""Delete what is past its retention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run

from schemas.clock import day_number, iso_day, micros, moment
from schemas.retention import Aged, beside_the_database, not_later, rules
from schemas.settings import Settings
from tasks import opening, retention
from warehouse.engine import connect
from warehouse.leases import lease


@dataclass(frozen=True)
class Purged:
    """What a purge deleted, or would have.

    Attributes:
        deleted: Number of rows, files or runs by class of data.
        as_of: The time by which age was told, ISO; a purge by the same deletes the same.
        dry_run: Whether it only counted.
        forgotten: Whether no byte of deleted rows is left in SQLite's files; on PostgreSQL, in
            what its planner keeps.
    """

    deleted: dict[str, int]
    as_of: str
    dry_run: bool
    forgotten: bool


@flow(name="purge-expired")
def purge_expired(
    dry_run: bool = False,  # noqa: FBT001, FBT002  # a form's tick box
    as_of: datetime | None = None,
    clock_is_right: bool = False,  # noqa: FBT001, FBT002
) -> Purged:
    """Delete what is past its retention, class by class, and keep the evidence.

    On PostgreSQL months that are past as a whole are dropped, and the coming ones made ahead.
    Months and chunks are transactions, so writers go on beside it and a run that was killed is
    finished by the next one.

    Args:
        dry_run: Count what would go, and delete nothing.
        as_of: Tell age by this time, not later than now; by now when it is left out.
        clock_is_right: Believe a clock that is days ahead of the last purge.

    Returns:
        Number of rows, files and runs by class of data.

    Raises:
        ClockJumped: The clock is further ahead of the last purge than is believed.
        InvalidInput: ``as_of`` is later than now.
        LeaseHeld: Another purge is at work.
    """
    settings = Settings()
    opening.follow_witness(settings.url, settings.keys)
    now = datetime.now(UTC)
    by = not_later(as_of, now)
    classes, beside = rules(settings, by), beside_the_database(settings, by)

    if dry_run:
        counted = {rule.data_class: retention.count(settings.url, rule) for rule in classes}
        counted |= {rule.data_class: retention.count_beside(rule) for rule in beside}
        _show((*classes, *beside), counted, "What a purge would delete", "would go")
        return Purged(counted, by.isoformat(), dry_run=True, forgotten=False)

    if not clock_is_right:
        retention.check_clock(settings.url, micros(now))
    with lease(connect(settings.url), "purge_expired", settings.lease_seconds) as held:
        retention.make_months(settings.url, settings.events_retention_days, micros(now), held)
        run = str(flow_run.id)
        retention.begin_evidence(settings.url, run, (*classes, *beside), micros(now))
        for rule in classes:
            retention.delete(settings.url, rule, held, run)
        forgotten = retention.forget(settings.url, held)
        retention.delete_each_beside(beside, held, run)
        deleted = retention.evidence(settings.url, run)

    _show((*classes, *beside), deleted, "What was deleted", "deleted")
    return Purged(deleted, by.isoformat(), dry_run=False, forgotten=forgotten)


def _show(shown: tuple[Aged, ...], counted: dict[str, int], what: str, heading: str) -> None:
    create_table_artifact(
        key="purge-evidence",
        description=f"{what} by class of data, and the day before which it lay",
        table=[
            {
                "class": rule.data_class,
                "before": iso_day(day_number(moment(rule.cutoff))),
                heading: counted[rule.data_class],
            }
            for rule in shown
        ],
    )


if __name__ == "__main__":
    purge_expired()
