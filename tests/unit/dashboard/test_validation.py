"""The page of validation over time: counts by day and rule, in either language."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from dashboard.page import render_validation
from schemas.clock import micros
from tests.unit.dashboard.test_page import Read
from warehouse.validations import Checked, read, record, record_unusable

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOSTILE = '<script>alert("x")</script>: must be harmless'
HELD = "rating: must be at most 5"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A day of runs; one of 4,321 rows broke a rule in 4,017, one was refused as a whole."""
    checked = Checked("staged_events", 4_321, (HOSTILE, HELD), {HOSTILE: 4_017})
    record(tmp_path, micros(NOW), [checked])
    record_unusable(tmp_path, micros(NOW), "training_set", "accepted: must be there")
    return tmp_path


def page_of(kept: Path, code: str, *, published: bool) -> Read:
    found = read(kept, 30, NOW, smallest=10, published=published)
    return Read(render_validation(found, code))


def texts(page: Read) -> list[str]:
    return [text.strip() for text in page.texts if text.strip()]


def test_page_tells_counts_rules_and_outcomes(kept: Path) -> None:
    said = texts(page_of(kept, "en", published=False))

    assert said.count("4,321") == 2
    assert said.count("4,017") == 2
    assert said[said.index(HELD) + 1 : said.index(HELD) + 3] == ["0", "none"]
    assert "refused whole: accepted: must be there" in said
    assert "rules broken: 1" in said
    assert "In this window the suite had no row to look at." in said


def test_published_page_tells_rounded_counts_alone(kept: Path) -> None:
    said = " ".join(texts(page_of(kept, "en", published=True)))

    assert "4,320" in said
    assert "4,010" in said
    assert "4,321" not in said
    assert "4,017" not in said
    assert "Newest runs" not in said


def test_french_page_tells_rules_in_french(kept: Path) -> None:
    said = texts(page_of(kept, "fr", published=False))

    assert "rating\u00a0: doit valoir au plus 5" in said
    assert "refusée en bloc\u00a0: accepted\u00a0: doit être présent" in said
    assert HELD not in said


@pytest.mark.parametrize("code", ["en", "fr"])
def test_page_is_well_formed_and_shows_names_without_obeying_them(kept: Path, code: str) -> None:
    page = page_of(kept, code, published=False)

    assert dict(page.seen)["html"]["lang"] == code
    assert "script" not in {tag for tag, _ in page.seen}
    assert HOSTILE in texts(page)
    links = {attributes.get("href") or "" for tag, attributes in page.seen if tag == "a"}
    assert all(one.startswith(("?days=", "#", "../dashboard?days=")) for one in links)
    identifiers = [attributes["id"] for _, attributes in page.seen if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
