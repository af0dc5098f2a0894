"""What the pages say of an upgrade holds: a backup before the new version, by our own command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cli import main
from commands.shared import EXIT_TRY_AGAIN
from schemas.settings import CHECKOUT, Settings
from warehouse.setup import set_up_database

if TYPE_CHECKING:
    from pathlib import Path

DOCS = CHECKOUT / "docs"


@pytest.mark.parametrize("page", ["upgrading.md", "guides.md"])
def test_the_copy_is_taken_before_the_new_version_is_there(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    steps = text if page == "upgrading.md" else text.partition("\n## Upgrade\n")[2]
    places = [
        re.search(word, steps, flags=re.IGNORECASE)
        for word in ("stop the", "backup|a backup", "install the new", "start again")
    ]

    found = [place.start() for place in places if place is not None]
    assert len(found) == len(places)
    assert found == sorted(found)


def test_a_version_refuses_to_copy_a_schema_that_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(tmp_path))
    set_up_database(Settings())
    call = CliRunner()
    now, later = tmp_path / "now.db", tmp_path / "later.db"

    assert call.invoke(main, ["backup", str(now)]).exit_code == 0
    assert call.invoke(main, ["db", "downgrade", "0001", "--yes"]).exit_code == 0
    assert call.invoke(main, ["backup", str(later)]).exit_code == EXIT_TRY_AGAIN

    assert now.exists()
    assert not later.exists()


def test_the_changelog_names_every_flow() -> None:
    text = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    told = re.search(r"Seven flows, ad hoc and on schedule: ([`\w,\s]+)\.", text)
    flows = {path.stem for path in (CHECKOUT / "flows").glob("[!_]*.py")}

    assert told is not None
    assert set(re.findall(r"\w+", told[1])) == flows
    assert len(flows) == 7
