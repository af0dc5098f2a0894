"""An installation with something to show, as the flows leave it: for tests of pages."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.clock import MICROS_PER_DAY, day_number, moment
from schemas.events import EventKind
from schemas.tables import published_weights, training_sets
from tests.histories import make_row, process, stage
from tests.population import answer
from warehouse import accounts, blocks, drift_days, shadow_prices, tallies
from warehouse.engine import writing
from warehouse.leases import AGGREGATE_METRICS, lease

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

HOSTILE = '<script>alert("x")</script>&amp;\u202egnp.exe'
"""A name that a page must show as it is and never obey."""


@dataclass(frozen=True)
class Size:
    """How much there is to show."""

    people: int = 40
    days: int = 40
    matches_a_day: int = 24
    constraints: tuple[str, ...] = ("distance", "language", "hours", "level")
    versions: tuple[str, ...] = ("", "1", "2")


def furnish(engine: Engine, size: Size | None = None, *, seed: int = 7) -> None:
    """Fill a database with some weeks of the loop that end now."""
    chosen = size or Size()
    now = time.time_ns() // 1_000
    draw = random.Random(seed)
    people = _people(engine, chosen, draw, now)
    stage(engine, _history(chosen, draw, people, now))
    process(engine, size=50_000, as_of=now, validate=False)
    _keep_house(engine, chosen, now)
    _learn(engine, chosen, draw, now)
    stage(engine, [make_row(EventKind.VIEWED, subject=people[0], received_at=now - 240_000_000)])


def _people(engine: Engine, size: Size, draw: random.Random, now: int) -> list[int]:
    people = []
    begin = now - (size.days + 5) * MICROS_PER_DAY
    for number in range(size.people):
        purposes = ["analytics", *(["improvement"] if draw.random() < 0.7 else [])]
        people.append(answer(engine, f"person-{number}", *purposes, at=begin + number))
    for number in range(0, size.people, 7):
        at = now - 3 * MICROS_PER_DAY + number
        answer(engine, f"person-{number}", "analytics", at=at)
    return people


def _history(
    size: Size, draw: random.Random, people: list[int], now: int
) -> Iterator[dict[str, Any]]:
    key = 0
    for age in range(size.days, -1, -1):
        version = size.versions[(size.days - age) * len(size.versions) // (size.days + 1)]
        for _ in range(size.matches_a_day):
            key += 1
            at = now - age * MICROS_PER_DAY - draw.randrange(1, 3_600_000_000)
            for subject in draw.sample(people, 2):
                figures = {"subject": subject, "match_key": key, "occurred_at": at}
                yield from _proposal(size, draw, figures, version)


def _proposal(
    size: Size, draw: random.Random, common: dict[str, int], version: str
) -> Iterator[dict[str, Any]]:
    satisfied = {name: round(draw.random(), 2) for name in size.constraints}
    mean = sum(satisfied.values()) / max(len(satisfied), 1)
    figures = {
        "match_score": round(mean, 3),
        "constraint_satisfaction": satisfied,
        "model_version": version,
    }
    yield make_row(EventKind.PROPOSED, event_id=draw.randbytes(16), figures=figures, **common)
    steps: list[tuple[float, str, dict[str, Any]]] = [(0.8, EventKind.VIEWED, {})]
    accepts = draw.random() < 0.15 + 0.5 * satisfied.get(size.constraints[0], 0.5)
    steps.append((0.7, EventKind.ACCEPTED if accepts else EventKind.REJECTED, {}))
    if accepts:
        steps.append((0.5, EventKind.FEEDBACK, {"rating": draw.choice([2, 3, 4, 4, 5, 5])}))
        steps.append((0.4, draw.choice([EventKind.COMPLETED, EventKind.ABANDONED]), {}))
    for later, (chance, kind, given) in enumerate(steps, start=1):
        if draw.random() < chance:
            yield make_row(
                kind,
                event_id=draw.randbytes(16),
                figures=given,
                **{**common, "occurred_at": common["occurred_at"] + later * 1_000_000},
            )


def _keep_house(engine: Engine, size: Size, now: int) -> None:
    with lease(engine, AGGREGATE_METRICS, 60) as held:
        blocks.seal(engine, held, day_number(moment(now)), 10, now)
        tallies.count_people(engine, held, now)
    for flow in ("process_events", "retrain_model"):
        with lease(engine, flow, 60):
            pass
    with writing(engine) as connection:
        accounts.add(
            connection,
            {
                (accounts.RECEIVED, ""): 2_345,
                (accounts.DUPLICATE, ""): 41,
                (accounts.REFUSED, "consent"): 57,
                (accounts.REFUSED, "match_score: must be at most 1"): 12,
                (accounts.REJECTED, HOSTILE[:96]): 23,
                (accounts.REJECTED, "rating_follows_acceptance"): 4,
            },
        )


def _learn(engine: Engine, size: Size, draw: random.Random, now: int) -> None:
    names = size.constraints
    weight = 1 / len(names)
    document = {
        "version": "2",
        "weights": [
            {"name": name, "weight": weight, "lower": weight - 0.05, "upper": weight + 0.06}
            for name in names
        ],
    }
    with writing(engine) as connection:
        connection.execute(
            published_weights.insert().values(
                version="2",
                published_at=now - 9 * MICROS_PER_DAY,
                document=msgspec.json.encode(document).decode(),
            )
        )
        connection.execute(
            training_sets.insert().values(
                version="3",
                rows=900,
                subjects=40,
                digest="0" * 64,
                consent_digest="0" * 64,
                as_of=now - MICROS_PER_DAY,
                outcome="refused",
                reason="no gain",
            )
        )
    priced = [
        shadow_prices.Priced(name, 0.5, 400, 150, 20, cost, max(0.0, cost - 0.03), cost + 0.03)
        for name, cost in ((name, round(0.3 * draw.random(), 3)) for name in names)
    ]
    shadow_prices.keep(engine, priced, "2", moment(now))
    today = day_number(moment(now))
    found = [
        drift_days.Measured(day, feature, "stability", 60, 0.3 * draw.random(), 0.25)
        for day in range(today - 20, today - 1)
        for feature in ("match_score", "score", *(f"constraint:{name}" for name in names))
    ]
    with lease(engine, "watch_drift", 60) as held:
        drift_days.keep(engine, held, found, "2", since_day=0, at=moment(now))
