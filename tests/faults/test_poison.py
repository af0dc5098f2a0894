"""Poison does not stop the rest: straight into staging, a thousand good events to each bad one."""

from __future__ import annotations

import itertools
import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
import pytest
from sqlalchemy import func, select

from schemas.clock import MICROS_PER_DAY
from schemas.tables import events, matches, rejected, staged
from tests.histories import FIGURES, NOW, admit, make_row, process, stage
from warehouse import batches
from warehouse.audit import balance
from warehouse.engine import reading
from warehouse.recount import reconcile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("poison does not stop the rest")

FAR = 2**62
VALUES: tuple[bytes, ...] = (
    b"null", b"true", b'"text"', b"[]", b"{}", b"NaN", b"Infinity", b"-Infinity", b"1e999",
    b"-1", b"18446744073709551616", b'"\\ud800"', b'"\\u0000"', b"[[[[[[]]]]]]", b"01", b"+1",
    b".5", b"1.", b"--1", b"0x10", b"1e", b"tru", b'"', b"'1'",
)  # fmt: skip
"""What a figure must never be, as it would stand in JSON."""

WHOLE: tuple[bytes, ...] = (
    b"", b" ", b"{", b"}", b"[]", b"null", b"0", b'"x"', b"{}{}", b"{},{}", b"\xff\xfe", b"\x00",
    b"\xef\xbb\xbf{}", b'{"a":1}', b'{"email":"x"}', b'{"":0}', b"{1:2}", b"[" * 500,
    b'{"rating":4,"rating":9}', b"\xed\xa0\x80",
)  # fmt: skip
"""Payloads that are broken as a whole."""


def poison() -> Iterator[dict[str, Any]]:
    """Yield staged rows that must not be processed, each broken in a way of its own."""
    for kind, value in itertools.product(FIGURES, WHOLE):
        yield make_row(kind, payload=value)
    for kind, figures in FIGURES.items():
        for name, value in itertools.product(figures, VALUES):
            sound = {key: msgspec.json.encode(one) for key, one in figures.items() if key != name}
            fields = [b'"%s":%s' % (key.encode(), one) for key, one in sound.items()]
            fields.append(b'"%s":%s' % (name.encode(), value))
            if not _may_be(name, value):
                yield make_row(kind, payload=b"{" + b",".join(fields) + b"}")
    for kind, times in itertools.product(FIGURES, _times()):
        yield make_row(kind, **times)
    for kind in ("", "match", "MATCH_VIEWED", "match_viewed ", "x" * 24):
        yield make_row(kind)
    for subject in (0, -1, 77, FAR):
        yield make_row("match_viewed", subject=subject)


def _may_be(name: str, value: bytes) -> bool:
    """Tell whether a value is one that the field may have after all."""
    if name == "view_complete":
        return value == b"true"
    if name in ("match_parameters", "constraint_satisfaction"):
        return value == b"{}"
    return name == "model_version" and value == b'"text"'


def _times() -> Iterator[dict[str, int]]:
    ahead = NOW + 3 * MICROS_PER_DAY
    yield {"occurred_at": ahead}
    yield {"occurred_at": 0}
    yield {"occurred_at": -FAR}
    yield {"occurred_at": FAR}
    yield {"received_at": ahead, "occurred_at": ahead}


@pytest.mark.trials(short=60, full=10_000)
def test_every_good_event_is_processed_and_every_bad_one_rejected_with_a_reason(
    engine: Engine, tally: Tally
) -> None:
    bad = list(poison())[:: max(1, 600 // tally.planned)]
    # A thousand good ones to each on one engine; on the other, where it is dearer, a hundred.
    beside = (1_000 if engine.dialect.name == "sqlite" else 100) if tally.full else 10
    good = [
        make_row(kind, subject=1 + number % 40, match_key=number // 4)
        for number in range(len(bad) * beside // 4)
        for kind in list(FIGURES)[:4]
    ]
    admit(engine, range(1, 41))
    _stage_mixed(engine, good, bad)

    counts = process(engine, size=5_000)

    wrong = {row["event_id"] for row in bad}
    with reading(engine) as connection:
        kept = set(connection.execute(select(events.c.event_id)).scalars())
        reasons = dict(connection.execute(select(rejected.c.event_id, rejected.c.reasons)).all())
        left = connection.execute(select(func.count()).select_from(staged)).scalar_one()
        rows = connection.execute(select(func.count()).select_from(matches)).scalar_one()
    tally.count(trials=len(bad))
    for event_id in wrong & kept:
        row = next(row for row in bad if row["event_id"] == event_id)
        tally.count(f"{row['kind']} {row['payload']!r} was processed", trials=0)
    if kept != {row["event_id"] for row in good} | (wrong & kept):
        tally.count("a good event was not processed", trials=0)
    assert tally.failures == []
    assert set(reasons) == wrong
    assert all(msgspec.json.decode(one) for one in reasons.values())
    assert (left, counts.processed, rows > 0) == (0, len(good), True)
    assert balance(engine).agrees
    reconcile(engine, 0)


def test_flow_that_does_not_look_is_caught(
    engine: Engine, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(engine, [1])
    stage(engine, [make_row("match_feedback", figures={"rating": 9}), make_row("match_viewed")])
    monkeypatch.setattr("tests.histories._broken", lambda _batch: {})

    try:
        process(engine)
    except (sqlite3.IntegrityError, psycopg.errors.CheckViolation) as error:
        tally.mutant_caught = "rating" in str(error)

    assert tally.mutant_caught


def _stage_mixed(engine: Engine, good: list[dict[str, Any]], bad: list[dict[str, Any]]) -> None:
    """Stage the bad rows evenly among the good."""
    step = max(1, len(good) // len(bad))
    for first in range(0, len(good), step * 100):
        chunk = good[first : first + step * 100]
        stage(engine, [*chunk, *bad[first // step : first // step + 100]])
    left = batches.count_staged(engine) - len(good)
    stage(engine, bad[left:])
