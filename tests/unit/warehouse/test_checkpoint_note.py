"""A release of SQLite that two processes had better not share says so when the server starts."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

import pytest

from ingest.service import Service
from warehouse.engine import checkpoint_note, is_postgres
from warehouse.keyfile import make_ring

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.settings import Settings


@pytest.mark.parametrize(
    ("release", "noted"),
    [((3, 40, 1), True), ((3, 51, 2), True), ((3, 51, 3), False), ((4, 0, 0), False)],
)
def test_note_is_made_of_old_releases_of_sqlite_alone(
    release: tuple[int, int, int], *, noted: bool, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", release)
    note = checkpoint_note(engine)

    assert (note is not None) is (noted and not is_postgres(engine))
    assert note is None or "3.51.3" in note


def test_server_says_it_at_its_start(
    settings: Settings,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))
    make_ring(settings.keys, 0)
    with caplog.at_level(logging.WARNING, "smartmatch"):
        Service(settings).close()

    assert [record.message for record in caplog.records] == [
        note for note in [checkpoint_note(engine)] if note
    ]
