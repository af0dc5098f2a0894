"""Read sums over a window of days: running ones, or those of published blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.clock import iso_day
from warehouse import bulk
from warehouse.measures import SATISFACTION_PROPOSED, WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection


@dataclass(frozen=True)
class Window:
    """Days ``[since, until)``, and which blocks of them are published.

    Attributes:
        since: First day, days since 1970.
        until: The day after the last.
        blocks: Numbers of the published blocks that it is made of; None reads running sums.
    """

    since: int
    until: int
    blocks: tuple[int, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        empty = self.blocks is not None and not self.blocks
        return {
            "since": None if empty else iso_day(self.since),
            "until": None if empty else iso_day(self.until),
            "published": self.blocks is not None,
        }


def exact_window(days: int, today: int) -> Window:
    """Return the window of so many days that ends with today."""
    return Window(today - days + 1, today + 1)


def published_window(connection: Connection, days: int, today: int) -> Window:
    """Return the union of the whole blocks that lie in the window of so many days.

    Blocks do not overlap, so two windows differ by whole blocks, each of which holds at least
    as many subjects as a published figure must.
    """
    asked = exact_window(days, today)
    rows = bulk.fetch(
        connection,
        "SELECT block, since_day, until_day FROM blocks"
        " WHERE since_day >= :since AND until_day <= :until ORDER BY since_day",
        {"since": asked.since, "until": asked.until},
    )
    if not rows:
        return Window(asked.since, asked.since, ())
    return Window(rows[0][1], rows[-1][2], tuple(row[0] for row in rows))


def whole_sums(connection: Connection, window: Window, names: Iterable[str]) -> dict[str, int]:
    """Sum the measures that belong to no constraint.

    Returns:
        Sum by measure; a measure without a sum is absent.
    """
    measures, parameters = _named(names)
    rows = bulk.fetch(
        connection,
        f"SELECT measure, SUM(value) FROM {_source(window)}"
        f" WHERE measure IN ({measures}) AND facet = :whole AND {_within(connection, window)}"
        " GROUP BY measure",
        {**parameters, **_bounds(connection, window), "whole": WHOLE},
    )
    return {measure: int(value) for measure, value in rows}


def sums_by_stretch(
    connection: Connection, window: Window, names: Iterable[str]
) -> dict[tuple[int, int], dict[str, int]]:
    """Sum the same by stretch of days, ``[since, until)``: a day each, or a published block each.

    Returns:
        Sum by measure, by stretch in order; a published block without such sums is empty.
    """
    measures, parameters = _named(names)
    if window.blocks is None:
        rows = bulk.fetch(
            connection,
            f"SELECT day, day + 1, measure, SUM(value) FROM metric_sums"
            f" WHERE measure IN ({measures}) AND facet = :whole AND day >= :since AND day < :until"
            " GROUP BY day, measure ORDER BY day",
            {**parameters, **_bounds(connection, window), "whole": WHOLE},
        )
    else:
        within = bulk.among(connection, "b.block", "blocks")
        rows = bulk.fetch(
            connection,
            "SELECT b.since_day, b.until_day, s.measure, SUM(s.value) FROM blocks b"
            " LEFT JOIN block_sums s ON s.block = b.block AND s.facet = :whole"
            f" AND s.measure IN ({measures}) WHERE {within}"
            " GROUP BY b.since_day, b.until_day, s.measure ORDER BY b.since_day",
            {**parameters, **_bounds(connection, window), "whole": WHOLE},
        )
    found: dict[tuple[int, int], dict[str, int]] = {}
    for since, until, measure, value in rows:
        sums = found.setdefault((since, until), {})
        if measure is not None:
            sums[measure] = int(value)
    return found


def sums_by_version(
    connection: Connection, window: Window, names: Iterable[str]
) -> dict[str, dict[str, int]]:
    """Sum the same by model version: ``{version: {measure: sum}}``, versions in order."""
    measures, parameters = _named(names)
    rows = bulk.fetch(
        connection,
        f"SELECT model_version, measure, SUM(value) FROM {_source(window)}"
        f" WHERE measure IN ({measures}) AND facet = :whole AND {_within(connection, window)}"
        " GROUP BY model_version, measure ORDER BY model_version",
        {**parameters, **_bounds(connection, window), "whole": WHOLE},
    )
    return _nested(rows)


def sums_by_constraint(
    connection: Connection, window: Window, names: Iterable[str]
) -> dict[str, dict[str, int]]:
    """Sum the measures of constraints: ``{constraint: {measure: sum}}``, names in order.

    Each (measure, constraint) is one stretch of the primary key, summed by itself, so that the
    cost is days times groups of the window, not of the history, and nothing is sorted.
    """
    listed = list(names)
    measures, parameters = _named(listed)
    if window.blocks is not None:
        rows = bulk.fetch(
            connection,
            f"SELECT facet, measure, SUM(value) FROM block_sums WHERE measure IN ({measures})"
            f" AND facet <> :whole AND {_within(connection, window)}"
            " GROUP BY facet, measure ORDER BY facet",
            {**parameters, **_bounds(connection, window), "whole": WHOLE},
        )
        return _nested(rows)
    facets = _facets(connection)
    if not facets:
        return {}
    named = ", ".join(f"(:{mark})" for mark in parameters)
    marks = ", ".join(f"(:facet_{place})" for place in range(len(facets)))
    parameters |= {f"facet_{place}": name for place, name in enumerate(facets)}
    rows = bulk.fetch(
        connection,
        "SELECT f.column1, m.column1, (SELECT SUM(value) FROM metric_sums"
        " WHERE measure = m.column1 AND facet = f.column1"
        f" AND {_within(connection, window)})"
        f" FROM (VALUES {marks}) AS f CROSS JOIN (VALUES {named}) AS m ORDER BY f.column1",
        {**parameters, **_bounds(connection, window)},
    )
    return _nested(row for row in rows if row[2] is not None)


def _facets(connection: Connection) -> list[str]:
    """List the constraints that any sum is about, one step of the primary key each."""
    found: list[str] = []
    following = WHOLE
    while True:
        rows = bulk.fetch(
            connection,
            "SELECT MIN(facet) FROM metric_sums WHERE measure = :measure AND facet > :following",
            {"measure": SATISFACTION_PROPOSED, "following": following},
        )
        if rows[0][0] is None:
            return found
        following = rows[0][0]
        found.append(following)


def _source(window: Window) -> str:
    return "metric_sums" if window.blocks is None else "block_sums"


def _within(connection: Connection, window: Window) -> str:
    if window.blocks is None:
        return "day >= :since AND day < :until"
    return bulk.among(connection, "block", "blocks")


def _bounds(connection: Connection, window: Window) -> dict[str, Any]:
    if window.blocks is None:
        return {"since": window.since, "until": window.until}
    return {"blocks": bulk.numbers(connection, window.blocks)}


def _named(names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Return the marks and the parameters of a list of texts."""
    parameters = {f"name_{place}": name for place, name in enumerate(names)}
    return ", ".join(f":{mark}" for mark in parameters), parameters


def _nested(rows: Iterable[tuple[str, str, int]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for outer, measure, value in rows:
        found.setdefault(outer, {})[measure] = int(value)
    return found
