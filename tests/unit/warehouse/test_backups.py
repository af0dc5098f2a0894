"""A backup says what it is, and takes the place of a database only where the witness is whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from schemas.errors import NotReady
from schemas.tables import subjects
from tests.engines import on_sqlite
from tests.population import answer
from warehouse import marks, tombstones
from warehouse.backups import back_up, put_back
from warehouse.engine import connect, reading
from warehouse.keyfile import KeyMissing, make_ring
from warehouse.witness import FILE_NAME, WitnessBroken

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

pytestmark = on_sqlite


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_ring(tmp_path / "keys", 1)
    return tmp_path / "keys"


@pytest.fixture
def backup(engine: Engine, tmp_path: Path) -> Path:
    """A backup of a time when there was one person; there are two by now."""
    answer(engine, "a", "analytics")
    back_up(engine, tmp_path / "backup.db")
    answer(engine, "b", "analytics")
    return tmp_path / "backup.db"


def people(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(subjects)).scalar_one()


def test_backup_is_not_used_under_any_path_without_the_witness(
    engine: Engine, backup: Path, tmp_path: Path
) -> None:
    moved = backup.rename(tmp_path / "moved.db")
    copy = connect(SecretStr(f"sqlite:///{moved}"))

    with pytest.raises(NotReady, match="backup"):
        tombstones.catch_up(copy, tmp_path / "no keys here")

    copy.dispose()
    with reading(engine) as connection:
        assert not marks.is_backup(connection)


def test_copy_that_was_made_by_other_means_is_a_backup_once_it_is_put_back(
    engine: Engine, keys: Path, tmp_path: Path
) -> None:
    answer(engine, "a", "analytics")
    copied = tmp_path / "copied.db"
    with (
        closing(sqlite3.connect(str(engine.url.database))) as source,
        closing(sqlite3.connect(copied)) as target,
    ):
        source.backup(target)

    put_back(engine, copied, keys)

    with pytest.raises(NotReady, match="backup"):
        tombstones.catch_up(engine, tmp_path / "no keys here")


def test_backup_is_not_put_back_where_nobody_could_be_forgotten_again(
    engine: Engine, backup: Path, keys: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyMissing):
        put_back(engine, backup, tmp_path / "no keys here")
    (keys / FILE_NAME).write_bytes(b"no testimony\n")
    with pytest.raises(WitnessBroken):
        put_back(engine, backup, keys)

    assert people(engine) == 2


def test_backup_that_found_no_room_or_was_killed_leaves_its_name_to_the_next(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(engine, "a", "analytics")
    file = tmp_path / "backup.db"
    for error in (NotReady("the disk is full"), KeyboardInterrupt()):
        with monkeypatch.context() as patch:
            patch.setattr(marks, "set_backup", lambda *_, error=error, **__: _raise(error))
            with pytest.raises(type(error)):
                back_up(engine, file)
        assert not file.exists()

    back_up(engine, file)

    assert [path.name for path in tmp_path.glob("backup.db*")] == ["backup.db"]
    assert file.stat().st_mode & 0o077 == 0


def _raise(error: BaseException) -> None:
    raise error


def test_backup_that_cannot_be_written_is_told_in_a_line(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "no directory").write_text("")

    with pytest.raises(NotReady, match="cannot be written"):
        back_up(engine, tmp_path / "no directory" / "backup.db")
