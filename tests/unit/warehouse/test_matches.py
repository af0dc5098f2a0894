"""Merging is a commutative and associative fold of events into match states."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.clock import MICROS_PER_DAY
from schemas.events import EVENT_KINDS, EventKind
from warehouse.matches import (
    ABSENT,
    CODES,
    EVENT_COLUMNS,
    UNKNOWN,
    Columns,
    empty_states,
    merge,
    split_id,
    take,
)

_EVENT = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([CODES[name] for name in EVENT_KINDS]),
        "match_key": st.integers(1, 3),
        "subject": st.integers(1, 2),
        "occurred_at": st.integers(0, 4).map(lambda day: day * MICROS_PER_DAY + 7),
        "rating": st.integers(1, 5),
        "match_score": st.sampled_from([0.25, 0.5, 1.0]),
        "accepted": st.integers(0, 1),
        "view_ms": st.integers(0, 9),
    }
)


def _table(events: list[dict[str, Any]]) -> Columns:
    defaults = {
        "alternatives_count": 1,
        "propensity": 0.5,
        "model_version": "1",
        "parameters": "{}",
        "constraints": "{}",
        "decision_ms": 5,
        "completed": 1,
        "duration_days": 2.0,
        "completion_rate": 1.0,
        "view_complete": 0,
        "event_high": 0,
    }
    rows = [defaults | {"event_low": number} | event for number, event in enumerate(events)]
    texts = {"model_version", "parameters", "constraints"}
    table = {
        name: np.array([row[name] for row in rows], dtype=object if name in texts else None)
        for name in EVENT_COLUMNS
    }
    for name in ("event_high", "event_low"):
        table[name] = table[name].astype(np.uint64)
    return table


def _same(one: Columns, other: Columns) -> None:
    assert set(one) == set(other)
    for name in set(one) - {"touched", "stored_day"}:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@given(st.lists(_EVENT, min_size=1, max_size=12), st.randoms(), st.integers(0, 12))
def test_order_and_cuts_leave_no_trace(
    events: list[dict[str, Any]], draw: object, cut: int
) -> None:
    table = _table(events)
    whole = merge(empty_states(), table)
    places = list(range(len(events)))
    draw.shuffle(places)  # type: ignore[attr-defined]
    first, second = (
        take(table, np.array(part, dtype=np.int64)) for part in (places[:cut], places[cut:])
    )
    _same(merge(merge(empty_states(), first), second), whole)
    _same(merge(merge(empty_states(), second), first), whole)


def test_of_two_events_of_one_moment_the_greater_id_stands() -> None:
    event = {"kind": CODES[EventKind.FEEDBACK], "match_key": 1, "subject": 1, "occurred_at": 5}
    other: dict[str, Any] = {"match_score": 0.0, "accepted": 0, "view_ms": 0}
    table = _table([event | other | {"rating": stars} for stars in (2, 5, 3)])
    table["event_high"], table["event_low"] = split_id(
        b"".join([b"\x01" + bytes(15), b"\x80" + bytes(15), bytes(15) + b"\xff"])
    )
    assert merge(empty_states(), table)["rating"].tolist() == [5]


def test_day_is_the_proposals_day_and_until_then_the_earliest() -> None:
    other: dict[str, Any] = {"match_score": 0.5, "accepted": 1, "view_ms": 0, "rating": 1}
    row = {"match_key": 1, "subject": 1}
    decided = row | other | {"kind": CODES[EventKind.ACCEPTED], "occurred_at": 3 * MICROS_PER_DAY}
    viewed = row | other | {"kind": CODES[EventKind.VIEWED], "occurred_at": 2 * MICROS_PER_DAY}
    proposed = row | other | {"kind": CODES[EventKind.PROPOSED], "occurred_at": MICROS_PER_DAY * 9}
    assert merge(empty_states(), _table([decided, viewed]))["day"].tolist() == [2]
    assert merge(empty_states(), _table([decided, proposed, viewed]))["day"].tolist() == [9]


def test_facets_that_have_not_come_are_unknown() -> None:
    event = {"kind": CODES[EventKind.VIEWED], "match_key": 7, "subject": 8, "occurred_at": 5}
    other: dict[str, Any] = {"match_score": 0.5, "accepted": 1, "view_ms": 4, "rating": 1}
    state = merge(empty_states(), _table([event | other]))
    assert (state["match_key"][0], state["subject"][0], state["views"][0]) == (7, 8, 1)
    assert state["proposed_at"][0] == state["decided_at"][0] == ABSENT
    assert (state["accepted"][0], state["rating"][0]) == (UNKNOWN, 0)
    assert np.isnan(state["match_score"][0])


def test_ids_as_numbers_sort_like_their_bytes() -> None:
    ids = [bytes([first, *range(14), last]) for first in (0, 127, 255) for last in (0, 200)]
    high, low = split_id(b"".join(ids))
    assert sorted(ids) == [ids[place] for place in np.lexsort((low, high))]
