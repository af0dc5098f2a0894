"""A purge's chunks: as large as their time allows, and others get the lock in between."""

from __future__ import annotations

import pytest

from warehouse.pacing import LONGEST_REST_SECONDS, POSTGRESQL, SQLITE, Manners, first_pace

FIXED = 1e-3


@pytest.mark.parametrize(("per_row", "rows"), [(20e-6, 350), (1e-6, 1_000), (1e-3, 100)])
def test_chunks_grow_and_shrink_to_what_their_time_allows(per_row: float, rows: int) -> None:
    pace = first_pace(1_000, SQLITE)
    for _ in range(20):
        pace = pace.after(FIXED + per_row * pace.rows)

    assert pace.rows == pytest.approx(rows, abs=10)


def test_lock_is_free_for_longer_than_it_is_held() -> None:
    pace = first_pace(1_000, SQLITE)
    for seconds in (1e-4, SQLITE.targets[0], 0.05):
        assert pace.after(seconds).rest_seconds == pytest.approx(2 * seconds)
    assert pace.after(SQLITE.targets[0], beside=True).rest_seconds > 99 * SQLITE.targets[0]
    assert pace.after(60.0).rest_seconds == LONGEST_REST_SECONDS


def test_where_nobody_waits_a_purge_hardly_rests_and_beside_somebody_takes_less() -> None:
    pace = first_pace(1_000, POSTGRESQL)
    for _ in range(20):
        pace = pace.after(FIXED + 20e-6 * pace.rows)
    assert pace.rows == 1_000
    assert pace.rest_seconds < 0.2 * (FIXED + 20e-6 * 1_000)

    for _ in range(20):
        pace = pace.after(FIXED + 20e-6 * pace.rows, beside=True)
    assert pace.rows == pytest.approx(150, abs=10)
    assert pace.rest_seconds > 3 * (FIXED + 20e-6 * 150)


def test_one_slow_chunk_only_halves_the_next() -> None:
    pace = first_pace(1_000, SQLITE)
    grown = pace.after(1e-6).after(1e-6)
    assert grown.after(10.0).rows == grown.rows // 2


@pytest.mark.parametrize("manners", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])
@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_chunk_is_larger_than_the_largest_nor_empty(most: int, manners: Manners) -> None:
    pace = first_pace(most, manners)
    for seconds in (1e-9, 10.0, 10.0, 10.0, 1e-9):
        pace = pace.after(seconds)
        assert 1 <= pace.rows <= most
