"""Turn the payloads of staged events into columns, in one pass; pure.

What cannot be read does not stop the rest: its row is marked and has empty figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_NAN = float("nan")
_Whole = Annotated[int, Meta(ge=-(2**53), le=2**53)]
_Map: TypeAlias = dict[str, float] | UnsetType


class Figures(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The JSON of ``schemas.events.StagedPayload``, with numbers where a field is absent.

    NaN stands for an absent number and 0 for an absent rating, so that a partition becomes
    columns without asking each value what it is.
    """

    match_score: float = _NAN
    match_parameters: _Map = UNSET
    alternatives_count: _Whole = 0
    constraint_satisfaction: _Map = UNSET
    propensity: float = _NAN
    model_version: str = ""
    view_duration_seconds: float = _NAN
    view_complete: bool = False
    decision_time_seconds: float = 0.0
    rating: _Whole = 0
    specific_aspects: _Map = UNSET
    duration_days: float = 0.0
    completion_rate: float = 0.0
    success_indicators: _Map = UNSET


NUMBERS = (
    "match_score",
    "alternatives_count",
    "propensity",
    "view_duration_seconds",
    "decision_time_seconds",
    "rating",
    "duration_days",
    "completion_rate",
)
MAPS = (
    "match_parameters",
    "constraint_satisfaction",
    "specific_aspects",
    "success_indicators",
)

_ABSENT = Figures()
_decode: Callable[[bytes], Figures] = msgspec.json.Decoder(Figures).decode


@dataclass(frozen=True)
class Flat:
    """Maps of many rows, one entry a line: ``row`` says whose, lines are grouped by row."""

    row: NDArray[np.int64]
    name: list[str]
    value: NDArray[np.float64]

    def bounds(self, rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the smallest and the largest value of each of so many rows, NaN for none."""
        lowest, highest = np.full(rows, np.nan), np.full(rows, np.nan)
        if len(self.row):
            starts = np.flatnonzero(np.r_[True, self.row[1:] != self.row[:-1]])
            lowest[self.row[starts]] = np.minimum.reduceat(self.value, starts)
            highest[self.row[starts]] = np.maximum.reduceat(self.value, starts)
        return lowest, highest


def decode(payloads: Sequence[Any]) -> tuple[list[Figures], NDArray[np.bool_]]:
    """Decode payloads.

    Returns:
        One ``Figures`` a payload, and which of them could not be read.
    """
    readable = np.ones(len(payloads), dtype=bool)
    try:
        # Most partitions hold no unreadable payload: one exception handler for all.
        return [_decode(payload) for payload in payloads], ~readable
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError, RecursionError):
        figures = [_ABSENT] * len(payloads)
        for row, payload in enumerate(payloads):
            try:
                figures[row] = _decode(payload)
            except (msgspec.MsgspecError, TypeError, UnicodeDecodeError, RecursionError):
                readable[row] = False
        return figures, ~readable


def flatten(maps: Sequence[_Map]) -> Flat:
    """Lay the maps of many rows end to end."""
    rows = [row for row, entries in enumerate(maps) if entries]
    filled = [entries for entries in maps if entries]
    lengths = np.fromiter(map(len, filled), np.int64, len(filled))
    values = chain.from_iterable(entries.values() for entries in filled)
    return Flat(
        np.repeat(np.array(rows, dtype=np.int64), lengths),
        list(chain.from_iterable(filled)),
        np.fromiter(values, np.float64, int(lengths.sum())),
    )
