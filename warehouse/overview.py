"""What the dashboard says beside the metrics: quality of the data, privacy, health of the loop.

Nothing here reads rows of people: counts come from the books and from the nightly tallies, ages
from the ends of indexes. Where figures are published every count, of a window that of each
of its days, is rounded down to a whole multiple of k, and what would tell of a single row is left
out; ``unit`` says which it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from schemas.clock import MICROS_PER_DAY, day_number, iso_day, micros, moment
from schemas.purposes import Purpose
from schemas.retention import Rule, rules
from schemas.tables import (
    blocks,
    erasures,
    metric_sums,
    published_weights,
    rejected,
    staged,
    training_sets,
)
from warehouse import accounts, bulk, leases, marks, queue, tallies
from warehouse import measures as m
from warehouse.engine import reading
from warehouse.erasure_requests import DONE
from warehouse.purposes import Ground, on_ground
from warehouse.sums import exact_window, published_window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Engine

    from schemas.settings import Settings

LATEST_ERASURE_DAYS = 30
"""An erasure that waits for longer is late (GDPR, article 12(3): within one month)."""

GRACE_DAYS = 2
"""A purge runs nightly: so many days past its retention a row is overdue."""

FLOWS = (
    "process_events",
    "aggregate_metrics",
    "retrain_model",
    "watch_drift",
    "purge_expired",
    "verify_ledgers",
)
"""Flows with a schedule, in the order of the loop."""

ON_REQUEST = "erase_subject"
"""The flow that runs when a person asks: when it last did tells of that person."""

_FIRST_BY_KEY = {staged.name: staged.c.seq, rejected.name: rejected.c.seq}
"""Tables whose rows lie in the order of their age, and have no index on it."""


@dataclass(frozen=True)
class Unit:
    """Counts in whole multiples of so many, rounded down."""

    size: int

    def of(self, count: int) -> int:
        """Round a count."""
        return count // self.size * self.size

    def by_rule(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Round each count, the largest first; those below the unit are left out."""
        kept = {rule: self.of(count) for rule, count in counts.items()}
        return dict(Counter({rule: count for rule, count in kept.items() if count}).most_common())


def quality(engine: Engine, *, smallest: int, published: bool) -> dict[str, Any]:
    """Tell what became of the events that were sent, since the installation began.

    Args:
        engine: The database.
        smallest: k.
        published: Round every count down to a multiple of k.
    """
    unit = Unit(smallest if published else 1)
    total: Counter[str] = Counter()
    by_rule: dict[str, dict[str, int]] = {accounts.REFUSED: {}, accounts.REJECTED: {}}
    with reading(engine) as connection:
        for (counter, rule), value in accounts.read(connection).items():
            total[counter] += value
            if counter in by_rule:
                by_rule[counter][rule] = value
    names = (
        accounts.RECEIVED,
        accounts.STORED,
        accounts.DUPLICATE,
        accounts.REFUSED,
        accounts.PROCESSED,
        accounts.REJECTED,
        accounts.DROPPED,
        accounts.EXPIRED,
    )
    return {
        "unit": unit.size,
        "events": {name: unit.of(total[name]) for name in names},
        "refused": unit.by_rule(by_rule[accounts.REFUSED]),
        "rejected": unit.by_rule(by_rule[accounts.REJECTED]),
    }


def privacy(
    engine: Engine, settings: Settings, days: int, as_of: datetime, *, published: bool
) -> dict[str, Any]:
    """Tell who allows what, what was erased, how old the oldest rows are, what was published.

    Args:
        engine: The database.
        settings: Say the retention of each class of data, and k.
        days: Length of the window, days.
        as_of: Its last day.
        published: Round every count down to a multiple of k, and leave out ages.
    """
    unit = Unit(settings.smallest_group if published else 1)
    window = exact_window(days, day_number(as_of))
    with reading(engine) as connection:
        counted, people = tallies.newest(connection, tallies.PEOPLE)
        _, consenting = tallies.newest(connection, tallies.CONSENTING)
        span = (window.since, window.until)
        withdrawn = tallies.summed(connection, tallies.WITHDRAWN, *span, unit.size)
        return {
            "unit": unit.size,
            "counted": None if counted is None else iso_day(counted),
            "people": unit.of(people.get("", 0)),
            "purposes": {
                str(purpose): {
                    "consenting": unit.of(consenting.get(purpose, 0)),
                    "withdrawn": withdrawn.get(purpose, 0),
                }
                for purpose in Purpose
            },
            "erasures": _erasures(connection, window.since, as_of, unit, published=published),
            "retention": [
                _age(connection, rule, as_of, published=published)
                for rule in rules(settings, as_of)
            ],
            "publication": _publication(connection, settings.smallest_group, days, as_of, unit),
        }


def loop(engine: Engine, as_of: datetime, *, smallest: int, published: bool) -> dict[str, Any]:
    """Tell whether events are processed, when each flow last ended well, and which model serves.

    Args:
        engine: The database.
        as_of: The time.
        smallest: k.
        published: Round counts down to a multiple of k, and leave out when somebody was erased.
    """
    unit = Unit(smallest if published else 1)
    waiting, oldest = queue.backlog(engine)
    with reading(engine) as connection:
        finished = leases.last_finished(connection)
        learned = connection.execute(
            select(training_sets.c.as_of, training_sets.c.outcome)
            .order_by(training_sets.c.as_of.desc())
            .limit(1)
        ).first()
        return {
            "unit": unit.size,
            "waiting": unit.of(waiting),
            "oldest_waiting_seconds": _seconds_since(oldest, as_of),
            "flows": {
                **{name: _at(finished.get(name)) for name in FLOWS},
                ON_REQUEST: None if published else _at(finished.get(ON_REQUEST)),
            },
            "champion": _champion(connection, as_of),
            "last_retrain": (
                {"at": _at(learned.as_of), "outcome": learned.outcome} if learned else None
            ),
        }


def _erasures(
    connection: Connection, since_day: int, as_of: datetime, unit: Unit, *, published: bool
) -> dict[str, Any]:
    late = micros(as_of) - LATEST_ERASURE_DAYS * MICROS_PER_DAY
    rows = connection.execute(
        select(
            func.count().filter(erasures.c.state != DONE),
            func.count().filter(erasures.c.state != DONE, erasures.c.requested_at < late),
            func.count().filter(erasures.c.state == DONE),
        )
    ).one()
    pending, overdue, ever = (int(number) for number in rows)
    # Sums of rounded days: no two windows differ by less than a day shows.
    by_day = connection.execute(
        select(func.count())
        .where(erasures.c.finished_at >= since_day * MICROS_PER_DAY)
        .group_by(erasures.c.finished_at // MICROS_PER_DAY)
    ).scalars()
    return {
        "pending": unit.of(pending),
        # That a duty is not met is said whatever the number.
        "overdue": min(overdue, 1) if published else overdue,
        "done": sum(map(unit.of, by_day)),
        "done_ever": unit.of(ever),
    }


def _age(connection: Connection, rule: Rule, as_of: datetime, *, published: bool) -> dict[str, Any]:
    oldest = _oldest(connection, rule)
    at = None if oldest is None else oldest * (MICROS_PER_DAY if rule.in_days else 1)
    kept_days = day_number(as_of) - rule.cutoff // MICROS_PER_DAY
    return {
        "data_class": rule.data_class,
        "kept_days": kept_days,
        "overdue": at is not None and at < rule.cutoff - GRACE_DAYS * MICROS_PER_DAY,
        "oldest": None if published or at is None else iso_day(at // MICROS_PER_DAY),
        "empty": None if published else at is None,
    }


@on_ground(Ground.COUNTING)
def _oldest(connection: Connection, rule: Rule) -> int | None:
    """Find the oldest row of a class from one end of an index."""
    if rule.table is metric_sums:
        # The key begins with the measure: one step for each instead of a look at all days.
        found = [
            bulk.fetch(
                connection,
                "SELECT MIN(day) FROM metric_sums WHERE measure = :measure AND facet = :whole",
                {"measure": name, "whole": m.WHOLE},
            )[0][0]
            for name in m.OF_WHOLE
        ]
        return min((day for day in found if day is not None), default=None)
    column = rule.table.c[rule.by]
    key = _FIRST_BY_KEY.get(rule.table.name)
    statement: Any = select(func.min(column)) if key is None else select(column).order_by(key)
    first: Callable[[], int | None] = connection.execute(statement.limit(1)).scalar
    return first()


def _publication(
    connection: Connection, smallest: int, days: int, as_of: datetime, unit: Unit
) -> dict[str, Any]:
    today = day_number(as_of)
    window = published_window(connection, days, today)
    last = connection.execute(select(func.max(blocks.c.until_day))).scalar()
    inside = exact_window(days, today)
    withheld = tallies.summed(connection, tallies.WITHHELD, inside.since, inside.until, unit.size)
    return {
        "k": smallest,
        "blocks": len(window.blocks or ()),
        "published_until": None if last is None else iso_day(last),
        # Days before a restore may have been published, and are not waited for.
        "waiting_days": None
        if last is None
        else max(0, today - max(last, marks.sealed_until(connection))),
        "withheld": withheld.get("", 0),
    }


def _champion(connection: Connection, as_of: datetime) -> dict[str, Any] | None:
    newest = connection.execute(
        select(published_weights.c.version).order_by(published_weights.c.seq.desc()).limit(1)
    ).scalar()
    if newest is None:
        return None
    other = select(func.coalesce(func.max(published_weights.c.seq), 0)).where(
        published_weights.c.version != newest
    )
    since = connection.execute(
        select(func.min(published_weights.c.published_at)).where(
            published_weights.c.seq > other.scalar_subquery()
        )
    ).scalar_one()
    return {"version": newest, "since": _at(since), "age_days": (as_of - moment(since)).days}


def _at(micros_since_epoch: int | None) -> str | None:
    return None if micros_since_epoch is None else moment(micros_since_epoch).isoformat()


def _seconds_since(at: int | None, as_of: datetime) -> float:
    return 0.0 if at is None else max(0.0, (as_of - moment(at)).total_seconds())
