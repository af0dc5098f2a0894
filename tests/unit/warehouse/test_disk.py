"""The last of SQLite's disk is left to what makes room, however events and questions come."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from warehouse.disk import DiskReserve
from warehouse.engine import writing

if TYPE_CHECKING:
    from sqlalchemy import Engine

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

MEGABYTE = 1 << 20


@pytest.fixture
def reserve(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> DiskReserve:
    """The reserve of a disk of 32 MB, of which 24 are free and 8 are kept."""
    disk = SimpleNamespace(f_blocks=32, f_frsize=MEGABYTE, f_bavail=24)
    monkeypatch.setattr(os, "statvfs", lambda _directory: disk)
    monkeypatch.setattr("warehouse.disk._LOOK_SECONDS", 60.0)
    return DiskReserve(engine, 64 * MEGABYTE)


def test_who_only_asks_takes_nothing(reserve: DiskReserve) -> None:
    assert all(reserve.has_room(256) for _ in range(1_000))
    assert reserve.take(256, 0)
    assert not reserve.has_room(16 * 512)


def test_long_texts_take_what_they_are_long_twice_for_the_log_and_the_table(
    reserve: DiskReserve,
) -> None:
    assert not reserve.take(1, 8 * MEGABYTE)
    assert reserve.take(1, 7 * MEGABYTE)
    assert not reserve.take(1, MEGABYTE)
    assert reserve.take(1, 0)


def test_what_the_log_holds_has_its_room_in_the_tables(
    engine: Engine, reserve: DiskReserve
) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("INSERT INTO versions (name, value) VALUES ('one', 1)")
    before = reserve.has_room(4_096)
    os.truncate(f"{engine.url.database}-wal", 12 * MEGABYTE)

    assert before
    assert not reserve.has_room(4_096)
    assert reserve.has_room(1_024)
