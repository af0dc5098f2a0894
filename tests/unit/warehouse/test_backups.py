"""A backup says what it is, and takes the place of a database only where the witness is whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from schemas.errors import InvalidInput, NotReady
from schemas.tables import subjects
from tests.engines import on_sqlite
from tests.histories import TODAY, tables
from tests.population import answer, arrive, process
from tests.purging import proposed, purge
from warehouse import backups, marks, retention, tombstones
from warehouse.audit import balance
from warehouse.backups import accept_restored, back_up, put_back
from warehouse.engine import connect, reading
from warehouse.keyfile import KeyMissing, make_ring
from warehouse.recount import reconcile
from warehouse.witness import FILE_NAME, WitnessBroken

if TYPE_CHECKING:
    from sqlalchemy import Engine

pytestmark = on_sqlite

PAGE_BYTES = 4_096


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
        # What is left where there was no room would take more of it.
        assert list(tmp_path.glob("backup.db*")) == [] or isinstance(error, KeyboardInterrupt)

    back_up(engine, file)

    assert [path.name for path in tmp_path.glob("backup.db*")] == ["backup.db"]
    assert file.stat().st_mode & 0o077 == 0


def test_backup_is_told_of_when_its_name_will_last(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[list[str]] = []

    def note(directory: Path) -> None:
        waits.append([path.name for path in directory.glob("backup.db*")])

    monkeypatch.setattr(backups, "sync_directory", note)

    back_up(engine, tmp_path / "backup.db")

    assert waits == [["backup.db"]]


def _raise(error: BaseException) -> None:
    raise error


def test_backup_that_cannot_be_written_is_told_in_a_line(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "no directory").write_text("")

    with pytest.raises(NotReady, match="cannot be written"):
        back_up(engine, tmp_path / "no directory" / "backup.db")


@pytest.mark.parametrize("damage", ["a page", "its end"])
def test_damaged_backup_takes_the_place_of_nothing(
    engine: Engine, backup: Path, keys: Path, damage: str
) -> None:
    content = bytearray(backup.read_bytes())
    if damage == "a page":
        content[-PAGE_BYTES:] = b"\xff" * PAGE_BYTES
    else:
        del content[len(content) // 2 :]
    backup.write_bytes(content)

    with pytest.raises(InvalidInput, match="must not be damaged"):
        put_back(engine, backup, keys)

    assert people(engine) == 2


@pytest.mark.parametrize("damage", ["its head", "its end"])
def test_backup_takes_the_place_of_a_database_that_is_damaged(
    engine: Engine, backup: Path, keys: Path, damage: str
) -> None:
    engine.dispose()
    database = Path(str(engine.url.database))
    with database.open("r+b") as file:
        file.write(b"no database") if damage == "its head" else file.truncate(3 * PAGE_BYTES)

    put_back(engine, backup, keys)

    assert people(engine) == 1


def test_database_that_somebody_has_open_is_not_replaced(
    engine: Engine, backup: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "PATIENCE_SECONDS", 0.1)
    server = connect(SecretStr(str(engine.url)))
    assert people(server) == 2

    with pytest.raises(NotReady, match="in use"):
        put_back(engine, backup, keys)

    assert people(server) == 2
    server.dispose()
    put_back(engine, backup, keys)
    assert people(engine) == 1


def test_backup_is_one_file_and_stays_so_however_often_it_is_put_back(
    engine: Engine, backup: Path, keys: Path
) -> None:
    content = backup.read_bytes()

    put_back(engine, backup, keys)

    assert list(backup.parent.glob("backup.db*")) == [backup]
    assert backup.read_bytes() == content
    # Without a log, which SQLite would have to make beside it before anybody could read it.
    assert content[18:20] == b"\1\1"


@pytest.mark.parametrize("rests", [1, 2, 4])
def test_a_backup_taken_between_two_chunks_of_a_purge_is_purged_to_the_same_end(
    engine: Engine, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rests: int
) -> None:
    """The purge of the backup's time is over, or has to be ended before anything is put back."""
    one = answer(engine, "one", "analytics")
    days = [*range(TODAY - 104, TODAY - 96)]
    arrive(engine, [proposed(one, match, day) for match, day in enumerate(days)])
    process(engine)
    copy, rested = tmp_path / "copy.db", list[float]()

    def rest(seconds: float) -> None:
        rested.append(seconds)
        if len(rested) == rests:
            back_up(engine, copy)
            with pytest.raises(NotReady, match="in use"):
                put_back(connect(settings_url(engine)), copy, keys)

    monkeypatch.setattr(backups, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(retention, "CHUNK_ROWS", 1)
    monkeypatch.setattr("warehouse.retention.sleep", rest)
    went = purge(engine, "events"), purge(engine, "matches")
    found = tables(engine)

    put_back(engine, copy, keys)
    accept_restored(engine, keys)
    again = purge(engine, "events"), purge(engine, "matches")

    assert went == (4, 4)
    assert (sum(again), tables(engine)) == (8 - rests, found)
    assert balance(engine).agrees
    reconcile(engine, TODAY - 100)


def settings_url(engine: Engine) -> SecretStr:
    return SecretStr(engine.url.render_as_string(hide_password=False))
