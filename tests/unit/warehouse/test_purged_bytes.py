"""After a purge no byte of what went is left in SQLite's files, and their space is used again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from schemas.tables import events, metric_sums
from tests.histories import TODAY
from tests.population import answer, arrive, process
from tests.purging import proposed, purge
from warehouse.engine import connect, create_tables, reading, writing
from warehouse.residue import forget_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    engine = connect(SecretStr(f"sqlite:///{tmp_path / 'forget.db'}"))
    create_tables(engine)
    yield engine
    engine.dispose()


def bytes_of(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.glob("forget.db*")))


MARKS = (b"a-secret-of-one-person", b"\xde\xad\xbe\xef" * 4)


def store_marked(engine: Engine) -> None:
    """Store an old event whose payload and id can be recognised, among many others."""
    subject = answer(engine, "anybody", "analytics")
    old = [proposed(subject, number, TODAY - 150) for number in range(2_000)]
    marked = proposed(
        subject, 5_000, TODAY - 150, event_id=MARKS[1], figures={"model_version": MARKS[0].decode()}
    )
    arrive(engine, [*old[:1_000], marked, *old[1_000:]])
    process(engine)


def test_no_deleted_byte_is_left_in_sqlites_files(sqlite: Engine, tmp_path: Path) -> None:
    store_marked(sqlite)
    assert all(mark in bytes_of(tmp_path) for mark in MARKS)
    with writing(sqlite) as connection:
        connection.exec_driver_sql("DELETE FROM receipts")
        connection.execute(metric_sums.delete())

    purge(sqlite, "events")
    purge(sqlite, "matches")

    assert forget_bytes(sqlite) is True
    assert not [mark for mark in MARKS if mark in bytes_of(tmp_path)]
    assert (tmp_path / "forget.db-wal").stat().st_size == 0


def test_a_reader_that_keeps_the_log_open_is_told_and_the_next_run_succeeds(
    sqlite: Engine, tmp_path: Path
) -> None:
    store_marked(sqlite)
    impatient = connect(SecretStr(f"sqlite:///{tmp_path / 'forget.db'}"), busy_timeout_ms=50)
    with reading(sqlite) as connection:
        connection.execute(select(func.count()).select_from(events)).scalar_one()
        purge(impatient, "events")
        assert forget_bytes(impatient) is False
    assert forget_bytes(impatient) is True
    impatient.dispose()


def test_freed_space_is_used_again(sqlite: Engine) -> None:
    subject = answer(sqlite, "anybody", "analytics")
    pages = []
    for cycle in range(3):
        first = 10_000 * cycle
        rows = [proposed(subject, first + number, TODAY - 150) for number in range(400)]
        arrive(sqlite, rows)
        process(sqlite)
        assert purge(sqlite, "events") == purge(sqlite, "matches") == 400
        with writing(sqlite) as connection:
            connection.exec_driver_sql("DELETE FROM receipts")
        with reading(sqlite) as connection:
            pages.append(connection.exec_driver_sql("PRAGMA page_count").scalar_one())

    assert max(pages) <= pages[0] * 1.05
