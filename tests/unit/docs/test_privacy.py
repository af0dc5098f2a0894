"""The privacy papers point to what exists: files, commands, targets, settings and their values."""

from __future__ import annotations

import re

import pytest

from cli import main
from schemas.settings import CHECKOUT, Settings
from warehouse.clock_witness import MOST_DAYS

PAGES = ("privacy.md", "privacy.fr.md", "dpia.md", "record-of-processing.md")


def text(page: str) -> str:
    return (CHECKOUT / "docs" / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_everything_that_is_named_is_there(page: str) -> None:
    targets = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([\w./-]+)\)", text(page)):
        assert (CHECKOUT / "docs" / link).exists(), link
    for path in re.findall(r"(?:tests|docs)/[\w/-]+(?:\.\w+)?", text(page)):
        assert (CHECKOUT / path).exists(), path
    for command in re.findall(r"`smartmatch ([a-z-]+)", text(page)):
        assert command in main.commands, command
    for target in re.findall(r"`make ([a-z-]+)`", text(page)):
        assert f"\n{target}:" in targets, target
    for name in re.findall(r"SMARTMATCH_(\w+)", text(page)):
        assert name.lower() in Settings.model_fields, name


@pytest.mark.parametrize("page", ["privacy.md", "privacy.fr.md"])
def test_the_figures_are_those_of_the_settings(page: str) -> None:
    settings, said = Settings(), re.sub(r"\s+", " ", text(page))
    decimal = "," if page.endswith(".fr.md") else "."
    for value in (
        f"{settings.private_epsilon:.1f}".replace(".", decimal),
        f"{settings.private_budget_epsilon:.1f}".replace(".", decimal),
        f"{settings.private_rows_per_subject} prem"
        if decimal == ","
        else f"first {settings.private_rows_per_subject} ",
        f"1 {'à' if decimal == ',' else 'to'} {settings.smallest_group - 1} pe",
        f" {settings.staging_retention_days} ",
        f" {settings.rejected_retention_days} ",
        f"{MOST_DAYS} {'jours' if decimal == ',' else 'days'}",
    ):
        assert value in said, value
