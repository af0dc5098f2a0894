"""What breaks an expectation is rejected with its reason, and the rest of its partition is not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import select

from expectations.staged_events import SCREEN, _folded, broken_events
from expectations.validation import broken_rules
from privacy.sealing import Sealer, open_texts
from schemas.clock import MICROS_PER_DAY
from schemas.events import EventKind
from schemas.tables import rejected
from tasks.texts import UNREADABLE, redact_texts
from tests.engines import on_sqlite
from tests.histories import FIGURES, NOW, admit, make_row, packed, process, stage, tables
from warehouse import accounts
from warehouse.batch_frame import Partition, build
from warehouse.engine import reading, writing
from warehouse.keyfile import day_key
from warehouse.recount import reconcile

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

POISON: dict[str, tuple[dict[str, Any], str]] = {
    "undecodable": ({"payload": b'{"rating":'}, "payload: must be the figures of one event"),
    "not JSON": ({"payload": b"\xff\xfe"}, "payload: must be the figures of one event"),
    "two documents": ({"payload": b"{},{}"}, "payload: must be the figures of one event"),
    "not a number": ({"payload": b'{"rating":NaN}'}, "payload: must be the figures of one event"),
    "a huge number": (
        {"payload": b'{"rating":1e999}'},
        "payload: must be the figures of one event",
    ),
    "null": ({"payload": b'{"rating":null}'}, "payload: must be the figures of one event"),
    "a foreign field": ({"figures": {"email": 1}}, "payload: must be the figures of one event"),
    "an alien figure": (
        {"payload": b'{"rating":4,"match_score":0.5}'},
        "payload: must be the figures of one event",
    ),
    "no rating": ({"payload": b"{}"}, "payload: must hold the fields that its kind requires"),
    "rating 0": ({"figures": {"rating": 0}}, "rating: must be at least 1 and at most 5"),
    "rating 6": ({"figures": {"rating": 6}}, "rating: must be at least 1 and at most 5"),
    "rating 2^52": ({"figures": {"rating": 2**52}}, "rating: must be at least 1 and at most 5"),
    "aspect 0": (
        {"figures": {"specific_aspects": {"a": 0, "b": 3}}},
        "specific_aspects[]: must be at least 1 and at most 5",
    ),
    "a long name": (
        {"figures": {"specific_aspects": {"a" * 65: 3}}},
        "payload: must hold names that events may carry",
    ),
    "NUL in a name": (
        {"figures": {"specific_aspects": {"a\0": 3}}},
        "payload: must hold names that events may carry",
    ),
    "unknown kind": (
        {"kind": "match_forgotten", "payload": b"{}"},
        "kind: must be one that events have",
    ),
    "nobody": ({"subject": 77}, "subject: must exist"),
    "negative subject": ({"subject": -1}, "subject: must exist"),
    "far future": (
        {"occurred_at": NOW + 3 * MICROS_PER_DAY},
        "occurred_at: must not be after its arrival, nor past retention",
    ),
    "long ago": (
        {"occurred_at": 0},
        "occurred_at: must not be after its arrival, nor past retention",
    ),
    "end of time": (
        {"occurred_at": 2**63 - 1},
        "occurred_at: must not be after its arrival, nor past retention",
    ),
    "arrives tomorrow": (
        {"received_at": NOW + 2 * MICROS_PER_DAY, "occurred_at": NOW + 2 * MICROS_PER_DAY},
        "received_at: must not be ahead of the clock, nor past retention",
    ),
}


def test_poison_is_rejected_with_its_reason_and_the_rest_processed(engine: Engine) -> None:
    admit(engine, [1])
    rows = [make_row(**{"kind": EventKind.FEEDBACK} | changed) for changed, _ in POISON.values()]
    names = {row["event_id"]: name for row, name in zip(rows, POISON, strict=True)}
    stage(engine, [make_row(EventKind.PROPOSED), *rows, make_row(EventKind.ACCEPTED)])
    counts = process(engine)
    expected = {name: rule for name, (_, rule) in POISON.items()}
    with reading(engine) as connection:
        found = {
            names[event_id]: msgspec.json.decode(reasons)[0]
            for event_id, reasons in connection.execute(
                select(rejected.c.event_id, rejected.c.reasons)
            )
        }
        books = accounts.read(connection)
    assert found == expected
    assert counts.processed == 2
    assert counts.rejected == Counter(expected.values())
    assert sum(n for (counter, _), n in books.items() if counter == accounts.REJECTED) == len(rows)
    assert books[accounts.STORED, ""] == len(rows) + books[accounts.PROCESSED, ""]
    reconcile(engine, 0)


@pytest.mark.parametrize("name", POISON)
def test_screen_sees_every_poison(name: str) -> None:
    changed, _ = POISON[name]
    row = make_row(**{"kind": EventKind.FEEDBACK} | changed)
    batch = build(Partition(1, 1), [packed(row)], NOW)
    if "subject" not in changed:
        assert broken_rules(_folded(batch.columns), SCREEN)
        assert broken_events(batch.seq, batch.columns)
    else:
        assert broken_events(batch.seq, batch.columns) == {}


@on_sqlite  # which stores what it is given, whatever the column's type
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("subject", "one"),
        ("match_key", 1.5),
        ("occurred_at", b"now"),
        ("session_key", "s"),
        ("event_id", b"short"),
        ("event_id", "text"),
        ("payload", '{"rating":4}'),
        ("kind", b"match_viewed"),
    ],
)
def test_wrong_type_in_a_column_is_rejected(engine: Engine, column: str, value: object) -> None:
    admit(engine, [1])
    stage(engine, [make_row(kind, subject=1) for kind in FIGURES])
    with writing(engine) as connection:
        connection.exec_driver_sql(
            f"UPDATE staged SET {column} = ? WHERE kind = 'match_feedback'", (value,)
        )
    counts = process(engine)
    assert counts.processed == len(FIGURES) - 1
    assert sum(counts.rejected.values()) == 1
    assert len(tables(engine)["rejected"]) == 1


def test_rejected_event_of_a_person_without_consent_is_dropped(engine: Engine) -> None:
    admit(engine, [1], analytics=False)
    stage(engine, [make_row(EventKind.FEEDBACK, payload=b"broken")])
    counts = process(engine)
    assert (counts.dropped, dict(counts.rejected)) == (1, {})
    assert tables(engine)["rejected"] == []


@pytest.mark.parametrize("plain", [b'["\xff"]', b'["\xed\xa0\x80"]', b'["a', b"[1]", b"{}", b""])
def test_sealed_bytes_that_are_no_texts_are_unreadable_and_stop_nothing(
    tmp_path: Path, plain: bytes
) -> None:
    row = make_row(EventKind.FEEDBACK)
    event_id, day = row["event_id"], NOW // MICROS_PER_DAY
    sealed = Sealer(day_key(tmp_path, day, make=True)).seal(plain, event_id)
    batch = build(Partition(1, 1), [packed(row)], NOW)

    found = redact_texts([(1, event_id, sealed, day)], tmp_path, batch)

    assert (found.broken, found.redacted) == ({UNREADABLE: [1]}, {})
    assert open_texts(lambda day: day_key(tmp_path, day), sealed, event_id, day) is None
