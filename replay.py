"""Turn what people decided into the events that a platform would have sent."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from matching.features import with_context
from matching.rounds import read_decisions
from schemas.errors import NotReady
from tracking.collector import EventCollector
from tracking.privacy import PrivacyManager
from tracking.schema import (
    MatchCompletedEvent,
    MatchDecisionEvent,
    MatchFeedbackEvent,
    MatchProposedEvent,
    MatchViewedEvent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from schemas.events import Event

NAMESPACE = uuid.UUID("6f6b9a3e-6d0f-5c53-9a55-6b1d3c0a7e11")
"""Makes the same event id of the same event, so that sending it twice stores it once."""
FLUSH_SECONDS = 300.0


@dataclass(frozen=True)
class Replayed:
    """What was sent.

    Attributes:
        rounds: Number of rounds.
        people: Number of people who answered the notice.
        events: Number of events collected.
        without_consent: Number of events that consent forbids, and that were not collected.
    """

    rounds: int
    people: int
    events: int
    without_consent: int


def replay_decisions(
    file: Path,
    *,
    url: str | None,
    today: date,
    progress: Callable[[int, int, str], None],
) -> Replayed:
    """Send every pair of a file of complete outcomes as proposed and decided.

    Args:
        file: CSV with the columns of ``matching.rounds.read_decisions``.
        url: Address of the server; None for the embedded database.
        today: The last round becomes the day before.
        progress: Called with rounds done, rounds in all, and the round's name.
    """
    held = read_decisions(file)
    people: set[str] = set()
    with (
        PrivacyManager(url=url) as privacy,
        EventCollector(privacy, strict=True) as collector,
    ):
        for number, round_ in enumerate(held):
            progress(number, len(held), round_.name)
            new = set(round_.pairs["user_id"]) - people
            for person in sorted(new):
                privacy.record_consent(person, analytics=True, improvement=True)
            people |= new
            day = today - timedelta(days=len(held) - number)
            for event in events_of(with_context(round_.pairs), name=round_.name, day=day):
                collector.collect_event(event)
            if not collector.flush(FLUSH_SECONDS):
                raise NotReady("the server did not take the events in time")
        counters = collector.counters
    return Replayed(len(held), len(people), counters.accepted, counters.without_consent)


def events_of(
    pairs: pd.DataFrame, *, name: str, day: date, model_version: str | None = None
) -> Iterator[Event]:
    """Yield the events of proposed pairs: proposed, viewed, decided, rated, completed.

    Args:
        pairs: Rows of ``Round.pairs``, with context: both directions of each proposed pair.
        name: Name of the round; part of the events' ids.
        day: The day on which the round takes place.
        model_version: Version of our model that proposed them; None for the matcher's own.
    """
    accepted_by = pairs.groupby("match_id")["accepted"].transform("all")
    start = datetime.combine(day, datetime.min.time(), tzinfo=UTC) + timedelta(hours=9)
    minute = (pairs["occurred_at"] - pairs["occurred_at"].min()).dt.total_seconds()
    records = pairs.assign(mutual=accepted_by, second=minute).to_dict("records")
    for row in records:
        at = start + timedelta(seconds=float(row["second"]))
        yield from _events_of_row({str(k): v for k, v in row.items()}, name, at, model_version)


def _events_of_row(
    row: dict[str, Any], name: str, at: datetime, model_version: str | None
) -> Iterator[Event]:
    def common(kind: str, minutes: float) -> dict[str, Any]:
        return {
            "user_id": row["user_id"],
            "match_id": row["match_id"],
            "session_id": f"{name}/{row['user_id']}",
            "event_id": uuid.uuid5(NAMESPACE, f"{name}/{row['match_id']}/{row['user_id']}/{kind}"),
            "occurred_at": at + timedelta(minutes=minutes),
        }

    yield MatchProposedEvent(
        **common("proposed", 0),
        match_score=float(row["match_score"]),
        match_parameters=_after("parameter:", row),
        alternatives_count=int(row["alternatives_count"]),
        constraint_satisfaction=_after("constraint:", row),
        model_version=model_version,
    )
    if not row.get("shows_up", True):
        return
    yield MatchViewedEvent(**common("viewed", 1), view_duration_seconds=60.0, view_complete=True)
    yield MatchDecisionEvent(
        **common("decision", 4), decision=bool(row["accepted"]), decision_time_seconds=180.0
    )
    if not _missing(row["rating"]):
        yield MatchFeedbackEvent(**common("feedback", 5), rating=int(row["rating"]))
    if row["mutual"]:
        yield MatchCompletedEvent(
            **common("completed", 6), completed=True, duration_days=0.0, completion_rate=1.0
        )


def _after(prefix: str, row: dict[str, Any]) -> dict[str, float]:
    """Return the figures of a row by the names after a prefix; a missing one has no entry."""
    return {
        name.removeprefix(prefix): float(value)
        for name, value in row.items()
        if name.startswith(prefix) and not _missing(value)
    }


def _missing(value: Any) -> bool:
    return value is pd.NA or value is None or math.isnan(value)
