"""Seal finished days into blocks that may be published: each holds at least k subjects.

A sealed block never changes: the database refuses it. Windows are unions of blocks, so two
windows differ by whole blocks, and no difference isolates fewer than k. What is told inside a
block is chosen so that no group below k can be computed from it (``publishable.py``).

References:
    Sweeney, L. (2002). k-anonymity: a model for protecting privacy. IJUFKS 10(5), 557-570.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from schemas.clock import LATE_DAYS
from schemas.purposes import Purpose
from schemas.tables import block_sums, blocks
from warehouse import bulk, marks, tallies, withdrawals
from warehouse.contributions import contributions
from warehouse.engine import reading, writing
from warehouse.match_rows import read_matches
from warehouse.matches import ABSENT, UNKNOWN, Columns, take
from warehouse.publishable import publishable
from warehouse.purposes import consented_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from warehouse.leases import Lease

MOST_DAYS = 7
"""A block that could not tell decisions waits for more days until it has so many."""

CHUNK_ROWS = 50_000

_STATE = [
    "subject",
    "model_version",
    "proposed_at",
    "match_score",
    "accepted",
    "decision_ms",
    "views",
    "view_ms",
    "viewed_whole",
    "completed",
    "rating",
    "constraints",
    "paired",
    "mutual",
]
_STANDINGS = (
    "SELECT DISTINCT m.subject, CASE WHEN m.proposed_at IS NULL THEN 'all'"
    " WHEN m.accepted IS NULL THEN 'undecided' WHEN m.accepted THEN 'accepted'"
    " ELSE 'rejected' END FROM matches m JOIN subjects s ON s.subject = m.subject"
    f" WHERE s.counted AND {consented_sql(Purpose.ANALYTICS, 's')} AND m.day = :day"
)


@dataclass(frozen=True)
class Block:
    """Finished days ``[since, until)`` with the number of subjects behind them."""

    since: int
    until: int
    subjects: int


def seal(engine: Engine, lease: Lease, today: int, smallest: int, sealed_at: int) -> list[Block]:
    """Seal every block that is complete.

    Args:
        engine: The database.
        lease: Who may write.
        today: Days since 1970.
        smallest: k, the fewest subjects behind any published figure.
        sealed_at: Microseconds since 1970.

    Returns:
        The blocks that were sealed now, oldest first.

    Raises:
        LeaseLost: Another run has taken over.
    """
    sealed: list[Block] = []
    while True:
        with reading(engine) as connection:
            block = _next_block(connection, today - LATE_DAYS, smallest)
            if block is None:
                return sealed
            sums, withheld, people = _publishable(connection, block, smallest)
        if _write(engine, lease, block, sums, people, withheld=withheld, sealed_at=sealed_at):
            sealed.append(block)


def _next_block(connection: Connection, finished: int, smallest: int) -> Block | None:
    """Find the shortest stretch of finished days that holds enough subjects, and tells decisions.

    Where few decide one way, so that decisions could not be told, it waits for more days, but for
    no more than ``MOST_DAYS``.
    """
    newest, oldest = bulk.fetch(
        connection, "SELECT (SELECT MAX(until_day) FROM blocks), (SELECT MIN(day) FROM matches)"
    )[0]
    start = oldest if newest is None else newest
    if start is None:
        return None
    # What was published once and sealed again without somebody would tell of them.
    start = max(start, marks.sealed_until(connection))
    seen: defaultdict[str, set[int]] = defaultdict(set)
    for day in range(start, finished):
        for subject, standing in bulk.fetch(connection, _STANDINGS, {"day": day}):
            seen["all"].add(subject)
            seen[standing].add(subject)
        if len(seen["all"]) >= smallest and (
            day + 1 - start >= MOST_DAYS or all(len(few) >= smallest for few in seen.values())
        ):
            return Block(start, day + 1, len(seen["all"]))
    return None


def _publishable(
    connection: Connection, block: Block, smallest: int
) -> tuple[pd.DataFrame, int, set[int]]:
    """Sum a block by slice, and keep what may be told of it.

    Returns:
        The sums that may be published, of how many slices something was left out, and who was
        counted.
    """
    sums, states = [], []
    for day, rows in _rows_by_stretch(connection, block):
        added = contributions(rows)
        sums.append(added[added["day"] == day])
        states.append(_with_pairs(pd.DataFrame(rows)).query("day == @day")[_STATE])
    columns = ["measure", "facet", "model_version"]
    total = pd.concat(sums).groupby(columns, sort=True)["value"].sum().reset_index()
    standing = pd.concat(states, ignore_index=True)
    told, withheld = publishable(standing, total, smallest)
    return told, withheld, set(standing["subject"].tolist())


def _rows_by_stretch(connection: Connection, block: Block) -> Iterator[tuple[int, Columns]]:
    """Yield a day and the rows of its matches that may be counted now, whole matches at a time.

    Who has withdrawn is left out although the running sums may not have followed yet: a block
    is sealed for good.
    """
    chosen = "SELECT match_key FROM matches WHERE day = :day AND match_key > :after"
    for day in range(block.since, block.until):
        after: int | None = -(2**63)
        while after is not None:
            here = {"day": day, "after": after, "size": CHUNK_ROWS}
            after = bulk.fetch(
                connection,
                f"SELECT MAX(match_key) FROM ({chosen} ORDER BY match_key LIMIT :size) AS part",
                here,
            )[0][0]
            if after is not None:
                rows = read_matches(
                    connection,
                    Purpose.ANALYTICS,
                    f"m.match_key IN ({chosen} AND match_key <= :last)",
                    {"day": day, "after": here["after"], "last": after},
                )
                yield day, take(rows, rows["counted"] & rows["allowed"])


def _with_pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """Mark the rows of matches all of whose two or more parties decided, and all accepted."""
    standing = (rows["proposed_at"] != ABSENT) & (rows["accepted"] != UNKNOWN)
    by_match = rows["match_key"]
    parties = standing.groupby(by_match)
    paired = parties.transform("all") & (parties.transform("size") >= 2)  # noqa: PLR2004
    mutual = paired & (standing & (rows["accepted"] == 1)).groupby(by_match).transform("all")
    return rows.assign(paired=paired, mutual=mutual)


def _write(
    engine: Engine,
    lease: Lease,
    block: Block,
    sums: pd.DataFrame,
    people: set[int],
    *,
    withheld: int,
    sealed_at: int,
) -> bool:
    """Store the sums, and then the block: once it is there, nothing can be added to it.

    Returns:
        False, and nothing is stored, where somebody who was counted has left since.
    """
    with writing(engine) as connection:
        lease.check(connection)
        if not withdrawals.everybody_allows(connection, people, Purpose.ANALYTICS):
            return False
        number = 1 + bulk.fetch(connection, "SELECT COALESCE(MAX(block), 0) FROM blocks")[0][0]
        if not sums.empty:
            rows: list[Any] = sums.assign(block=number).to_dict("records")
            connection.execute(block_sums.insert(), rows)
        connection.execute(
            blocks.insert().values(
                block=number,
                since_day=block.since,
                until_day=block.until,
                subjects=block.subjects,
                sealed_at=sealed_at,
            )
        )
        marks.seal_until(connection, block.until)
        tallies.keep_withheld(connection, block.until - 1, withheld)
    return True
