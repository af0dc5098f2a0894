"""Seal finished days into blocks that may be published: each holds at least k subjects.

A sealed block never changes. Windows are unions of blocks, so two windows differ by whole
blocks, and no difference isolates fewer than k. Inside a block a slice (a model version, a
constraint) is left out where fewer than k subjects stand behind it; a constraint also where
the proposals that do not name it belong to fewer than k, because they are what is left when it
is subtracted. No total over slices is kept, so nothing can be subtracted from it.

References:
    Sweeney, L. (2002). k-anonymity: a model for protecting privacy. IJUFKS 10(5), 557-570.
    Hundepool, A. et al. (2012). Statistical Disclosure Control, section 4 (secondary
    suppression). Wiley.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd

from schemas.tables import block_sums, blocks
from warehouse import bulk, tallies
from warehouse import measures as m
from warehouse.contributions import contributions
from warehouse.engine import reading, writing
from warehouse.match_rows import read_matches
from warehouse.matches import ABSENT, UNKNOWN, Columns, take

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from warehouse.leases import Lease

LATE_DAYS = 2
"""A day is finished so many days after it ended: until then late events still move it."""

CHUNK_ROWS = 50_000

_decode = msgspec.json.Decoder(dict[str, float]).decode

# Measures that stand on the same subjects are published together or not at all.
_FAMILIES: dict[str, tuple[str, ...]] = {
    "proposed": (m.PROPOSED, m.SCORE, m.SCORE_SQUARES),
    "viewed": (m.VIEWED, m.VIEWED_WHOLE, m.VIEWS, m.VIEW_MS),
    "decided": (m.DECIDED, m.ACCEPTED, m.REJECTED, m.DECISION_MS),
    "rated": (m.RATED, *m.RATING),
    "rated_proposed": (m.RATED_PROPOSED,),
    "finished": (m.COMPLETED, m.ABANDONED),
    "paired": (m.PAIRED, m.MUTUAL),
    "orphans": (m.ORPHAN_VIEWED, m.ORPHAN_DECIDED, m.ORPHAN_RATED, m.ORPHAN_COMPLETED),
    "c_proposed": (m.SATISFACTION_PROPOSED, m.SATISFACTION_SUM),
    "c_decided": (
        m.DECIDED_SUM,
        m.DECIDED_SQUARES,
        m.ACCEPTED_SUM,
        *m.BAND_DECIDED,
        *m.BAND_ACCEPTED,
    ),
}
_FAMILY_OF = {measure: family for family, names in _FAMILIES.items() for measure in names}

# What is left where the first is subtracted from its whole must not isolate anybody either.
_COMPLEMENTS = {
    "rated_proposed": "rated_orphans",
    "c_proposed": "c_unnamed",
    "c_decided": "c_unnamed_decided",
}
_WHOLES = {"c_unnamed": "proposed", "c_unnamed_decided": "decided"}

_Slice = tuple[str, str, str]


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
            sums, withheld = _publishable(connection, block, smallest)
        _write(engine, lease, block, sums, withheld=withheld, sealed_at=sealed_at)
        sealed.append(block)


def _next_block(connection: Connection, finished: int, smallest: int) -> Block | None:
    """Find the shortest stretch of finished days that holds enough subjects."""
    start = bulk.fetch(
        connection,
        "SELECT COALESCE((SELECT MAX(until_day) FROM blocks), (SELECT MIN(day) FROM matches))",
    )[0][0]
    if start is None:
        return None
    seen: set[int] = set()
    for day in range(start, finished):
        rows = bulk.fetch(
            connection,
            "SELECT DISTINCT m.subject FROM matches m"
            " JOIN subjects s ON s.subject = m.subject WHERE s.counted AND m.day = :day",
            {"day": day},
        )
        seen.update(subject for (subject,) in rows)
        if len(seen) >= smallest:
            return Block(start, day + 1, len(seen))
    return None


def _publishable(connection: Connection, block: Block, smallest: int) -> tuple[pd.DataFrame, int]:
    """Sum a block by slice, and leave out the slices with too few subjects behind them.

    Returns:
        The sums that may be published, and how many slices were left out.
    """
    behind = _Behind(smallest)
    parts = []
    for day, rows in _rows_by_stretch(connection, block):
        sums = contributions(rows)
        parts.append(sums[sums["day"] == day])
        behind.add(_with_pairs(pd.DataFrame(rows)).query("day == @day"))
    columns = ["measure", "facet", "model_version"]
    summed = pd.concat(parts).groupby(columns, sort=True)["value"].sum()
    total = summed.reset_index()
    total = total[total["value"] != 0]
    pieces = [
        (_FAMILY_OF[measure], facet, version)
        for measure, facet, version in total[columns].itertuples(index=False)
    ]
    kept = {piece: behind.suffices(piece) for piece in pieces}
    chosen: pd.DataFrame = total.loc[np.array([kept[piece] for piece in pieces], dtype=bool)]
    return chosen, sum(not stays for stays in kept.values())


def _rows_by_stretch(connection: Connection, block: Block) -> Iterator[tuple[int, Columns]]:
    """Yield a day and counted rows of its matches, whole matches, a bounded number at a time."""
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
                    f"m.match_key IN ({chosen} AND match_key <= :last)",
                    {"day": day, "after": here["after"], "last": after},
                )
                yield day, take(rows, rows["counted"])


def _with_pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """Mark the rows of matches all of whose two or more parties decided."""
    standing = (rows["proposed_at"] != ABSENT) & (rows["accepted"] != UNKNOWN)
    grouped = standing.groupby(rows["match_key"])
    return rows.assign(
        paired=grouped.transform("all") & (grouped.transform("size") >= 2)  # noqa: PLR2004
    )


class _Behind:
    """The subjects behind each slice, counted no further than is needed."""

    def __init__(self, smallest: int) -> None:
        self._smallest = smallest
        self._subjects: defaultdict[_Slice, set[int]] = defaultdict(set)
        self._facets: frozenset[str] = frozenset()

    def suffices(self, piece: _Slice) -> bool:
        """Tell whether a slice may be published."""
        family, facet, version = piece
        if len(self._subjects[piece]) < self._smallest:
            return False
        rest = _COMPLEMENTS.get(family)
        if rest is None:
            return True
        left = len(self._subjects[rest, facet, version])
        return left == 0 or left >= self._smallest

    def add(self, rows: pd.DataFrame) -> None:
        """Note who stands behind the slices of some counted rows."""
        proposed = rows["proposed_at"] != ABSENT
        decided = rows["accepted"] != UNKNOWN
        rated, finished = rows["rating"] > 0, rows["completed"] != UNKNOWN
        viewed = rows["views"] > 0
        self._add_constraints(rows[proposed], decided[proposed])
        for family, mask in {
            "proposed": proposed,
            "viewed": proposed & viewed,
            "decided": proposed & decided,
            "rated": rated,
            "rated_proposed": rated & proposed,
            "rated_orphans": rated & ~proposed,
            "finished": proposed & finished,
            "paired": rows["paired"],
            "orphans": ~proposed & (viewed | decided | rated | finished),
        }.items():
            self._note(family, m.WHOLE, rows[mask])

    def _add_constraints(self, rows: pd.DataFrame, decided: pd.Series[bool]) -> None:
        named = [frozenset(_decode(text)) for text in rows["constraints"]]
        here: frozenset[str] = frozenset().union(*named)
        for facet in sorted(here - self._facets):
            self._begin(facet)
        self._facets |= here
        for facet in sorted(self._facets):
            has = np.array([facet in names for names in named], dtype=bool)
            self._note("c_proposed", facet, rows[has])
            self._note("c_decided", facet, rows[has & decided])
            self._note("c_unnamed", facet, rows[~has])
            self._note("c_unnamed_decided", facet, rows[~has & decided])

    def _begin(self, facet: str) -> None:
        """Nobody before named this constraint: all of them are what is left without it."""
        for family, whole in _WHOLES.items():
            for (name, _, version), subjects in list(self._subjects.items()):
                if name == whole:
                    self._subjects[family, facet, version] |= subjects

    def _note(self, family: str, facet: str, rows: pd.DataFrame) -> None:
        for version, group in rows.groupby("model_version")["subject"]:
            subjects = self._subjects[family, facet, str(version)]
            if len(subjects) < self._smallest:
                subjects.update(group.unique().tolist()[: self._smallest])


def _write(
    engine: Engine, lease: Lease, block: Block, sums: pd.DataFrame, *, withheld: int, sealed_at: int
) -> None:
    with writing(engine) as connection:
        lease.check(connection)
        number = connection.execute(
            blocks.insert()
            .values(
                since_day=block.since,
                until_day=block.until,
                subjects=block.subjects,
                sealed_at=sealed_at,
            )
            .returning(blocks.c.block)
        ).scalar_one()
        tallies.keep_withheld(connection, block.until - 1, withheld)
        if not sums.empty:
            rows: list[Any] = sums.assign(block=number).to_dict("records")
            connection.execute(block_sums.insert(), rows)
