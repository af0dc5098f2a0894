"""What must hold for a partition of staging before any of it counts.

The columns are those of ``warehouse.batch_frame``. The range of a field is the one that
``schemas.events`` states for the request; nothing is said twice.
"""

from __future__ import annotations

from typing import Any

import great_expectations.expectations as gxe
import msgspec
from great_expectations.core import ExpectationSuite
from great_expectations.expectations.expectation import Expectation

from expectations.validation import RULE
from schemas.clock import MICROS_PER_DAY
from schemas.events import (
    MatchCompletedEvent,
    MatchDecisionEvent,
    MatchFeedbackEvent,
    MatchProposedEvent,
    MatchViewedEvent,
)
from schemas.settings import Settings

LATEST_DAYS = Settings.model_fields["events_retention_days"].default
"""An event that is older than any event is kept is refused: it would be purged at once."""

AHEAD_DAYS = 1
"""How far clocks may be apart, days."""

_FIGURES = (
    (MatchProposedEvent, "match_score"),
    (MatchProposedEvent, "alternatives_count"),
    (MatchProposedEvent, "propensity"),
    (MatchViewedEvent, "view_duration_seconds"),
    (MatchDecisionEvent, "decision_time_seconds"),
    (MatchFeedbackEvent, "rating"),
    (MatchCompletedEvent, "duration_days"),
    (MatchCompletedEvent, "completion_rate"),
)
_MAPS = (
    (MatchProposedEvent, "match_parameters"),
    (MatchProposedEvent, "constraint_satisfaction"),
    (MatchFeedbackEvent, "specific_aspects"),
    (MatchCompletedEvent, "success_indicators"),
)


def _range(event: type[msgspec.Struct], name: str) -> dict[str, Any]:
    """Return the bounds of a field of a request, as an expectation takes them."""
    structure: Any = msgspec.inspect.type_info(event)
    kind = next(field.type for field in structure.fields if field.name == name)
    if isinstance(kind, msgspec.inspect.UnionType):
        kind = next(one for one in kind.types if hasattr(one, "ge"))
    if isinstance(kind, msgspec.inspect.DictType):
        kind = kind.value_type
    return {
        "min_value": kind.ge if kind.ge is not None else kind.gt,
        "max_value": kind.le if kind.le is not None else kind.lt,
        "strict_min": kind.gt is not None,
        "strict_max": kind.lt is not None,
    }


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


def _of_figures() -> list[Expectation]:
    return [_between(name, name, _range(event, name)) for event, name in _FIGURES]


def _of_maps() -> list[Expectation]:
    return [
        _between(f"{name}_{end}", f"{name}[]", _range(event, name))
        for event, name in _MAPS
        for end in ("lowest", "highest")
    ]


SUITE = ExpectationSuite(
    name="staged_events",
    expectations=[
        _true("typed", "row: must have the types of its table"),
        _true("readable", "payload: must be the figures of one event"),
        gxe.ExpectColumnValuesToNotBeNull(
            column="kind", meta={RULE: "kind: must be one that events have"}
        ),
        gxe.ExpectColumnValuesToBeUnique(
            column="event_id", meta={RULE: "event_id: must be staged once"}
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="age_us",
            min_value=-AHEAD_DAYS * MICROS_PER_DAY,
            max_value=LATEST_DAYS * MICROS_PER_DAY,
            meta={RULE: "received_at: must not be ahead of the clock, nor past retention"},
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="lateness_us",
            min_value=-AHEAD_DAYS * MICROS_PER_DAY,
            max_value=LATEST_DAYS * MICROS_PER_DAY,
            meta={RULE: "occurred_at: must not be after its arrival, nor past retention"},
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="missing",
            max_value=0,
            meta={RULE: "payload: must hold the fields that its kind requires"},
        ),
        _true("named", "payload: must hold names that events may carry"),
        *_of_figures(),
        *_of_maps(),
    ],
)
"""Expectations of the frame that ``warehouse.batch_frame.build`` makes."""
