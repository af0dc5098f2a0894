"""List rejected events, and hand them back to staging after a fix."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from schemas.purposes import Purpose
from warehouse import accounts, bulk, withdrawals
from warehouse.engine import is_postgres, reading, writing
from warehouse.purposes import Ground, consented_sql, on_ground

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Engine

_MOVED = "event_id, kind, subject, match_key, session_key, occurred_at, payload, sealed, sealed_day"
_ALLOWED = f"subject IN (SELECT subject FROM subjects WHERE {consented_sql(Purpose.ANALYTICS)})"
_LISTED = 1_000


@dataclass(frozen=True)
class RejectedEvent:
    """A rejected event: its number in staging, and the rules that it broke; no content."""

    seq: int
    event_id: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class RejectedEvents:
    """All rejected events, counted by the first rule that each broke, and the newest of them."""

    by_rule: Mapping[str, int]
    newest: tuple[RejectedEvent, ...]

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.by_rule.values())


@on_ground(Ground.COUNTING)
def list_rejected(engine: Engine, *, limit: int = _LISTED) -> RejectedEvents:
    """Read what was rejected and why.

    Args:
        engine: The database.
        limit: How many of the newest are listed one by one.
    """
    with reading(engine) as connection:
        groups = bulk.fetch(connection, "SELECT reasons, COUNT(*) FROM rejected GROUP BY reasons")
        rows = bulk.fetch(
            connection,
            "SELECT seq, event_id, reasons FROM rejected ORDER BY seq DESC LIMIT :most",
            {"most": limit},
        )
    by_rule: Counter[str] = Counter()
    for reasons, count in groups:
        by_rule[_rules(reasons)[0]] += count
    newest = (
        RejectedEvent(seq, _hex(event_id), _rules(reasons)) for seq, event_id, reasons in rows
    )
    return RejectedEvents(dict(by_rule.most_common()), tuple(newest))


def replay_rejected(engine: Engine, seqs: Iterable[int] | None = None) -> int:
    """Move rejected events back to staging, where the next run judges them anew.

    Those of people who allow it now: what may not be collected may not be collected again.

    One transaction: an event is in one of the two tables at any time, and the books follow. It
    gets a new number, at the end of staging: a stretch of staging only ever loses rows.

    Args:
        engine: The database.
        seqs: Numbers of the events; None for all.

    Returns:
        How many were moved.
    """
    with writing(engine) as connection:
        withdrawals.stand(connection)
        here, which = _ALLOWED, {}
        if seqs is not None:
            here += f" AND {bulk.among(connection, 'seq', 'seqs')}"
            which = {"seqs": bulk.numbers(connection, seqs)}
        # Chosen once, and held: on PostgreSQL each statement sees what was rejected or withdrawn
        # since the one before it.
        held = " FOR UPDATE" if is_postgres(connection) else ""
        chosen = bulk.fetch(
            connection, f"SELECT seq, reasons FROM rejected WHERE {here}{held}", which
        )
        moved: Counter[tuple[str, str]] = Counter()
        moved.subtract((accounts.REJECTED, _rules(reasons)[0]) for _, reasons in chosen)
        these = bulk.among(connection, "seq", "chosen")
        numbers = {"chosen": bulk.numbers(connection, [seq for seq, _ in chosen])}
        bulk.run(
            connection,
            # It waits from now on: by the age that it had it could be past its retention.
            f"INSERT INTO staged ({_MOVED}, received_at)"
            f" SELECT {_MOVED}, :now FROM rejected WHERE {these}",
            numbers | {"now": time.time_ns() // 1_000},
        )
        bulk.run(connection, f"DELETE FROM rejected WHERE {these}", numbers)
        accounts.add(connection, moved)
    return -sum(moved.values())


def _rules(reasons: str) -> tuple[str, ...]:
    return msgspec.json.decode(reasons, type=tuple[str, ...])


def _hex(event_id: object) -> str:
    # SQLite may hold anything where a poisoned row was put in by hand.
    return event_id.hex() if isinstance(event_id, bytes) else ""
