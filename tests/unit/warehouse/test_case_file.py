"""What an erasure remembers until its proof is done: whole, or gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from warehouse import case_file, keyfile
from warehouse.case_file import CaseFile, close_case, read_case, write_case

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = "4b1f"


class Killed(BaseException):
    """Ends a step where a kill would."""


def test_case_that_is_killed_while_it_is_overwritten_is_closed_and_goes_by_the_next_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overwrite_and_die(path: Path) -> None:
        with path.open("r+b") as file:
            keyfile._overwrite(file.fileno())
        raise Killed

    write_case(tmp_path, REQUEST, CaseFile(7, [b"pseudonym"], b"ledger"))
    with monkeypatch.context() as patch:
        patch.setattr(case_file, "destroy_file", overwrite_and_die)
        with pytest.raises(Killed):
            close_case(tmp_path, REQUEST)

    assert read_case(tmp_path, REQUEST) is None
    close_case(tmp_path, REQUEST)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
