"""Match rows pass as columns, a stretch at a time, and lose nothing at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from schemas.purposes import Purpose
from tests.histories import admit, history, process, stage, tables
from warehouse import bulk, match_rows
from warehouse.engine import reading, writing
from warehouse.match_rows import lock_sums, read_matches, write_matches

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from warehouse.matches import Columns


@pytest.mark.parametrize("stretch", [1, 3, 1_000])
def test_rows_are_read_and_written_alike_in_stretches_of_any_length(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, stretch: int
) -> None:
    admit(engine, [1, 2, 3])
    stage(engine, history(5, length=60, subjects=3, matches=9))
    process(engine, size=1_000, validate=False)
    before, whole = tables(engine), read(engine)
    assert len(whole["subject"]) > 2 * 3

    monkeypatch.setattr(bulk, "_STRETCH", stretch)
    monkeypatch.setattr(match_rows, "_STRETCH", stretch)
    rows = read(engine)
    for name, values in whole.items():
        np.testing.assert_array_equal(rows[name], values, strict=True)
    with writing(engine) as connection:
        lock_sums(connection)
        write_matches(connection, rows | {"stored_day": rows["day"]})

    assert tables(engine) == before


def test_without_a_row_there_are_empty_columns(engine: Engine) -> None:
    assert {len(values) for values in read(engine).values()} == {0}


def read(engine: Engine) -> Columns:
    with reading(engine) as connection:
        rows = read_matches(connection, Purpose.ANALYTICS, "m.match_key IS NOT NULL", {})
    order = np.lexsort((rows["subject"], rows["match_key"]))
    return {name: values[order] for name, values in rows.items()}
