"""Recount the metrics from the matches, and compare with the running sums."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING

import pandas as pd

from schemas.clock import iso_day
from schemas.errors import SumsDiffer
from schemas.purposes import Purpose
from schemas.tables import matches
from warehouse import bulk
from warehouse.contributions import KEYS, contributions
from warehouse.engine import reading
from warehouse.match_rows import read_matches
from warehouse.matches import take
from warehouse.purposes import Ground, on_ground

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Engine

CHUNK_ROWS = 50_000
_SHOWN = 5


@dataclass(frozen=True)
class Reconciled:
    """A recount that agreed.

    Attributes:
        since_day: First day that was compared, days since 1970; older matches may be purged.
        matches: Match rows that were counted anew.
        sums: Running sums that they were compared with.
    """

    since_day: int
    matches: int
    sums: int


@dataclass(frozen=True)
class Stretch:
    """Matches of the keys ``(after, until]``: what a task is given instead of rows."""

    after: int
    until: int


WHOLE = Stretch(-(2**63), 2**63 - 1)
"""Every match."""


@dataclass(frozen=True)
class Recounted:
    """What the matches of a stretch come to.

    Attributes:
        sums: Their contributions, days times groups.
        matches: How many match rows were read.
        running: The running sums of the same transaction, where no other can see its snapshot.
    """

    sums: pd.DataFrame
    matches: int
    running: pd.DataFrame | None = None


def reconcile(engine: Engine, since_day: int, *, chunk: int = CHUNK_ROWS) -> Reconciled:
    """Compare the running sums with a recount of everything, on one snapshot.

    Memory is bounded by the chunk and by days times groups. Sums of days before ``since_day``
    are left as they are, because their matches may have been purged.

    Args:
        engine: The database.
        since_day: First day to compare, days since 1970.
        chunk: About how many match rows are held at once.

    Raises:
        SumsDiffer: Says in how many places, and which days and measures; names no person.
    """
    with reading(engine, whole=[matches]) as connection:
        counted = recount(connection, since_day, WHOLE, chunk=chunk)
        counted = replace(counted, running=read_sums(connection, since_day))
    return compare(engine, [counted], since_day, None)


@on_ground(Ground.COUNTING)
def stretches(engine: Engine, parts: int, snapshot: str | None) -> list[Stretch]:
    """Cut the matches into stretches of about one size, for several workers.

    Keys are keyed hashes, so they lie evenly. Without a snapshot that workers can share there
    is one stretch: its worker reads matches and sums in one transaction.
    """
    if snapshot is None:
        return [WHOLE]
    with reading(engine, snapshot) as connection:
        rows = bulk.fetch(connection, "SELECT MIN(match_key), MAX(match_key) FROM matches")
    first, last = rows[0]
    if first is None:
        return [WHOLE]
    cuts = [first + (last - first) * part // parts for part in range(1, parts)]
    edges = [WHOLE.after, *cuts, WHOLE.until]
    return [Stretch(after, until) for after, until in pairwise(edges)]


def recount_stretch(
    engine: Engine, since_day: int, stretch: Stretch, snapshot: str | None
) -> Recounted:
    """Count one stretch anew, on a shared snapshot or on its own."""
    with reading(engine, snapshot) as connection:
        counted = recount(connection, since_day, stretch)
        if snapshot is not None:
            return counted
        return replace(counted, running=read_sums(connection, since_day))


def compare(
    engine: Engine, recounted: Iterable[Recounted], since_day: int, snapshot: str | None
) -> Reconciled:
    """Compare the running sums with the recount of all stretches.

    Raises:
        SumsDiffer: Says in how many places, and which days and measures; names no person.
    """
    parts = list(recounted)
    running = parts[0].running
    if running is None:
        with reading(engine, snapshot) as connection:
            running = read_sums(connection, since_day)
    difference = _difference(running, reduce(_add, (part.sums for part in parts)))
    if not difference.empty:
        raise SumsDiffer(_places(difference))
    return Reconciled(since_day, sum(part.matches for part in parts), len(running))


def recount(
    connection: Connection, since_day: int, stretch: Stretch, *, chunk: int = CHUNK_ROWS
) -> Recounted:
    """Count the matches of counted subjects in a stretch anew, a chunk at a time."""
    total = contributions(read_matches(connection, Purpose.ANALYTICS, "m.match_key IS NULL", {}))
    rows, after = 0, stretch.after
    while (until := _chunk_end(connection, after, stretch.until, chunk)) is not None:
        part = read_matches(
            connection,
            Purpose.ANALYTICS,
            "m.match_key > :after AND m.match_key <= :until",
            {"after": after, "until": until},
        )
        added = contributions(take(part, part["counted"]))
        total = _add(total, added[added["day"] >= since_day])
        rows, after = rows + len(part["subject"]), until
    return Recounted(total, rows)


def read_sums(connection: Connection, since_day: int) -> pd.DataFrame:
    """Read the running sums of days from ``since_day`` on, as ``contributions`` gives them."""
    rows = bulk.fetch(
        connection,
        "SELECT measure, facet, day, model_version, value FROM metric_sums"
        " WHERE day >= :since AND value <> 0",
        {"since": since_day},
    )
    return pd.DataFrame(rows, columns=[*KEYS, "value"])


@on_ground(Ground.COUNTING)
def _chunk_end(connection: Connection, after: int, last: int, chunk: int) -> int | None:
    """Return the last key of the next chunk; a match is never cut in two."""
    ends = bulk.fetch(
        connection,
        "SELECT MAX(match_key) FROM (SELECT match_key FROM matches WHERE match_key > :after"
        " AND match_key <= :last ORDER BY match_key LIMIT :size) AS next",
        {"after": after, "last": last, "size": chunk},
    )
    return None if ends[0][0] is None else int(ends[0][0])


def _add(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    both = pd.concat([one, other], ignore_index=True)
    return both.groupby(KEYS, sort=True)["value"].sum().reset_index()


def _difference(running: pd.DataFrame, counted: pd.DataFrame) -> pd.DataFrame:
    """Return the places where the two differ, with running minus counted."""
    if running.empty and counted.empty:
        return counted
    both = _add(running, counted.assign(value=-counted["value"]))
    return both[both["value"] != 0]


def _places(difference: pd.DataFrame) -> str:
    days = sorted(difference["day"].unique().tolist())
    measures = difference["measure"].value_counts().sort_index()
    shown_days = ", ".join(iso_day(int(day)) for day in days[:_SHOWN])
    shown = ", ".join(f"{measure} ({count})" for measure, count in measures.head(_SHOWN).items())
    return (
        f"{len(difference)} running sums differ from a recount, on {len(days)} days"
        f" (first {shown_days}), in {len(measures)} measures (first {shown})"
    )
