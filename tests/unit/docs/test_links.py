"""What a page leads to is there: files, sections of pages, targets of make."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from schemas.settings import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

PAGES = sorted(
    [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("benchmarks/**/*.md")]
)
TARGETS = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), flags=re.MULTILINE))


def _sections(page: Path) -> set[str]:
    """Return the anchors of a page, as a forge makes them of its headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def dead(text: str, at: Path) -> list[str]:
    """Name the links of a page that lead nowhere, and the targets of make that do not exist."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if link.startswith(("http", "mailto:", "data:")):
            continue
        name, _, section = link.partition("#")
        page = at.parent / name if name else at
        if not page.exists() or (section and section not in _sections(page)):
            found.append(link)
    named = re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", text, flags=re.MULTILINE)
    return found + [target for pair in named for target in pair if target and target not in TARGETS]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](docs/nowhere.md)", ["docs/nowhere.md"]),
        ("[a](docs/runbook.md#no-such-flow)", ["docs/runbook.md#no-such-flow"]),
        ("`make coffee`", ["coffee"]),
        ("```\nmake tea  # hot\n```", ["tea"]),
        ("[a](docs/runbook.md#process-events), `make demo DATA=x`, [b](https://example.org)", []),
    ],
)
def test_a_planted_dead_end_is_found(text: str, found: list[str]) -> None:
    assert dead(text, CHECKOUT / "README.md") == found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_no_page_leads_nowhere(page: Path) -> None:
    assert dead(page.read_text(encoding="utf-8"), page) == []
