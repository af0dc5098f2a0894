"""What a nightly run counts of people and of blocks, so that a page reads sums and no people.

``people`` and ``consenting`` (by purpose) are the state at the time of the count; ``withdrawn``
(by purpose) counts the answers of a day that took a purpose back; ``withheld`` the slices that
were left out of the block that ends with the day, because too few people stood behind them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.clock import MICROS_PER_DAY
from schemas.purposes import Purpose
from warehouse import bulk
from warehouse.engine import reading, writing

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from warehouse.leases import Lease

PEOPLE, CONSENTING, WITHDRAWN, WITHHELD = "people", "consenting", "withdrawn", "withheld"
_PURPOSES = tuple(str(purpose) for purpose in Purpose)
_NAMES = ("day", "figure", "rule", "value")


def count_people(engine: Engine, lease: Lease, at: int) -> dict[str, int]:
    """Count who allows what, and who took it back since the last count; safe to run again.

    Args:
        engine: The database.
        lease: Who may write.
        at: The time, microseconds since 1970.

    Returns:
        People who allow each purpose.

    Raises:
        LeaseLost: Another run has taken over.
    """
    today = at // MICROS_PER_DAY
    with reading(engine) as connection:
        people, *allowing = bulk.fetch(
            connection,
            "SELECT COUNT(*), "
            + ", ".join(f"COUNT(*) FILTER (WHERE {name})" for name in _PURPOSES)
            + " FROM subjects",
        )[0]
        since = _last_count(connection)
        withdrawn = _withdrawn(connection, since)
    consenting = dict(zip(_PURPOSES, allowing, strict=True))
    with writing(engine) as connection:
        lease.check(connection)
        gone = "DELETE FROM tallies WHERE figure = :figure AND day >= :since"
        bulk.run(connection, gone, {"figure": WITHDRAWN, "since": since})
        # Of the state the newest is enough: a history would tell of the erased.
        for figure in (PEOPLE, CONSENTING):
            bulk.run(connection, gone, {"figure": figure, "since": 0})
        state = [(today, PEOPLE, "", people)]
        state += [(today, CONSENTING, name, number) for name, number in consenting.items()]
        keys = _NAMES[:3]
        bulk.replace_rows(connection, "tallies", _NAMES, keys, [*state, *withdrawn])
    return consenting


def keep_withheld(connection: Connection, day: int, slices: int) -> None:
    """Keep how many slices were left out of the block that ends with a day."""
    rows = [(day, WITHHELD, "", slices)]
    bulk.replace_rows(connection, "tallies", _NAMES, _NAMES[:3], rows)


def newest(connection: Connection, figure: str) -> tuple[int | None, dict[str, int]]:
    """Read the newest count of a figure: its day, and the number by rule."""
    rows = bulk.fetch(
        connection,
        "SELECT day, rule, value FROM tallies WHERE figure = :figure"
        " AND day = (SELECT MAX(day) FROM tallies WHERE figure = :figure)",
        {"figure": figure},
    )
    return (rows[0][0] if rows else None), {rule: value for _, rule, value in rows}


def summed(
    connection: Connection, figure: str, since: int, until: int, unit: int = 1
) -> dict[str, int]:
    """Sum a figure over the days ``[since, until)``, by rule.

    Each day is rounded down to a multiple of ``unit``, so that no two windows differ by less.
    """
    rows = bulk.fetch(
        connection,
        "SELECT rule, SUM(value / :unit * :unit) FROM tallies WHERE figure = :figure"
        " AND day >= :since AND day < :until GROUP BY rule ORDER BY rule",
        {"figure": figure, "since": since, "until": until, "unit": unit},
    )
    return {rule: int(value) for rule, value in rows}


def _last_count(connection: Connection) -> int:
    """Return the day of the last count, which was not over when it was made."""
    day, _ = newest(connection, PEOPLE)
    return day or 0


def _withdrawn(connection: Connection, since: int) -> list[tuple[int, str, str, int]]:
    taken_back = ", ".join(
        f"COUNT(*) FILTER (WHERE before.{name} AND NOT after.{name})" for name in _PURPOSES
    )
    rows = bulk.fetch(
        connection,
        f"SELECT after.recorded_at / {MICROS_PER_DAY} AS day, {taken_back}"
        " FROM consents after JOIN consents before ON before.seq = ("
        "SELECT MAX(seq) FROM consents e WHERE e.ledger_id = after.ledger_id AND e.seq < after.seq)"
        " WHERE after.recorded_at >= :since GROUP BY 1 ORDER BY 1",
        {"since": since * MICROS_PER_DAY},
    )
    return [
        (day, WITHDRAWN, name, number)
        for day, *numbers in rows
        for name, number in zip(_PURPOSES, numbers, strict=True)
        if number
    ]
