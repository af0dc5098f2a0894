"""Watch whether the world has moved since the champion was trained."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event

from matching.drift import Drift
from schemas.clock import day_number, micros
from schemas.run_events import DRIFTED, RESOURCE
from schemas.settings import Settings
from tasks import drift, opening, training
from warehouse.engine import connect
from warehouse.leases import lease


@dataclass(frozen=True)
class DriftWatched:
    """What a comparison came to.

    Attributes:
        version: The champion.
        days: Days that were compared.
        measures: Figures that were compared.
        beyond: Those beyond their bound.
        retrain_asked: Whether a retrain was asked for that nobody had asked for before.
        sentence: What to make of it, for a person.
    """

    version: str
    days: int
    measures: int
    beyond: int
    retrain_asked: bool
    sentence: str


@flow(name="watch-drift")
def watch_drift() -> DriftWatched:
    """Compare the days since training with training; beyond the bounds, ask for a retrain.

    Safe to run again: a day's figures are replaced, and a retrain is asked for once.

    Returns:
        How many figures were compared, and how many are beyond their bounds.

    Raises:
        NotRegistered: There is no champion; ``smartmatch init`` makes the first.
        LeaseHeld: Another run is at work.
    """
    settings = Settings()
    opening.follow_witness(settings.url, settings.keys)
    now = datetime.now(UTC)
    registry = opening.registry_of(settings)

    with lease(connect(settings.url), "watch_drift", settings.lease_seconds) as held:
        champion, version = training.read_champion(settings.url, registry)
        since = day_number(now) - settings.training_days
        rows = training.read(settings.url, since, micros(now), settings.training_proposals)
        watched = drift.choose(rows, champion, now.date(), settings.smallest_group)
        found = drift.compare(watched, champion)
        drift.keep(
            settings.url,
            held,
            found,
            rows=rows,
            version=version,
            since=watched.since,
            now=micros(now),
        )
        asked = found.beyond and not drift.is_retrain_asked(settings.url)
        if asked:
            # Told before it is noted: a run that is stopped in between has the next one tell it.
            emit_event(DRIFTED, resource=RESOURCE, payload={"version": version})
            drift.ask_for_retrain(settings.url, micros(now))

    create_markdown_artifact(
        key="drift",
        description="Which days have moved away from training",
        markdown=_report(found),
    )
    table = found.table
    return DriftWatched(
        version=version,
        days=int(table["day"].nunique()),
        measures=len(table),
        beyond=int(table["beyond"].sum()),
        retrain_asked=asked,
        sentence=found.sentence,
    )


def _report(found: Drift) -> str:
    # Prefect keeps it for months, whoever leaves: so no figure, as where it is published.
    rows = "\n".join(
        f"| {row.day} | {row.measure} | {'beyond' if row.beyond else 'within'} |"
        for row in found.table.itertuples()
    )
    moved = int(found.table["beyond"].sum())
    said = f"{moved} of {len(found.table)} measures have moved beyond their bounds."
    shown = "`smartmatch metrics drift` shows by how much."
    return f"**{said}** {shown}\n\n| day | measure | |\n|---|---|---|\n{rows}"


if __name__ == "__main__":
    watch_drift()
