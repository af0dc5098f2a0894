"""Steps of watching for drift."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import SecretStr

from matching import drift
from matching.drift import Drift
from matching.model import Model
from matching.watching import Watched, split
from schemas.clock import day_number, moment
from tasks.opening import opened
from tasks.policies import compute_task, io_task
from warehouse import drift_days, runs
from warehouse.drift_days import Measured
from warehouse.leases import Lease
from warehouse.training import TrainingSet

RETRAIN, WHY = "retrain_model", "drift beyond its bounds"
OF_SCORE = ("calibration", "slope")


@compute_task
def choose(rows: TrainingSet, champion: Model, today: date, smallest: int) -> Watched:
    """Take the proposals that the champion learned from, and those of finished days since."""
    return split(rows.frame, champion, today=today, smallest=smallest)


@compute_task
def compare(watched: Watched, champion: Model) -> Drift:
    """Hold the days since training against training."""
    return drift.drift(watched.reference, watched.current, champion)


@io_task
def keep(
    url: SecretStr,
    lease: Lease,
    found: Drift,
    *,
    rows: TrainingSet,
    version: str,
    since: date,
    now: int,
) -> bool:
    """Keep what each day came to, unless somebody who was compared has left meanwhile."""
    with opened(url) as engine:
        return drift_days.keep(
            engine,
            lease,
            measured(found),
            version,
            since_day=day_number(since),
            at=moment(now),
            people=set(rows.frame["subject"].tolist()),
        )


@io_task
def is_retrain_asked(url: SecretStr) -> bool:
    """Tell whether a retrain waits already for the same reason."""
    with opened(url) as engine:
        return runs.is_queued(engine, RETRAIN, WHY)


@io_task
def ask_for_retrain(url: SecretStr, now: int) -> bool:
    """Queue a retrain, unless one waits already for the same reason."""
    with opened(url) as engine:
        return runs.queue(engine, RETRAIN, moment(now), WHY)


def measured(found: Drift) -> list[Measured]:
    """Give a comparison as it is kept: calibration and slope are measures of the score."""
    records: list[dict[str, Any]] = found.table.to_dict("records")  # type: ignore[assignment]
    return [
        Measured(
            day=day_number(date.fromisoformat(row["day"])),
            feature="score" if row["measure"] in OF_SCORE else row["measure"],
            measure=row["measure"] if row["measure"] in OF_SCORE else "stability",
            rows=row["rows"],
            value=row["value"],
            bound=row["bound"],
        )
        for row in records
    ]
