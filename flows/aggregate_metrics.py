"""Seal finished days for publication, and prove the running sums."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from schemas.clock import day_number, iso_day, micros
from schemas.settings import Settings
from tasks import metrics, opening, skipped
from tasks.runners import side_by_side
from warehouse.engine import connect
from warehouse.leases import AGGREGATE_METRICS, LeaseHeld, lease
from warehouse.recount import Reconciled

REPORT_DAYS = 30
NOTHING = "nothing yet"


@dataclass(frozen=True)
class Aggregated:
    """What a run sealed and compared.

    Attributes:
        sealed: Blocks of finished days that may be published from now on.
        compared_since: First day whose sums were compared, ISO.
        matches: Match rows that were counted anew.
        sums: Running sums that they were compared with; none differed.
        skipped: True when another run was at work.
    """

    sealed: int = 0
    compared_since: str = ""
    matches: int = 0
    sums: int = 0
    skipped: bool = False


@flow(name="aggregate-metrics")
def aggregate_metrics() -> Aggregated:
    """Seal finished days, reconcile the running sums with a recount, publish the report.

    Returns:
        How many blocks were sealed, and what was compared.

    Raises:
        SumsDiffer: The running sums are not what a recount gives; says where.
    """
    settings = Settings()
    opening.follow_witness(settings.url, settings.keys)
    now = datetime.now(UTC)
    as_of = micros(now)
    engine = connect(settings.url)

    try:
        with lease(engine, AGGREGATE_METRICS, settings.lease_seconds) as held:
            sealed = metrics.seal(settings.url, held, settings.smallest_group, as_of)
            metrics.count_people(settings.url, held, as_of)
            kept = min(settings.events_retention_days, settings.metrics_retention_days)
            agreed = _reconcile(settings, day_number(now) - kept + 1)
    except LeaseHeld:
        skipped.tell()
        return Aggregated(skipped=True)
    finally:
        engine.dispose()

    published = metrics.read_published(settings.url, REPORT_DAYS, as_of)
    result = Aggregated(len(sealed), iso_day(agreed.since_day), agreed.matches, agreed.sums)
    create_markdown_artifact(
        key="metrics-report",
        description="What was sealed and recounted, and the figures that may be published",
        markdown=_report(result, published) + f"\n\n[Dashboard]({settings.dashboard_page})",
    )
    return result


def _reconcile(settings: Settings, since_day: int) -> Reconciled:
    """Compare the running sums with a recount, stretches of matches side by side."""
    with metrics.one_snapshot(settings.url) as snapshot, side_by_side(settings) as workers:
        stretches = metrics.plan_recount(settings.url, settings.task_workers, snapshot)
        running = [
            workers.submit(
                metrics.recount_stretch,
                {
                    "url": settings.url,
                    "stretch": stretch,
                    "since_day": since_day,
                    "snapshot": snapshot,
                },
            )
            for stretch in stretches
        ]
        recounted = [one.result() for one in running]
        return metrics.compare(settings.url, recounted, since_day, snapshot)


def _report(result: Aggregated, published: dict[str, Any]) -> str:
    acceptance, satisfaction = published["acceptance"], published["satisfaction"]
    window = acceptance["window"]
    return "\n".join(
        [
            f"Blocks sealed: {result.sealed}.",
            f"Match rows counted anew since {result.compared_since}: {result.matches}.",
            f"Sums compared: {result.sums}; none differs.",
            "",
            f"Published for {window['since']} to {window['until']} (whole blocks only):",
            "",
            "| figure | value |",
            "|---|---|",
            f"| proposed | {_count(acceptance['total_proposed'])} |",
            f"| decided | {_count(acceptance['total_decided'])} |",
            f"| acceptance rate | {_rate(acceptance['acceptance_rate'])} |",
            f"| 95 % interval | {_interval(acceptance['acceptance_interval'])} |",
            f"| ratings | {_count(satisfaction['total_feedbacks'])} |",
            f"| average rating | {_rating(satisfaction['avg_rating'])} |",
        ]
    )


def _count(value: int | None) -> str:
    return NOTHING if value is None else str(value)


def _rate(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


def _interval(bounds: tuple[float, float] | None) -> str:
    return NOTHING if bounds is None else " to ".join(_rate(bound) for bound in bounds)


def _rating(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f} of 5"


if __name__ == "__main__":
    aggregate_metrics()
