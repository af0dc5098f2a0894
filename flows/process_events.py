"""Turn staged events into match state and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.events import emit_event
from pydantic import Field

from schemas.clock import micros
from schemas.run_events import DECISIONS_COLLECTED, RESOURCE
from schemas.settings import Settings
from tasks import events, opening, skipped, validation
from tasks.runners import side_by_side
from warehouse.batches import Counts
from warehouse.engine import connect
from warehouse.leases import PROCESS_EVENTS, LeaseHeld, lease
from warehouse.validations import directory

Limit = Annotated[int | None, Field(ge=1)]
Wait = Annotated[float, Field(ge=0, le=3_600)]


@dataclass(frozen=True)
class Processed:
    """What a run made of the events that were staged when it began.

    Attributes:
        read: Events that it looked at.
        processed: Events that are now in the analytics tables.
        dropped: Events whose subject does not consent any more; nothing of them is kept.
        rejected: Events that broke an expectation, by the first rule that each broke.
        partitions: Transactions that it took.
        settled: Subjects whom the sums now include or no longer include.
        keys_destroyed: Days whose sealed texts nobody can read any more.
        skipped: True when another run was at work, and this one left the work to it.
    """

    read: int = 0
    processed: int = 0
    dropped: int = 0
    rejected: dict[str, int] | None = None
    partitions: int = 0
    settled: int = 0
    keys_destroyed: int = 0
    skipped: bool = False


@flow(name="process-events")
def process_events(limit: Limit = None, wait_seconds: Wait = 0.0) -> Processed:
    """Validate and anonymise what is staged, and fold it into the matches and their metrics.

    Safe to run again after a failure at any step: one transaction stores a partition and clears
    it from staging. Partitions run side by side, in threads or on the workers of Dask; nothing
    but their counts comes back.

    Args:
        limit: Largest number of events to process, 1 or more, oldest first; everything when empty.
        wait_seconds: How long to wait while another run is at work, 0 to 3,600 seconds; 0 leaves
            the work to it.

    Returns:
        How many events were read, processed, dropped and rejected.

    Raises:
        LeaseLost: This run was silent for so long that another one took over.
        BatchUnusable: A partition is broken as a whole; it stays in staging.
    """
    settings = Settings()
    opening.follow_witness(settings.url, settings.keys)
    as_of = micros(datetime.now(UTC))
    engine = connect(settings.url)

    try:
        with (
            lease(
                engine, PROCESS_EVENTS, settings.lease_seconds, wait_seconds=wait_seconds
            ) as held,
            validation.noting_unusable(directory(settings), as_of),
            side_by_side(settings) as workers,
        ):
            settled = events.settle_consents(settings.url, held)
            partitions = events.plan(settings.url, settings.partition_events, limit)
            running = [
                workers.submit(
                    events.process_partition,
                    {
                        "url": settings.url,
                        "keys": settings.keys,
                        "partition": part,
                        "lease": held,
                        "as_of": as_of,
                    },
                )
                for part in partitions
            ]
            moved = [one.result() for one in running]
            counts = sum((one.counts for one in moved), Counts())
            checked = tuple(found for one in moved for found in one.checked)
            validation.record(directory(settings), as_of, checked)
            destroyed = events.destroy_day_keys(settings.url, settings.keys, as_of)
            _tell_of_enough_decisions(settings)
    except LeaseHeld:
        skipped.tell()
        return Processed(skipped=True)
    finally:
        engine.dispose()

    create_table_artifact(
        key="processed-events",
        description="What became of the events, rejected ones by rule."
        f" [Validation over time]({settings.validation_page})",
        table=_table(counts),
    )
    return Processed(
        read=counts.read,
        processed=counts.processed,
        dropped=counts.dropped,
        rejected=dict(counts.rejected),
        partitions=len(partitions),
        settled=settled.added + settled.removed,
        keys_destroyed=destroyed,
    )


def _tell_of_enough_decisions(settings: Settings) -> None:
    """Have a retrain begun, once for each time that enough more have come, whichever run it was."""
    new = events.count_untold_decisions(settings.url)
    if new >= settings.retrain_after_decisions:
        # Told before it is noted: a run that is stopped in between has the next one tell it again.
        emit_event(DECISIONS_COLLECTED, resource=RESOURCE, payload={"new_decisions": new})
        events.note_told_decisions(settings.url)


def _table(counts: Counts) -> list[dict[str, object]]:
    return [
        {"outcome": "read", "rule": "", "events": counts.read},
        {"outcome": "processed", "rule": "", "events": counts.processed},
        {"outcome": "dropped", "rule": "consent", "events": counts.dropped},
        *(
            {"outcome": "rejected", "rule": rule, "events": number}
            for rule, number in sorted(counts.rejected.items())
        ),
    ]


if __name__ == "__main__":
    process_events()
