"""Decisions: numbered without a gap, in sections, one screen each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from schemas.settings import CHECKOUT

RECORDS = sorted((CHECKOUT / "docs" / "adr").glob("*.md"))
SECTIONS = ["Context", "Decision", "Consequences", "Alternatives"]
SCREEN = 60


def test_records_are_numbered_in_order_and_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in RECORDS]

    assert numbers == list(range(1, len(RECORDS) + 1))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_fits_a_screen_and_says_what_every_record_says(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    title, _, status, *_ = text.splitlines()

    assert re.fullmatch(rf"# {int(path.name[:4])}\. \S.*", title)
    assert re.match(r"Status: (accepted|superseded by \d+), 20\d\d-\d\d$", status)
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == SECTIONS
    assert len(text.splitlines()) <= SCREEN
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_file_that_a_record_names_exists(path: Path) -> None:
    named = re.findall(r"`([\w./-]+\.(?:py|md|toml))`", path.read_text(encoding="utf-8"))

    assert [name for name in named if not (CHECKOUT / name).exists()] == []
