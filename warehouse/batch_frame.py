"""A partition of staging as columns, so that expectations look at columns and not at rows.

What cannot be read does not stop the rest: its row is there, marked, with harmless figures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from schemas.events import EVENT_KINDS, EventKind
from warehouse import payloads
from warehouse.matches import CODES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_NAME = re.compile(r"\w[\w .:/-]{0,63}")
_VERSION = re.compile(r"[\w.:-]{0,64}")
_EVENT_ID_BYTES = 16
_REQUIRED = {
    EventKind.PROPOSED: "match_score",
    EventKind.VIEWED: "view_duration_seconds",
    EventKind.FEEDBACK: "rating",
}
"""The field that a kind makes no sense without; the others have a default."""


@dataclass(frozen=True)
class Partition:
    """A stretch of staging, both ends inclusive: what a task is given instead of rows."""

    first: int
    last: int


@dataclass(frozen=True)
class Batch:
    """A partition as columns.

    Attributes:
        partition: Where it lies in staging.
        frame: One row an event, labelled by ``seq``: what the expectations look at.
        maps: The maps of each event, by field, laid end to end.
        figures: The decoded payloads, in the order of the frame.
    """

    partition: Partition
    frame: pd.DataFrame
    maps: Mapping[str, payloads.Flat]
    figures: Sequence[payloads.Figures]


def build(partition: Partition, rows: Sequence[tuple[Any, ...]], as_of: int) -> Batch:
    """Lay out the rows of a partition.

    Args:
        partition: Where they come from.
        rows: Columns seq, event_id, kind, subject, match_key, session_key, occurred_at,
            received_at and payload, as the driver gave them.
        as_of: The time of this run, microseconds since 1970.
    """
    seq, event_id, kind, subject, match_key, session_key, occurred_at, received_at, payload = rows
    figures, unreadable = payloads.decode(payload)
    typed = _all_of(payload, (bytes,)) & _ids(event_id)
    whole: dict[str, NDArray[np.int64]] = {}
    for name, values in (
        ("subject", subject),
        ("match_key", match_key),
        ("occurred_at", occurred_at),
        ("received_at", received_at),
    ):
        whole[name], fits = _whole(values)
        typed &= fits
    typed &= _all_of(session_key, (int, type(None)))
    maps = {
        name: payloads.flatten([getattr(one, name) for one in figures]) for name in payloads.MAPS
    }
    columns: dict[str, Any] = {
        "event_id": list(event_id),
        "kind": pd.Categorical.from_codes(
            [CODES.get(name, -1) if isinstance(name, str) else -1 for name in kind],
            categories=list(EVENT_KINDS),
        ),
        **whole,
        "typed": typed,
        "readable": ~unreadable,
        "lateness_us": whole["received_at"] - whole["occurred_at"],
        "age_us": as_of - whole["received_at"],
    }
    for name in payloads.NUMBERS:
        columns[name] = np.array([getattr(one, name) for one in figures], dtype=np.float64)
    columns["rating"] = np.where(columns["rating"] == 0, np.nan, columns["rating"])
    for name, flat in maps.items():
        columns[f"{name}_lowest"], columns[f"{name}_highest"] = flat.bounds(len(seq))
    columns["missing"] = _missing(columns)
    columns["named"] = _named(figures, maps, len(seq))
    frame = pd.DataFrame(columns, index=pd.Index(np.array(seq, dtype=np.int64)))
    return Batch(partition, frame, maps, figures)


def _whole(values: Sequence[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return whole numbers, and which of the values are some; SQLite stores what it is given."""
    fits = _all_of(values, (int,))
    if fits.all():
        return np.array(values, dtype=np.int64), fits
    kept = [value if fit else 0 for value, fit in zip(values, fits.tolist(), strict=True)]
    return np.array(kept, dtype=np.int64), fits


def _all_of(values: Sequence[Any], types: tuple[type, ...]) -> NDArray[np.bool_]:
    if set(map(type, values)) <= set(types):
        return np.ones(len(values), dtype=bool)
    return np.array([type(value) in types for value in values], dtype=bool)


def _ids(values: Sequence[Any]) -> NDArray[np.bool_]:
    if set(map(type, values)) <= {bytes} and set(map(len, values)) <= {_EVENT_ID_BYTES}:
        return np.ones(len(values), dtype=bool)
    return np.array(
        [isinstance(value, bytes) and len(value) == _EVENT_ID_BYTES for value in values]
    )


def _missing(columns: Mapping[str, Any]) -> NDArray[np.int64]:
    """Count the required figures that an event lacks."""
    kind = columns["kind"].codes
    missing = np.zeros(len(kind), dtype=np.int64)
    for name, field in _REQUIRED.items():
        values = columns[field]
        missing += (kind == CODES[name]) & np.isnan(values)
    return missing


def _named(
    figures: Sequence[payloads.Figures], maps: Mapping[str, payloads.Flat], rows: int
) -> NDArray[np.bool_]:
    """Tell whether every name in an event is one that events may carry."""
    named = np.ones(rows, dtype=bool)
    for flat in maps.values():
        bad = {name for name in set(flat.name) if not _NAME.fullmatch(name)}
        if bad:
            named[flat.row[[name in bad for name in flat.name]]] = False
    versions = [one.model_version for one in figures]
    bad = {version for version in set(versions) if not _VERSION.fullmatch(version)}
    if bad:
        named[[version in bad for version in versions]] = False
    return named
