"""What must hold for a partition of staging before any of it counts.

The columns are those of ``warehouse.batch_frame``. The range of a field is the one that
``schemas.events`` states for the request; nothing is said twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import great_expectations.expectations as gxe
import msgspec
import numpy as np
import pandas as pd
from great_expectations.core import ExpectationSuite
from great_expectations.expectations.expectation import Expectation

from expectations.validation import RULE, broken_rules
from schemas.clock import MICROS_PER_DAY
from schemas.events import ROUTES, StagedPayload
from schemas.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

LATEST_DAYS = Settings.model_fields["events_retention_days"].default
"""An event that is older than any event is kept is refused: it would be purged at once."""

AHEAD_DAYS = 1
"""How far clocks may be apart, days."""


def _bounds(kind: Any) -> dict[str, Any]:
    """Return the bounds of a number of a request, as an expectation takes them."""
    return {
        "min_value": kind.ge if kind.ge is not None else kind.gt,
        "max_value": kind.le if kind.le is not None else kind.lt,
        "strict_min": kind.gt is not None,
        "strict_max": kind.lt is not None,
    }


def _ranges() -> dict[str, dict[str, Any]]:
    """Return the bounds of all figures of all events, by column of the frame."""
    numbers, maps = {}, {}
    for event in ROUTES.values():
        structure: Any = msgspec.inspect.type_info(event)
        for field in structure.fields:
            if field.name not in StagedPayload.__struct_fields__:
                continue
            for kind in getattr(field.type, "types", (field.type,)):
                if isinstance(kind, msgspec.inspect.IntType | msgspec.inspect.FloatType):
                    numbers[field.name] = _bounds(kind)
                elif isinstance(kind, msgspec.inspect.DictType):
                    for end in ("lowest", "highest"):
                        maps[f"{field.name}_{end}"] = _bounds(kind.value_type)
    return numbers | maps


def _words(bounds: dict[str, Any]) -> str:
    low = "above" if bounds["strict_min"] else "at least"
    high = "below" if bounds["strict_max"] else "at most"
    return f"must be {low} {bounds['min_value']:g} and {high} {bounds['max_value']:g}"


def _between(column: str, field: str, bounds: dict[str, Any]) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(
        column=column, **bounds, meta={RULE: f"{field}: {_words(bounds)}"}
    )


def _true(column: str, rule: str) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True], meta={RULE: rule})


def _at_most(column: str, highest: int, rule: str) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(column=column, max_value=highest, meta={RULE: rule})


_WITHIN = {
    "min_value": -AHEAD_DAYS * MICROS_PER_DAY,
    "max_value": LATEST_DAYS * MICROS_PER_DAY,
    "strict_min": False,
    "strict_max": False,
}
_TIMES: dict[str, dict[str, Any]] = {"age_us": _WITHIN, "lateness_us": _WITHIN}


def _time(column: str, rule: str) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(column=column, **_TIMES[column], meta={RULE: rule})


_RANGES = _ranges()


def _field(column: str) -> str:
    """Name the field that a column was made of."""
    name, _, end = column.rpartition("_")
    return f"{name}[]" if end in {"lowest", "highest"} else column


SUITE = ExpectationSuite(
    name="staged_events",
    expectations=[
        _true("typed", "row: must have the types of its table"),
        _true("readable", "payload: must be the figures of one event"),
        gxe.ExpectColumnValuesToBeBetween(
            column="kind", min_value=0, meta={RULE: "kind: must be one that events have"}
        ),
        gxe.ExpectColumnValuesToBeUnique(
            column="event_id", meta={RULE: "event_id: must be staged once"}
        ),
        _time("age_us", "received_at: must not be ahead of the clock, nor past retention"),
        _time("lateness_us", "occurred_at: must not be after its arrival, nor past retention"),
        _at_most("missing", 0, "payload: must hold the fields that its kind requires"),
        _true("named", "payload: must hold names that events may carry"),
        *(_between(column, _field(column), bounds) for column, bounds in _RANGES.items()),
    ],
)
"""Expectations of the columns that ``warehouse.batch_frame.build`` makes."""

SCREEN = ExpectationSuite(
    name="staged_events_screen",
    expectations=[
        _at_most("faults", 0, "row: must be one readable event, staged once"),
        _at_most("excess", 0, "row: must hold figures and times in their ranges"),
    ],
)
"""The cheap question: whether anything is broken at all, on columns folded into two.

An expectation costs some milliseconds a partition and some nanoseconds a row, so the ranges of
all figures are folded into how far the farthest one lies outside its own.
"""


def broken_events(
    seq: NDArray[np.int64], columns: dict[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Find the events that break a rule: the screen first, the suite only if it says no.

    Args:
        seq: Labels of the events.
        columns: As ``warehouse.batch_frame.build`` makes them.

    Returns:
        Labels of the offending events by rule, in the order of the suite.
    """
    if not broken_rules(_folded(columns), SCREEN):
        return {}
    return broken_rules(pd.DataFrame(columns, index=pd.Index(seq)), SUITE)


def _folded(columns: dict[str, NDArray[Any]]) -> pd.DataFrame:
    faults = ~(columns["typed"] & columns["readable"] & columns["named"])
    faults |= (columns["kind"] < 0) | (columns["missing"] > 0) | _repeated(columns["event_id"])
    excess = np.full(len(faults), -np.inf)
    for column, bounds in (_RANGES | _TIMES).items():
        np.fmax(excess, _outside(columns[column], bounds), out=excess)
    return pd.DataFrame({"faults": faults.astype(np.int64), "excess": excess})


def _repeated(event_ids: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    """Tell which ids are there more than once; their first halves are enough where none is."""
    halves = np.sort(event_ids.view(np.uint64)[::2])
    if (halves[1:] != halves[:-1]).all():
        return np.zeros(len(event_ids), dtype=bool)
    return np.asarray(pd.Series(event_ids.tolist(), dtype=object).duplicated(keep=False))


def _outside(values: NDArray[np.float64], bounds: dict[str, Any]) -> NDArray[np.float64]:
    """Return how far values lie outside a range: at most 0 inside, NaN for none."""
    outside = np.fmax(bounds["min_value"] - values, values - bounds["max_value"])
    if bounds["strict_min"]:
        outside = np.where(values == bounds["min_value"], np.inf, outside)
    if bounds["strict_max"]:
        outside = np.where(values == bounds["max_value"], np.inf, outside)
    return np.asarray(outside)
