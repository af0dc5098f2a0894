"""``smartmatch erase``: what is said where there is nothing to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from cli import main
from schemas.settings import Settings
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
