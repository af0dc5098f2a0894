"""Every type of event is taken whole: from the request to the columns that rules look at."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from expectations.staged_events import broken_events
from ingest.arrivals import payload_of
from ingest.examples import EXAMPLES
from schemas.events import EVENT_KINDS, ROUTES, Event, StagedPayload, kind_of
from tests.histories import FIGURES, NOW, make_row, packed
from tracking.schema import __all__ as exported
from warehouse import batch_frame
from warehouse.batch_frame import Batch, Partition

OF_ALL = {"user_id", "match_id", "session_id", "event_id", "occurred_at"}
"""Fields of every event: who, when and about what."""

TOLD_APART = {"decision", "completed", "reasons", "feedback_text"}
"""Fields that become the kind, or are sealed as texts."""


def example_of(of: type[Event]) -> Event:
    return msgspec.convert(EXAMPLES[of], of)


def built(kind: str, payload: bytes) -> Batch:
    return batch_frame.build(Partition(1, 1), [packed(make_row(kind, payload=payload))], NOW)


def names(of: type[Event]) -> list[str]:
    return [name for name in of.__struct_fields__ if name in StagedPayload.__struct_fields__]


@pytest.mark.parametrize("of", ROUTES.values(), ids=list(ROUTES))
def test_no_field_of_a_request_is_lost(of: type[Event]) -> None:
    assert set(of.__struct_fields__) - OF_ALL - TOLD_APART == set(names(of))


@pytest.mark.parametrize("of", ROUTES.values(), ids=list(ROUTES))
def test_the_figures_of_an_example_reach_their_columns_and_break_no_rule(of: type[Event]) -> None:
    event = example_of(of)
    batch = built(kind_of(event), msgspec.json.encode(payload_of(event)))

    found: dict[str, Any] = {name: column[0] for name, column in batch.columns.items()}
    for name in names(of):
        sent = getattr(event, name)
        if isinstance(sent, dict):
            ends = found[f"{name}_lowest"], found[f"{name}_highest"]
            assert ends == (min(sent.values()), max(sent.values()))
        elif isinstance(sent, int | float):
            assert found[name] == sent
    assert broken_events(batch.seq, batch.columns) == {}


@pytest.mark.parametrize("of", ROUTES.values(), ids=list(ROUTES))
def test_a_figure_beyond_its_range_breaks_a_rule(of: type[Event]) -> None:
    event = example_of(of)
    for name in names(of):
        sent = getattr(event, name)
        beyond: Any = dict.fromkeys(sent, 10000000000000.0) if isinstance(sent, dict) else 10**13
        if isinstance(sent, dict | int | float) and not isinstance(sent, bool):
            figures = msgspec.to_builtins(payload_of(event)) | {name: beyond}
            batch = built(kind_of(event), msgspec.json.encode(figures))
            assert list(broken_events(batch.seq, batch.columns)), name


@pytest.mark.parametrize("of", ROUTES.values(), ids=list(ROUTES))
def test_what_cannot_be_read_is_marked_and_what_lacks_a_required_figure_too(
    of: type[Event],
) -> None:
    kind = kind_of(example_of(of))
    needed = {field.name for field in msgspec.structs.fields(of) if field.required}

    assert list(built(kind, b"null").columns["readable"]) == [False]
    assert built(kind, b"{}").columns["missing"][0] == len(needed & set(names(of)))


def test_histories_in_tests_hold_every_kind() -> None:
    assert set(FIGURES) == set(EVENT_KINDS)


def test_the_client_has_every_type() -> None:
    assert set(exported) == {"Event", *(of.__name__ for of in ROUTES.values())}
