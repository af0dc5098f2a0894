"""Staged rows as a server would leave them, for tests that begin behind it."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from sqlalchemy import func, select

from schemas.clock import MICROS_PER_DAY
from schemas.events import EventKind
from schemas.tables import events, matches, metric_sums, rejected, staged, subjects
from warehouse import accounts, batches
from warehouse.batches import Counts
from warehouse.engine import reading, writing
from warehouse.leases import PROCESS_EVENTS, lease
from warehouse.matches import CODES, UNKNOWN
from warehouse.packed import Packed
from warehouse.subtraction import settle, unsettled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection, Engine

    from warehouse.batch_frame import Batch

TODAY = 20_700
NOW = TODAY * MICROS_PER_DAY + MICROS_PER_DAY // 2
"""The time of a run in tests: noon of a day in 2026."""

FIGURES: dict[str, dict[str, Any]] = {
    EventKind.PROPOSED: {
        "match_score": 0.7,
        "alternatives_count": 4,
        "match_parameters": {"side": 1.0},
        "constraint_satisfaction": {"distance": 0.75, "language": 0.2},
        "model_version": "3",
    },
    EventKind.VIEWED: {"view_duration_seconds": 2.5, "view_complete": True},
    EventKind.ACCEPTED: {"decision_time_seconds": 4.0},
    EventKind.REJECTED: {"decision_time_seconds": 8.0},
    EventKind.FEEDBACK: {"rating": 4},
    EventKind.COMPLETED: {"duration_days": 12.0, "completion_rate": 1.0},
    EventKind.ABANDONED: {"duration_days": 3.0, "completion_rate": 0.25},
}
"""Figures of an event of each kind, as the door leaves them."""


def make_row(kind: str, **given: Any) -> dict[str, Any]:
    """Return a staged row; what is not given is ordinary."""
    figures = FIGURES.get(kind, {}) | given.pop("figures", {})
    return {
        "event_id": uuid.uuid4().bytes,
        "kind": kind,
        "subject": 1,
        "match_key": 1,
        "session_key": None,
        "occurred_at": NOW - 60_000_000,
        "received_at": NOW - 1_000_000,
        "payload": msgspec.json.encode(figures),
        "sealed": None,
        "sealed_day": None,
    } | given


def stage(engine: Engine, rows: Iterable[dict[str, Any]]) -> None:
    """Put rows into staging, and into the books."""
    listed = list(rows)
    with writing(engine) as connection:
        if listed:
            connection.execute(staged.insert(), listed)
        count = len(listed)
        accounts.add(connection, {(accounts.RECEIVED, ""): count, (accounts.STORED, ""): count})


def admit(
    engine: Engine, numbers: Iterable[int], *, analytics: bool = True, improvement: bool = False
) -> None:
    """Make subjects who consent."""
    with writing(engine) as connection:
        for number in numbers:
            connection.execute(
                subjects.insert().values(
                    subject=number,
                    pseudonym=number.to_bytes(32, "big"),
                    key_id="key",
                    ledger_id=number.to_bytes(16, "big"),
                    analytics=analytics,
                    improvement=improvement,
                    notice_version="2026-11",
                    updated_at=NOW,
                )
            )


def consent(engine: Engine, number: int, *, analytics: bool) -> None:
    """Let a subject change their mind."""
    with writing(engine) as connection:
        connection.execute(
            subjects.update().where(subjects.c.subject == number).values(analytics=analytics)
        )


def history(seed: int, *, length: int, subjects: int, matches: int) -> list[dict[str, Any]]:
    """Return random events: two parties a match, late ones, and several of one facet."""
    draw = random.Random(seed)
    rows = []
    for _ in range(length):
        kind = draw.choice(list(FIGURES))
        match_key = draw.randrange(1, matches + 1)
        subject = 1 + (match_key + draw.randrange(2)) % subjects
        occurred_at = NOW - draw.randrange(20) * MICROS_PER_DAY // 4
        rows.append(
            make_row(
                kind,
                event_id=draw.randbytes(16),
                subject=subject,
                match_key=match_key,
                occurred_at=occurred_at,
                received_at=NOW - draw.randrange(1_000),
                figures=_figures(draw, kind),
            )
        )
    return rows


def _figures(draw: random.Random, kind: str) -> dict[str, Any]:
    match kind:
        case EventKind.PROPOSED:
            names = draw.sample(["distance", "language", "hours", "level"], draw.randrange(4))
            return {
                "match_score": draw.randrange(1_001) / 1_000,
                "constraint_satisfaction": {name: draw.randrange(101) / 100 for name in names},
                "model_version": draw.choice(["", "1", "2"]),
            }
        case EventKind.VIEWED:
            return {"view_duration_seconds": draw.randrange(100) / 10}
        case EventKind.FEEDBACK:
            return {"rating": draw.randrange(1, 6)}
        case _:
            return {}


def tables(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Read everything that a run leaves, but for numbers that tell the order of arrival."""
    with reading(engine) as connection:
        return {
            "matches": _rows(connection, select(matches).order_by(*matches.primary_key)),
            "sums": _rows(connection, select(metric_sums).order_by(*metric_sums.primary_key)),
            "events": _rows(
                connection,
                select(*(column for column in events.c if column.name != "seq")).order_by(
                    events.c.event_id
                ),
            ),
            "rejected": _rows(
                connection,
                select(rejected.c.event_id, rejected.c.reasons).order_by(rejected.c.event_id),
            ),
            "counted": _rows(
                connection, select(subjects.c.subject, subjects.c.counted).order_by("subject")
            ),
            "staged": _rows(connection, select(func.count()).select_from(staged)),
            "books": sorted(
                (counter, rule, value)
                for (counter, rule), value in accounts.read(connection).items()
                if value
            ),
        }


def _rows(connection: Connection, query: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(query)]


def process(
    engine: Engine, *, size: int = 1_000, as_of: int = NOW, validate: bool = True
) -> Counts:
    """Process what is staged, as the flow does, without Prefect and without texts.

    ``validate`` false spares the seconds of Great Expectations where every event is good.
    """
    total = Counts()
    with lease(engine, PROCESS_EVENTS, 60) as held:
        with writing(engine) as connection:
            settle(connection, unsettled(connection))
        for partition in batches.plan(engine, size):
            batch = batches.read(engine, partition, as_of)
            broken = _broken(batch) if validate else {}
            total += batches.commit(engine, held, batch, broken, {}, as_of=as_of)
    return total


def packed(row: Mapping[str, Any]) -> Packed:
    """Return a row of staging as the database would pack it."""
    numbers = {name: row[name] for name in ("subject", "match_key", "occurred_at", "received_at")}
    numbers |= {"seq": row.get("seq", 1), "kind": CODES.get(row["kind"], UNKNOWN)}
    return Packed(
        numbers={name: np.array([number], np.int64) for name, number in numbers.items()},
        typed=np.ones(1, bool),
        event_ids=np.array([row["event_id"]], "S16"),
        payloads=[row["payload"]],
    )


def _broken(batch: Batch) -> dict[str, Any]:
    from expectations.staged_events import broken_events  # seconds: only where asked for

    return broken_events(batch.seq, batch.columns)
