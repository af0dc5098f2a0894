"""``smartmatch db compact``: a deleted row's bytes go, or the command says that it could not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cli import main
from schemas.settings import Settings
from warehouse import residue
from warehouse.engine import connect, writing
from warehouse.newest_head import NewestHead
from warehouse.setup import set_up_database

if TYPE_CHECKING:
    from pathlib import Path

NOT_READY = 75
"""What a shell knows as worth trying again."""
MARK = b"\xde\xad\xbe\xef" * 4


def test_it_overwrites_deleted_rows_and_says_where_it_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(tmp_path))
    monkeypatch.setattr(residue, "BUSY_TIMEOUT_MS", 50)
    set_up_database(Settings())
    engine = connect(Settings().url)
    with writing(engine) as connection:
        connection.exec_driver_sql("INSERT INTO receipts VALUES (?, ?)", (MARK, MARK))
    with writing(engine) as connection:
        connection.exec_driver_sql("DELETE FROM receipts")
        held = CliRunner().invoke(main, ["db", "compact"])
    assert held.exit_code == NOT_READY, held.output
    assert "is in use" in held.output
    assert MARK in files(tmp_path)

    done = CliRunner().invoke(main, ["db", "compact"])

    assert done.exit_code == 0, done.output
    assert MARK not in files(tmp_path)
    engine.dispose()


def files(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.glob("data/smartmatch.db*"))


def test_triggers_that_are_missing_fail_the_check_and_are_put_back_by_an_upgrade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(tmp_path))
    set_up_database(Settings())
    engine = connect(Settings().url)
    assert CliRunner().invoke(main, ["consent", "verify"]).exit_code == 0
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP TRIGGER consents_no_delete")
    engine.dispose()

    checked = CliRunner().invoke(main, ["consent", "verify"])
    status = CliRunner().invoke(main, ["status", "--json"])
    upgraded = CliRunner().invoke(main, ["db", "upgrade"])

    assert checked.exit_code == 1
    for told in (checked, status, upgraded):
        assert "consents_no_delete" in told.output
    assert CliRunner().invoke(main, ["consent", "verify"]).exit_code == 0


def test_an_upgrade_demands_seals_and_a_downgrade_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(tmp_path))
    set_up_database(Settings())
    keys = Settings().keys
    assert NewestHead(keys).sealed().since == 1

    assert CliRunner().invoke(main, ["db", "downgrade", "--yes", "0007"]).exit_code == 0
    assert NewestHead(keys).sealed().since is None

    assert CliRunner().invoke(main, ["db", "upgrade"]).exit_code == 0
    assert NewestHead(keys).sealed().since == 1
    assert CliRunner().invoke(main, ["consent", "verify"]).exit_code == 0
