"""The state of matches: what a batch of events makes of the rows that were there. Pure.

A row is a (match, subject) with four facets: proposed, decided, rated, completed. Of two
events of one facet the later by (occurred_at, event_id) stands; views add up. That is a
commutative and associative fold: order, delay and partition sizes leave no trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from schemas.clock import MICROS_PER_DAY
from schemas.events import EVENT_KINDS, EventKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

ABSENT = -(2**63)
"""Time of an event that has not come: earlier than any."""

UNKNOWN = -1
"""A yes or no, or a count, that is not known."""

_OBJECT = np.dtype(object)
DEFAULTS: dict[str, tuple[np.dtype[np.generic], object]] = {
    "first_at": (np.dtype(np.int64), 2**63 - 1),
    "last_at": (np.dtype(np.int64), ABSENT),
    "proposed_at": (np.dtype(np.int64), ABSENT),
    "proposed_high": (np.dtype(np.uint64), 0),
    "proposed_low": (np.dtype(np.uint64), 0),
    "match_score": (np.dtype(np.float64), np.nan),
    "alternatives_count": (np.dtype(np.int64), UNKNOWN),
    "propensity": (np.dtype(np.float64), np.nan),
    "model_version": (_OBJECT, ""),
    "parameters": (_OBJECT, "{}"),
    "constraints": (_OBJECT, "{}"),
    "views": (np.dtype(np.int64), 0),
    "view_ms": (np.dtype(np.int64), 0),
    "viewed_whole": (np.dtype(np.int64), 0),
    "decided_at": (np.dtype(np.int64), ABSENT),
    "decided_high": (np.dtype(np.uint64), 0),
    "decided_low": (np.dtype(np.uint64), 0),
    "accepted": (np.dtype(np.int64), UNKNOWN),
    "decision_ms": (np.dtype(np.int64), UNKNOWN),
    "rated_at": (np.dtype(np.int64), ABSENT),
    "rated_high": (np.dtype(np.uint64), 0),
    "rated_low": (np.dtype(np.uint64), 0),
    "rating": (np.dtype(np.int64), 0),
    "completed_at": (np.dtype(np.int64), ABSENT),
    "completed_high": (np.dtype(np.uint64), 0),
    "completed_low": (np.dtype(np.uint64), 0),
    "completed": (np.dtype(np.int64), UNKNOWN),
    "duration_days": (np.dtype(np.float64), np.nan),
    "completion_rate": (np.dtype(np.float64), np.nan),
}
"""Columns of match states beside their keys, with what stands for nothing."""

# Facet -> its kinds, and the column of the event that fills each column of the state.
_FACETS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "proposed": (
        (EventKind.PROPOSED,),
        {
            "match_score": "match_score",
            "alternatives_count": "alternatives_count",
            "propensity": "propensity",
            "model_version": "model_version",
            "parameters": "parameters",
            "constraints": "constraints",
        },
    ),
    "decided": (
        (EventKind.ACCEPTED, EventKind.REJECTED),
        {"accepted": "accepted", "decision_ms": "decision_ms"},
    ),
    "rated": ((EventKind.FEEDBACK,), {"rating": "rating"}),
    "completed": (
        (EventKind.COMPLETED, EventKind.ABANDONED),
        {
            "completed": "completed",
            "duration_days": "duration_days",
            "completion_rate": "completion_rate",
        },
    ),
}

CODES = {name: code for code, name in enumerate(EVENT_KINDS)}
"""Kinds of events as the numbers that columns hold."""

EVENT_COLUMNS = (
    "match_key",
    "subject",
    "kind",
    "occurred_at",
    "event_high",
    "event_low",
    "view_ms",
    "view_complete",
    *dict.fromkeys(source for _, fills in _FACETS.values() for source in fills.values()),
)
"""What ``merge`` reads of an event."""

Columns: TypeAlias = "dict[str, NDArray[Any]]"
"""A table as arrays of one length, by column: fifty thousand rows without one object a row."""


def empty_states() -> Columns:
    """Return match states without a row."""
    keys: Columns = {name: np.empty(0, np.int64) for name in ("match_key", "subject", "day")}
    return keys | {name: np.empty(0, kind) for name, (kind, _) in DEFAULTS.items()}


def take(table: Columns, chosen: NDArray[Any]) -> Columns:
    """Return the chosen rows of a table: a mask or places."""
    return {name: column[chosen] for name, column in table.items()}


def split_id(event_ids: bytes) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return 16-byte event ids, laid end to end, as two columns of numbers that sort like them."""
    halves = np.frombuffer(event_ids, dtype=">u8").reshape(-1, 2)
    return halves[:, 0].astype(np.uint64), halves[:, 1].astype(np.uint64)


def merge(states: Columns, events: Columns) -> Columns:
    """Fold events into match states.

    Args:
        states: Rows as they are, at most one a (match_key, subject); columns of
            ``empty_states``.
        events: The events; columns ``EVENT_COLUMNS``. No event twice, here or before.

    Returns:
        One row a (match_key, subject) that is in either, in that order; ``touched`` marks
        those that an event belongs to, and ``stored_day`` is the day under which each is
        stored, or ``ABSENT``.
    """
    match_key, subject, group = _groups(
        np.concatenate([states["match_key"], events["match_key"]]),
        np.concatenate([states["subject"], events["subject"]]),
    )
    known = len(states["subject"])
    old, new = group[:known], group[known:]
    after: Columns = {}
    for name, (kind, default) in DEFAULTS.items():
        after[name] = np.full(len(match_key), default, dtype=kind)
        after[name][old] = states[name]
    _add_times_and_views(after, events, new)
    kinds = events["kind"]
    for facet, (names, fills) in _FACETS.items():
        of_facet = np.flatnonzero(np.isin(kinds, [CODES[name] for name in names]))
        _stand(after, facet, fills, take(events, of_facet), new[of_facet])
    proposed_at = after["proposed_at"]
    day = np.where(proposed_at != ABSENT, proposed_at, after["first_at"]) // MICROS_PER_DAY
    touched = np.zeros(len(match_key), dtype=bool)
    touched[new] = True
    stored_day = np.full(len(match_key), ABSENT)
    stored_day[old] = states["day"]
    keys: Columns = {"match_key": match_key, "subject": subject, "day": day, "touched": touched}
    return keys | {"stored_day": stored_day} | after


def _groups(
    match_key: NDArray[Any], subject: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    """Number the distinct keys in order: the keys, and each row's number."""
    order = np.lexsort((subject, match_key))
    sorted_match, sorted_subject = match_key[order], subject[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (sorted_match[1:] != sorted_match[:-1]) | (
        sorted_subject[1:] != sorted_subject[:-1]
    )
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(first) - 1
    return sorted_match[first], sorted_subject[first], group


def _add_times_and_views(after: Columns, fresh: Columns, group: NDArray[np.int64]) -> None:
    np.minimum.at(after["first_at"], group, fresh["occurred_at"])
    np.maximum.at(after["last_at"], group, fresh["occurred_at"])
    views = np.flatnonzero(fresh["kind"] == CODES[EventKind.VIEWED])
    viewed = group[views]
    np.add.at(after["views"], viewed, 1)
    np.add.at(after["view_ms"], viewed, fresh["view_ms"][views])
    np.maximum.at(after["viewed_whole"], viewed, fresh["view_complete"][views])


def _stand(
    after: Columns,
    facet: str,
    fills: Mapping[str, str],
    fresh: Columns,
    group: NDArray[np.int64],
) -> None:
    """Let the latest event of one facet stand in each group, unless a later one stands there."""
    latest = _latest(fresh, group)
    target = group[latest]
    at, high, low = (fresh[n][latest] for n in ("occurred_at", "event_high", "event_low"))
    old_at, old_high, old_low = (after[f"{facet}_{n}"][target] for n in ("at", "high", "low"))
    later = (at > old_at) | (
        (at == old_at) & ((high > old_high) | ((high == old_high) & (low > old_low)))
    )
    source, target = latest[later], target[later]
    after[f"{facet}_at"][target] = fresh["occurred_at"][source]
    after[f"{facet}_high"][target] = fresh["event_high"][source]
    after[f"{facet}_low"][target] = fresh["event_low"][source]
    for column, name in fills.items():
        after[column][target] = fresh[name][source]


def _latest(fresh: Columns, group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the place of the latest event of each group; most groups have one event."""
    several = np.bincount(group)[group] > 1
    rest = np.flatnonzero(several)
    keys = (fresh[name][rest] for name in ("event_low", "event_high", "occurred_at"))
    order = rest[np.lexsort((*keys, group[rest]))]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = group[order[1:]] != group[order[:-1]]
    return np.concatenate([np.flatnonzero(~several), order[last]])
