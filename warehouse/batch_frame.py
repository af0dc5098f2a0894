"""A partition of staging as columns, so that expectations look at columns and not at rows.

What cannot be read does not stop the rest: its row is there, marked, with harmless figures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from schemas.events import ROUTES, StagedPayload
from warehouse import payloads
from warehouse.matches import CODES, Columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from warehouse.packed import Packed

_NAME = re.compile(r"\w[\w .:/-]{0,63}")
_VERSION = re.compile(r"[\w.:-]{0,64}")
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


def build(partition: Partition, stretches: Sequence[Packed], as_of: int) -> Batch:
    """Lay out the rows of a partition.

    Args:
        partition: Where they come from.
        stretches: The rows, at least one stretch of them.
        as_of: The time of this run, microseconds since 1970.
    """
    whole = {
        name: np.concatenate([one.numbers[name] for one in stretches])
        for name in stretches[0].numbers
    }
    seq = whole.pop("seq")
    decoded = payloads.decode(
        whole["kind"], list(chain.from_iterable(one.payloads for one in stretches))
    )
    columns: Columns = {
        "event_id": np.concatenate([one.event_ids for one in stretches]),
        **whole,
        "typed": np.concatenate([one.typed for one in stretches]),
        "readable": ~decoded.unreadable,
        "lateness_us": whole["received_at"] - whole["occurred_at"],
        "age_us": as_of - whole["received_at"],
        **decoded.numbers,
    }
    for name, flat in decoded.maps.items():
        columns[f"{name}_lowest"], columns[f"{name}_highest"] = flat.bounds(len(seq))
    columns["missing"] = _missing(columns)
    columns["named"] = _named(decoded, len(seq))
    return Batch(partition, seq, columns, decoded.texts)


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
