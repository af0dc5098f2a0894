"""Delete what is past its retention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run

from schemas.clock import day_number, iso_day, micros, moment
from schemas.retention import rules
from schemas.settings import Settings
from tasks import retention
from warehouse.engine import connect
from warehouse.leases import lease


@dataclass(frozen=True)
class Purged:
    """What a purge deleted, or would have.

    Attributes:
        deleted: Number of rows by class of data.
        dry_run: Whether it only counted.
        forgotten: Whether no deleted byte is left in the database's own files.
    """

    deleted: dict[str, int]
    dry_run: bool
    forgotten: bool


@flow(name="purge-expired")
def purge_expired(dry_run: bool = False) -> Purged:  # noqa: FBT001, FBT002  # a form's tick box
    """Delete what is past its retention, class by class, and keep the evidence.

    Chunks are transactions, so writers go on beside it and a run that was killed is finished by
    the next one.

    Args:
        dry_run: Count what would go, and delete nothing.

    Returns:
        Number of rows by class of data.

    Raises:
        LeaseHeld: Another purge is at work.
    """
    settings = Settings()
    now = datetime.now(UTC)
    classes = rules(settings, now)

    if dry_run:
        counted = {rule.data_class: retention.count(settings.url, rule) for rule in classes}
        return Purged(counted, dry_run=True, forgotten=False)

    with lease(connect(settings.url), "purge_expired", settings.lease_seconds) as held:
        run = str(flow_run.id)
        retention.begin_evidence(settings.url, run, classes, micros(now))
        deleted = {
            rule.data_class: retention.delete(settings.url, rule, held, run) for rule in classes
        }
        forgotten = retention.forget(settings.url)

    create_table_artifact(
        key="purge-evidence",
        description="Rows deleted by class of data, and the day before which they lay",
        table=[
            {
                "class": rule.data_class,
                "before": iso_day(day_number(moment(rule.cutoff))),
                "deleted": deleted[rule.data_class],
            }
            for rule in classes
        ],
    )
    return Purged(deleted, dry_run=False, forgotten=forgotten)


if __name__ == "__main__":
    purge_expired()
