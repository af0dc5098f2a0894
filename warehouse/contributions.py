"""What match rows add to the metrics: a pure function to additive whole numbers.

``contributions`` over all rows is a recount; the flow applies contributions(after) minus
contributions(before) of the rows that a batch touched, which gives the same sums.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd

from warehouse import measures
from warehouse.matches import ABSENT, UNKNOWN, Columns, take
from warehouse.measures import BANDS, RATINGS, UNIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

KEYS = ["measure", "facet", "day", "model_version"]
COLUMNS = (
    "match_key",
    "day",
    "model_version",
    "match_score",
    "constraints",
    "proposed_at",
    "views",
    "view_ms",
    "viewed_whole",
    "accepted",
    "decision_ms",
    "rating",
    "completed",
)
"""What ``contributions`` reads of a match row."""

_decode = msgspec.json.Decoder(dict[str, float]).decode


def contributions(rows: Columns) -> pd.DataFrame:
    """Return what match rows add to the metrics.

    Args:
        rows: Match rows of counted subjects; columns ``COLUMNS``. Of each match in it all
            counted rows, because whether an acceptance is mutual is a matter of the match.

    Returns:
        Long table ``measure, facet, day, model_version, value``, one line a key, whole
        values, none of them 0, in the order of its keys.
    """
    return change(take(rows, np.empty(0, np.int64)), rows)


def change(before: Columns, after: Columns) -> pd.DataFrame:
    """Return contributions(after) minus contributions(before), in one pass.

    Args:
        before: Match rows as they were, as ``contributions`` takes them.
        after: The same matches as they are now.

    Returns:
        Long table like that of ``contributions``, with the lines that differ.
    """
    rows = {name: np.concatenate([before[name], after[name]]) for name in COLUMNS}
    boundary = len(before["day"])
    sign = np.repeat([-1.0, 1.0], [boundary, len(after["day"])])
    parts = _Parts(rows["day"], rows["model_version"], sign)
    states = _states(rows)
    parts.add(_whole(rows, states, boundary))
    parts.add(*_constraints(rows, states))
    return parts.table()


class _Parts:
    """Sums of terms by (facet, day, model version), gathered into the long table.

    Floats hold whole numbers exactly up to 2^53: 9 x 10^7 squares of the largest score.
    """

    def __init__(self, day: NDArray[Any], version: NDArray[Any], sign: NDArray[np.float64]) -> None:
        day_code, self._days = pd.factorize(day, sort=True)
        version_code, self._versions = pd.factorize(version, sort=True)
        self._group = day_code * max(len(self._versions), 1) + version_code
        self._groups = len(self._days) * len(self._versions)
        self._sign = sign
        self._columns: list[tuple[NDArray[Any], ...]] = []

    def add(
        self,
        terms: Columns,
        row: NDArray[np.int64] | slice = slice(None),
        facet: NDArray[np.int64] | int = 0,
        facets: Sequence[str] = (measures.WHOLE,),
    ) -> None:
        """Add terms, one value a line; ``row`` and ``facet`` say whose and about what."""
        group, sign = facet * self._groups + self._group[row], self._sign[row]
        many = len(facets) * self._groups
        for measure, term in terms.items():
            sums = np.bincount(group, weights=term * sign, minlength=many)
            kept = np.flatnonzero(sums)
            if len(kept):
                about, place = np.divmod(kept, self._groups)
                self._columns.append(
                    (
                        np.full(len(kept), measure, dtype=object),
                        np.array(facets, dtype=object)[about],
                        self._days[place // len(self._versions)],
                        self._versions[place % len(self._versions)],
                        sums[kept].astype(np.int64),
                    )
                )

    def table(self) -> pd.DataFrame:
        """Return the long table, in the order of its keys."""
        names = [*KEYS, "value"]
        if not self._columns:
            return pd.DataFrame({name: np.empty(0, _DTYPES[name]) for name in names})
        columns = [np.concatenate(parts) for parts in zip(*self._columns, strict=True)]
        table = pd.DataFrame(
            {
                name: column.astype(_DTYPES[name])
                for name, column in zip(names, columns, strict=True)
            }
        )
        return table.sort_values(KEYS, ignore_index=True)


_DTYPES = {
    "measure": object,
    "facet": object,
    "day": np.int64,
    "model_version": object,
    "value": np.int64,
}


def _states(rows: Columns) -> dict[str, NDArray[np.bool_]]:
    proposed = rows["proposed_at"] != ABSENT
    accepted = rows["accepted"]
    decided = accepted != UNKNOWN
    return {
        "proposed": proposed,
        "viewed": rows["views"] > 0,
        "decided": decided,
        "accepted": accepted == 1,
        "standing": proposed & decided,
        "rated": rows["rating"] > 0,
        "finished": rows["completed"] != UNKNOWN,
    }


def _mutual(
    match_key: NDArray[Any], states: dict[str, NDArray[np.bool_]], boundary: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mark rows of matches all of whose two or more parties decided, and all accepted.

    Rows from ``boundary`` on are the same matches at another time.
    """
    code, matches = pd.factorize(match_key)
    code[boundary:] += len(matches)
    many = 2 * len(matches)
    parties = np.bincount(code, minlength=many)
    standing = np.bincount(code[states["standing"]], minlength=many)
    accepting = np.bincount(code[states["standing"] & states["accepted"]], minlength=many)
    paired = (parties >= 2) & (standing == parties)  # noqa: PLR2004  # a match has two parties
    return paired[code], (paired & (accepting == parties))[code]


def _whole(rows: Columns, states: dict[str, NDArray[np.bool_]], boundary: int) -> Columns:
    """Return the terms of the measures that do not belong to a constraint."""
    m = measures
    proposed, standing = states["proposed"], states["standing"]
    viewed, accepted = proposed & states["viewed"], states["accepted"]
    rating, completed = rows["rating"], rows["completed"]
    score = np.where(proposed, np.rint(rows["match_score"] * UNIT), 0)
    paired, mutual = _mutual(rows["match_key"], states, boundary)
    terms: Columns = {
        m.PROPOSED: proposed,
        m.VIEWED: viewed,
        m.VIEWED_WHOLE: viewed & (rows["viewed_whole"] == 1),
        m.VIEWS: np.where(viewed, rows["views"], 0),
        m.VIEW_MS: np.where(viewed, rows["view_ms"], 0),
        m.DECIDED: standing,
        m.ACCEPTED: standing & accepted,
        m.REJECTED: standing & ~accepted,
        m.DECISION_MS: np.where(standing, rows["decision_ms"], 0),
        m.RATED: states["rated"],
        m.RATED_PROPOSED: states["rated"] & proposed,
        m.COMPLETED: proposed & (completed == 1),
        m.ABANDONED: proposed & (completed == 0),
        m.SCORE: score,
        m.SCORE_SQUARES: score * score,
        m.PAIRED: paired,
        m.MUTUAL: mutual,
        m.ORPHAN_VIEWED: ~proposed & states["viewed"],
        m.ORPHAN_DECIDED: ~proposed & states["decided"],
        m.ORPHAN_RATED: ~proposed & states["rated"],
        m.ORPHAN_COMPLETED: ~proposed & states["finished"],
    }
    return terms | {name: rating == stars for name, stars in zip(m.RATING, RATINGS, strict=True)}


def _constraints(
    rows: Columns, states: dict[str, NDArray[np.bool_]]
) -> tuple[Columns, NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Return the terms of constraints, one line a (proposal, constraint), and whose they are."""
    proposed = np.flatnonzero(states["proposed"])
    maps = [_decode(text) for text in rows["constraints"][proposed].tolist()]
    row = np.repeat(proposed, np.fromiter(map(len, maps), np.int64, len(maps)))
    values = chain.from_iterable(entries.values() for entries in maps)
    scaled = np.rint(np.fromiter(values, np.float64, len(row)) * UNIT)
    facets = {name: code for code, name in enumerate(dict.fromkeys(chain.from_iterable(maps)))}
    facet = np.fromiter(map(facets.__getitem__, chain.from_iterable(maps)), np.int64, len(row))
    decided, accepted = states["decided"][row], states["accepted"][row]
    band = np.minimum(scaled.astype(np.int64) * BANDS // UNIT, BANDS - 1)
    m = measures
    terms: Columns = {
        m.SATISFACTION_PROPOSED: np.ones(len(row)),
        m.SATISFACTION_SUM: scaled,
        m.DECIDED_SUM: np.where(decided, scaled, 0),
        m.DECIDED_SQUARES: np.where(decided, scaled * scaled, 0),
        m.ACCEPTED_SUM: np.where(accepted, scaled, 0),
    }
    for number in range(BANDS):
        terms[m.BAND_DECIDED[number]] = decided & (band == number)
        terms[m.BAND_ACCEPTED[number]] = accepted & (band == number)
    return terms, row, facet, list(facets) or [m.WHOLE]
