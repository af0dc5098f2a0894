"""Turn the payloads of staged events into columns; pure.

Payloads are decoded kind by kind, so that a figure that does not belong to a kind is refused
and a column is read only from the events that may have it. What cannot be read does not stop
the rest: its row is marked and has no figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from schemas.events import EventKind
from warehouse.matches import CODES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_NAN = float("nan")
_Whole = Annotated[int, Meta(ge=-(2**53), le=2**53)]
_Map: TypeAlias = dict[str, float] | UnsetType


class _Figures(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Figures of one kind, fields of ``schemas.events.StagedPayload``; NaN where absent."""


class _Proposed(_Figures):
    match_score: float = _NAN
    match_parameters: _Map = UNSET
    alternatives_count: _Whole = 0
    constraint_satisfaction: _Map = UNSET
    propensity: float = _NAN
    model_version: str = ""


class _Viewed(_Figures):
    view_duration_seconds: float = _NAN
    view_complete: bool = False


class _Decided(_Figures):
    decision_time_seconds: float = 0.0


class _Rated(_Figures):
    rating: _Whole | UnsetType = UNSET
    specific_aspects: _Map = UNSET


class _Finished(_Figures):
    duration_days: float = 0.0
    completion_rate: float = 0.0
    success_indicators: _Map = UNSET


_SHAPES: tuple[tuple[tuple[str, ...], type[_Figures]], ...] = (
    ((EventKind.PROPOSED,), _Proposed),
    ((EventKind.VIEWED,), _Viewed),
    ((EventKind.ACCEPTED, EventKind.REJECTED), _Decided),
    ((EventKind.FEEDBACK,), _Rated),
    ((EventKind.COMPLETED, EventKind.ABANDONED), _Finished),
)
MAPS = (
    "match_parameters",
    "constraint_satisfaction",
    "specific_aspects",
    "success_indicators",
)
NUMBERS = tuple(
    name
    for _, shape in _SHAPES
    for name in shape.__struct_fields__
    if name not in (*MAPS, "model_version")
)
_KEPT = {"match_parameters": "parameters", "constraint_satisfaction": "constraints"}

_UNREADABLE = (msgspec.MsgspecError, TypeError, UnicodeDecodeError, RecursionError)
_encode = msgspec.json.Encoder(order="sorted").encode


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
            starts = np.flatnonzero(np.append(-1, self.row[:-1]) != self.row)
            lowest[self.row[starts]] = np.minimum.reduceat(self.value, starts)
            highest[self.row[starts]] = np.maximum.reduceat(self.value, starts)
        return lowest, highest


@dataclass(frozen=True)
class Decoded:
    """Payloads as columns.

    Attributes:
        unreadable: Which rows are not figures of their kind.
        numbers: The numbers by field, NaN where a row has none.
        maps: The maps by field, laid end to end.
        texts: ``parameters`` and ``constraints`` as JSON, names in order, so that equal maps
            are equal texts; and ``model_version``.
    """

    unreadable: NDArray[np.bool_]
    numbers: dict[str, NDArray[np.float64]]
    maps: dict[str, Flat]
    texts: dict[str, NDArray[np.object_]]


def decode(kinds: NDArray[np.int64], payloads: Sequence[Any]) -> Decoded:
    """Decode payloads.

    Args:
        kinds: Kind of each, as in ``matches.CODES``; what is none of them has no figures.
        payloads: JSON, as stored.
    """
    rows = len(payloads)
    found = Decoded(
        np.zeros(rows, dtype=bool),
        {name: np.full(rows, np.nan) for name in NUMBERS},
        {name: flatten(np.empty(0, np.int64), []) for name in MAPS},
        {
            "parameters": np.full(rows, "{}", dtype=object),
            "constraints": np.full(rows, "{}", dtype=object),
            "model_version": np.full(rows, "", dtype=object),
        },
    )
    for names, shape in _SHAPES:
        here = np.flatnonzero(np.isin(kinds, [CODES[name] for name in names]))
        if len(here):
            _fill(found, here, [payloads[row] for row in here.tolist()], shape)
    return found


def flatten(rows: NDArray[np.int64], maps: Sequence[_Map]) -> Flat:
    """Lay the maps of some rows end to end."""
    filled = [entries for entries in maps if entries]
    lengths = np.fromiter((len(entries) if entries else 0 for entries in maps), np.int64, len(maps))
    values = chain.from_iterable(entries.values() for entries in filled)
    return Flat(
        np.repeat(rows, lengths),
        list(chain.from_iterable(filled)),
        np.fromiter(values, np.float64, int(lengths.sum())),
    )


def _fill(
    found: Decoded, rows: NDArray[np.int64], payloads: Sequence[Any], shape: type[_Figures]
) -> None:
    """Read the payloads of one shape into the columns that it has."""
    absent = shape()
    figures, unreadable = _decode_all(payloads, msgspec.json.Decoder(shape).decode, absent)
    found.unreadable[rows[unreadable]] = True
    for name in shape.__struct_fields__:
        values = map(attrgetter(name), figures)
        if name in MAPS:
            maps = list(values)
            found.maps[name] = flatten(rows, maps)
            if name in _KEPT:
                found.texts[_KEPT[name]][rows] = [
                    _encode(entries).decode() if entries else "{}" for entries in maps
                ]
        elif name == "model_version":
            found.texts[name][rows] = list(values)
        elif getattr(absent, name) is UNSET:
            found.numbers[name][rows] = [_NAN if one is UNSET else one for one in values]
        else:
            found.numbers[name][rows] = np.fromiter(values, np.float64, len(rows))


def _decode_all(
    payloads: Sequence[Any], decode_one: Callable[[bytes], _Figures], absent: _Figures
) -> tuple[list[_Figures], list[int]]:
    """Decode payloads: the figures, and the places of those that could not be read."""
    try:
        # Most partitions hold no unreadable payload: one exception handler for all.
        return list(map(decode_one, payloads)), []
    except _UNREADABLE:
        figures, unreadable = [absent] * len(payloads), []
        for place, payload in enumerate(payloads):
            try:
                figures[place] = decode_one(payload)
            except _UNREADABLE:
                unreadable.append(place)
        return figures, unreadable
