"""A partition of staging as columns, so that expectations look at columns and not at rows.

What cannot be read does not stop the rest: its row is there, marked, with harmless figures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from schemas.events import ROUTES, StagedPayload
from warehouse import payloads
from warehouse.matches import CODES, UNKNOWN, Columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_NAME = re.compile(r"\w[\w .:/-]{0,63}")
_VERSION = re.compile(r"[\w.:-]{0,64}")
_EVENT_ID_BYTES = 16
_REQUIRED = tuple(
    (str(of.__struct_config__.tag), field.name)
    for of in ROUTES.values()
    for field in msgspec.structs.fields(of)
    if field.required and field.name in StagedPayload.__struct_fields__
)
"""Kinds, and the figure without which a request is refused; the others have a default."""


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
        seq: Numbers of the events in staging, ascending.
        columns: What the expectations look at, one entry an event.
        texts: ``parameters``, ``constraints`` and ``model_version`` of each event.
    """

    partition: Partition
    seq: NDArray[np.int64]
    columns: Columns
    texts: Columns


def build(partition: Partition, rows: Sequence[tuple[Any, ...]], as_of: int) -> Batch:
    """Lay out the rows of a partition.

    Args:
        partition: Where they come from.
        rows: Columns seq, event_id, kind, subject, match_key, session_key, occurred_at,
            received_at and payload, as the driver gave them.
        as_of: The time of this run, microseconds since 1970.
    """
    seq, event_id, kind, subject, match_key, session_key, occurred_at, received_at, payload = rows
    kinds = _kinds(kind)
    decoded = payloads.decode(kinds, payload)
    typed = _all_of(payload, (bytes,)) & _ids(event_id) & _all_of(session_key, (int, type(None)))
    whole: dict[str, NDArray[np.int64]] = {}
    for name, values in (
        ("subject", subject),
        ("match_key", match_key),
        ("occurred_at", occurred_at),
        ("received_at", received_at),
    ):
        whole[name], fits = _whole(values)
        typed &= fits
    columns: Columns = {
        "event_id": np.fromiter(event_id, object, len(seq)),
        "kind": kinds,
        **whole,
        "typed": typed,
        "readable": ~decoded.unreadable,
        "lateness_us": whole["received_at"] - whole["occurred_at"],
        "age_us": as_of - whole["received_at"],
        **decoded.numbers,
    }
    for name, flat in decoded.maps.items():
        columns[f"{name}_lowest"], columns[f"{name}_highest"] = flat.bounds(len(seq))
    columns["missing"] = _missing(columns)
    columns["named"] = _named(decoded, len(seq))
    return Batch(partition, np.array(seq, dtype=np.int64), columns, decoded.texts)


def _kinds(names: Sequence[Any]) -> NDArray[np.int64]:
    """Return kinds as numbers; -1 is none that events have."""
    try:
        return np.fromiter(map(CODES.__getitem__, names), np.int64, len(names))
    except (KeyError, TypeError):
        codes = (CODES.get(name, UNKNOWN) if isinstance(name, str) else UNKNOWN for name in names)
        return np.fromiter(codes, np.int64, len(names))


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


def _missing(columns: Columns) -> NDArray[np.int64]:
    """Count the required figures that an event lacks."""
    missing = np.zeros(len(columns["kind"]), dtype=np.int64)
    for name, field in _REQUIRED:
        missing += (columns["kind"] == CODES[name]) & np.isnan(columns[field])
    return missing


def _named(decoded: payloads.Decoded, rows: int) -> NDArray[np.bool_]:
    """Tell whether every name in an event is one that events may carry."""
    named = np.ones(rows, dtype=bool)
    for flat in decoded.maps.values():
        bad = {name for name in set(flat.name) if not _NAME.fullmatch(name)}
        if bad:
            named[flat.row[[name in bad for name in flat.name]]] = False
    versions = decoded.texts["model_version"].tolist()
    bad = {version for version in set(versions) if not _VERSION.fullmatch(version)}
    if bad:
        named[[version in bad for version in versions]] = False
    return named
