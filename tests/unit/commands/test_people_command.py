"""``smartmatch erase``: what is said where there is nothing to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from cli import main
from schemas.settings import Settings
from warehouse.case_file import CaseFile, write_case
from warehouse.setup import set_up_database

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_where_no_request_is_pending_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(tmp_path))
    set_up_database(Settings())

    done = CliRunner().invoke(main, ["erase", "--pending"])

    assert done.exit_code == 0
    assert "No request is pending." in done.output


def test_with_pending_what_a_killed_erasure_left_beside_the_keys_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(tmp_path))
    settings = Settings()
    set_up_database(settings)
    write_case(settings.keys, "4b1f", CaseFile(7, [b"pseudonym"], b"ledger"))

    assert CliRunner().invoke(main, ["erase", "--pending"]).exit_code == 0

    assert list((settings.keys / "erasures").iterdir()) == []
