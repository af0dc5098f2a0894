"""``smartmatch erase``: what is said where there is nothing to do."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cli import main
from flows import erase_subject
from schemas.clock import moment
from schemas.settings import Settings
from tests.histories import NOW
from tests.population import answer
from warehouse.case_file import CaseFile, open_cases, write_case
from warehouse.engine import connect
from warehouse.erasure import Erasure, read_erasure
from warehouse.erasure_requests import begin
from warehouse.persons import OverMatch
from warehouse.setup import set_up_database

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.parametrize(
    ("failure", "code", "told"),
    [
        (OverMatch("2 subjects answer to this id; nothing was erased"), 1, "2 subjects answer"),
        (OSError(errno.EROFS, "Read-only file system"), 75, "Read-only"),
    ],
)
def test_with_pending_an_erasure_that_fails_keeps_no_other_and_no_case_open(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
    code: int,
    told: str,
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(tmp_path))
    settings = Settings()
    set_up_database(settings)
    write_case(settings.keys, "4b1f", CaseFile(7, [b"pseudonym"], b"ledger"))
    engine = connect(settings.url)
    asked = {
        begin(engine, answer(engine, name, "analytics"), moment(NOW)) for name in ("ana", "bob")
    }
    tried: list[str] = []

    def erase(request: str) -> Erasure:
        tried.append(request)
        if len(tried) == 1:
            raise failure
        return read_erasure(engine, request)

    monkeypatch.setattr(erase_subject, "erase_subject", erase)

    done = CliRunner().invoke(main, ["erase", "--pending"])
    engine.dispose()

    assert done.exit_code == code
    assert told in done.output
    assert (len(tried), set(tried)) == (2, asked)
    assert tried[1] in done.output
    assert open_cases(settings.keys) == []
