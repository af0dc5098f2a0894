"""What match rows add to the metrics: a pure function to additive whole numbers.

``contributions`` over all rows is a recount; the flow applies contributions(after) minus
contributions(before) of the rows that a batch touched, which gives the same sums.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pandas as pd

from warehouse import measures
from warehouse.matches import ABSENT, UNKNOWN
from warehouse.measures import BANDS, RATINGS, UNIT

if TYPE_CHECKING:
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


def contributions(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what match rows add to the metrics.

    Args:
        rows: Match rows of counted subjects; columns ``COLUMNS``. Of each match in it all
            counted rows, because whether an acceptance is mutual is a matter of the match.

    Returns:
        Long table ``measure, facet, day, model_version, value``, one line a key, whole
        values, none of them 0, in the order of its keys.
    """
    return change(rows.iloc[:0], rows)


def change(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Return contributions(after) minus contributions(before), in one pass.

    Args:
        before: Match rows as they were, as ``contributions`` takes them.
        after: The same matches as they are now.

    Returns:
        Long table like that of ``contributions``, with the lines that differ.
    """
    parts = [_wide(before, -1), _wide(after, 1)]
    lines = [line for part in parts for line in part]
    if not lines:
        return _empty()
    table = pd.concat(lines, ignore_index=True)
    summed = table.groupby(KEYS, sort=True, as_index=False)["value"].sum()
    return summed[summed["value"] != 0].reset_index(drop=True)


def _empty() -> pd.DataFrame:
    texts = {name: pd.Series([], dtype=str) for name in ("measure", "facet", "model_version")}
    numbers = {name: pd.Series([], dtype=np.int64) for name in ("day", "value")}
    return pd.DataFrame(texts | numbers)[[*KEYS, "value"]]


def _wide(rows: pd.DataFrame, sign: int) -> list[pd.DataFrame]:
    if rows.empty:
        return []
    group, labels = _label(rows["day"].to_numpy(), rows["model_version"].to_numpy(dtype=object))
    masks = _masks(rows)
    return [
        _whole(rows, masks, group, labels, sign),
        _by_constraint(rows, masks, group, labels, sign),
    ]


def _label(
    day: NDArray[np.int64], version: NDArray[np.object_]
) -> tuple[NDArray[np.int64], pd.DataFrame]:
    """Number the (day, model version) pairs of rows."""
    day_code, days = pd.factorize(day, sort=True)
    version_code, versions = pd.factorize(version)
    group = day_code * len(versions) + version_code
    labels = pd.DataFrame(
        {"day": np.repeat(days, len(versions)), "model_version": np.tile(versions, len(days))}
    )
    return group, labels


def _masks(rows: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    proposed = rows["proposed_at"].to_numpy() != ABSENT
    accepted = rows["accepted"].to_numpy()
    decided = accepted != UNKNOWN
    return {
        "proposed": proposed,
        "viewed": rows["views"].to_numpy() > 0,
        "decided": decided,
        "accepted": accepted == 1,
        "standing": proposed & decided,
        "rated": rows["rating"].to_numpy() > 0,
        "completed": rows["completed"].to_numpy() != UNKNOWN,
    }


def _mutual(
    rows: pd.DataFrame, masks: dict[str, NDArray[np.bool_]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Mark rows of matches all of whose two or more parties decided, and all accepted."""
    code, matches = pd.factorize(rows["match_key"].to_numpy())
    parties = np.bincount(code, minlength=len(matches))
    standing = np.bincount(code, weights=masks["standing"], minlength=len(matches))
    accepting = np.bincount(
        code, weights=masks["standing"] & masks["accepted"], minlength=len(matches)
    )
    paired = (parties >= 2) & (standing == parties)  # noqa: PLR2004  # a match has two parties
    return paired[code], (paired & (accepting == parties))[code]


def _whole(
    rows: pd.DataFrame,
    masks: dict[str, NDArray[np.bool_]],
    group: NDArray[np.int64],
    labels: pd.DataFrame,
    sign: int,
) -> pd.DataFrame:
    """Sum the measures that do not belong to a constraint."""
    m = measures
    proposed, standing = masks["proposed"], masks["standing"]
    viewed = proposed & masks["viewed"]
    accepted = masks["accepted"]
    rating, completed = rows["rating"].to_numpy(), rows["completed"].to_numpy()
    score = np.where(proposed, np.rint(rows["match_score"].to_numpy() * UNIT), 0)
    paired, mutual = _mutual(rows, masks)
    terms: dict[str, NDArray[np.generic]] = {
        m.PROPOSED: proposed,
        m.VIEWED: viewed,
        m.VIEWED_WHOLE: viewed & (rows["viewed_whole"].to_numpy() > 0),
        m.VIEWS: np.where(viewed, rows["views"].to_numpy(), 0),
        m.VIEW_MS: np.where(viewed, rows["view_ms"].to_numpy(), 0),
        m.DECIDED: standing,
        m.ACCEPTED: standing & accepted,
        m.REJECTED: standing & ~accepted,
        m.DECISION_MS: np.where(standing, rows["decision_ms"].to_numpy(), 0),
        m.RATED: masks["rated"],
        m.RATED_PROPOSED: masks["rated"] & proposed,
        m.COMPLETED: proposed & (completed == 1),
        m.ABANDONED: proposed & (completed == 0),
        m.SCORE: score,
        m.SCORE_SQUARES: score * score,
        m.PAIRED: paired,
        m.MUTUAL: mutual,
        m.ORPHAN_VIEWED: ~proposed & masks["viewed"],
        m.ORPHAN_DECIDED: ~proposed & masks["decided"],
        m.ORPHAN_RATED: ~proposed & masks["rated"],
        m.ORPHAN_COMPLETED: ~proposed & masks["completed"],
    }
    terms |= {name: rating == stars for name, stars in zip(m.RATING, RATINGS, strict=True)}
    return _long(terms, group, labels, sign, [m.WHOLE] * len(labels))


def _by_constraint(
    rows: pd.DataFrame,
    masks: dict[str, NDArray[np.bool_]],
    group: NDArray[np.int64],
    labels: pd.DataFrame,
    sign: int,
) -> pd.DataFrame:
    """Sum the measures of each constraint that a proposal names."""
    proposed = np.flatnonzero(masks["proposed"])
    maps = [_decode(text) for text in rows["constraints"].to_numpy()[proposed]]
    lengths = np.fromiter(map(len, maps), np.int64, len(maps))
    row = np.repeat(proposed, lengths)
    values = chain.from_iterable(entries.values() for entries in maps)
    satisfaction = np.fromiter(values, np.float64, len(row))
    name_code, names = pd.factorize(np.array(list(chain.from_iterable(maps)), dtype=object))
    scaled = np.rint(satisfaction * UNIT)
    decided, accepted = masks["decided"][row], masks["accepted"][row]
    band = np.minimum(scaled.astype(np.int64) * BANDS // UNIT, BANDS - 1)
    m = measures
    terms: dict[str, NDArray[np.generic]] = {
        m.SATISFACTION_PROPOSED: np.ones(len(row)),
        m.SATISFACTION_SUM: scaled,
        m.DECIDED_SUM: np.where(decided, scaled, 0),
        m.DECIDED_SQUARES: np.where(decided, scaled * scaled, 0),
        m.ACCEPTED_SUM: np.where(accepted, scaled, 0),
    }
    for number in range(BANDS):
        terms[m.BAND_DECIDED[number]] = decided & (band == number)
        terms[m.BAND_ACCEPTED[number]] = accepted & (band == number)
    many = len(names)
    wide_labels = labels.loc[labels.index.repeat(many)].reset_index(drop=True)
    facets = list(names) * len(labels)
    return _long(terms, group[row] * many + name_code, wide_labels, sign, facets)


def _long(
    terms: dict[str, NDArray[np.generic]],
    group: NDArray[np.int64],
    labels: pd.DataFrame,
    sign: int,
    facets: list[str],
) -> pd.DataFrame:
    """Sum each term by group, and lay the sums that are not 0 end to end.

    Floats hold whole numbers exactly up to 2^53: 9 x 10^7 squares of the largest score.
    """
    parts = []
    labels = labels.assign(facet=np.array(facets, dtype=object))
    for measure, term in terms.items():
        sums = np.bincount(group, weights=term, minlength=len(labels))
        kept = np.flatnonzero(sums)
        if len(kept):
            part = labels.iloc[kept].assign(measure=measure)
            parts.append(part.assign(value=(sign * sums[kept]).astype(np.int64)))
    return pd.concat(parts, ignore_index=True)[[*KEYS, "value"]] if parts else _empty()
