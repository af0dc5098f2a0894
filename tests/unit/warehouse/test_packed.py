"""A stretch of staging is read as it was stored, however its rows are packed on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from schemas.events import EventKind
from tests.engines import on_sqlite
from tests.histories import make_row, packed, stage
from warehouse.batch_frame import Partition
from warehouse.engine import reading, writing
from warehouse.packed import cut, read_stretch

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from warehouse.packed import Packed

ODD: list[dict[str, Any]] = [
    {"event_id": bytes(16)},
    {"event_id": b"\xff" * 15 + b"\0"},
    {"event_id": b",\n" * 8},
    {"payload": b""},
    {"payload": b"\0"},
    {"payload": b"{},\n{}\n"},
    {"payload": b"\xff\xfe\0\x80"},
    {"subject": 2**63 - 1, "match_key": 2**63 - 1},
    {"occurred_at": -(2**63), "received_at": -1},
    {"kind": "match_forgotten"},
    {"kind": "a,b"},
    {"session_key": 2**63 - 1},
]


def listed(rows: Packed) -> list[dict[str, Any]]:
    return [
        {
            "event_id": rows.event_ids[place : place + 1].tobytes(),
            "payload": rows.payloads[place],
            "typed": bool(rows.typed[place]),
            **{name: int(column[place]) for name, column in rows.numbers.items()},
        }
        for place in range(len(rows.payloads))
    ]


def test_rows_are_read_as_they_were_stored(engine: Engine) -> None:
    rows = [
        make_row(**{"kind": EventKind.FEEDBACK, "seq": seq} | odd) for seq, odd in enumerate(ODD, 1)
    ]
    stage(engine, rows)
    with reading(engine) as connection:
        found = read_stretch(connection, Partition(1, len(rows)))
    assert listed(found) == [one for row in rows for one in listed(packed(row))]


def test_a_stretch_without_a_row_is_empty(engine: Engine) -> None:
    with reading(engine) as connection:
        found = read_stretch(connection, Partition(1, 9))
    assert listed(found) == []
    assert {len(column) for column in found.numbers.values()} == {0}


@on_sqlite  # which stores what it is given, whatever the column's type
@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(
            (column, value)
            for column in ("subject", "match_key", "occurred_at", "received_at", "session_key")
            for value in (1.5, 1e300, "5 or so", b"5", "")
        ),
        *(("event_id", value) for value in (7, "sixteen letters.", b"short", b"")),
        *(("payload", value) for value in (7, '{"rating":4}', 0.5)),
    ],
)
def test_what_has_another_type_is_marked_and_has_harmless_numbers(
    engine: Engine, column: str, value: object
) -> None:
    stage(engine, [make_row(EventKind.VIEWED, seq=seq) for seq in (1, 2, 3)])
    with writing(engine) as connection:
        connection.exec_driver_sql(f"UPDATE staged SET {column} = ? WHERE seq = 2", (value,))
        rows = read_stretch(connection, Partition(1, 3))
    assert rows.typed.tolist() == [True, False, True]
    assert rows.numbers.get(column, [0, 0])[1] == 0
    assert len(set(rows.event_ids.tolist())) == 3


def test_stretches_have_at_most_so_many_rows_and_none_is_empty(engine: Engine) -> None:
    numbers = [1, 2, 3, 4, 5, 9, 1_000_000, 1_000_001, 2**62]
    stage(engine, [make_row(EventKind.VIEWED, seq=seq) for seq in numbers])
    with reading(engine) as connection:
        found = list(cut(connection, Partition(2, 2**62), 3))
    assert [(one.first, one.last) for one in found] == [
        (2, 4),
        (5, 7),
        (9, 11),
        (1_000_000, 1_000_002),
        (2**62, 2**62),
    ]
