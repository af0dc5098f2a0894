"""The model card says what the code does and what was measured, and each version has its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli import main
from matching import card, memorisation
from matching.evidence import Limits
from schemas.settings import CHECKOUT, Settings

DOCS = CHECKOUT / "docs"
TEXT = (DOCS / "model-card.md").read_text(encoding="utf-8")
FLAT = " ".join(TEXT.split())
LEARNING = (DOCS / "learning.md").read_text(encoding="utf-8")
LIMIT = re.compile(r"^\* \*\*(\w+)\.\*\*", flags=re.MULTILINE)
FIGURE = re.compile(r"(?<![\w.])(?:\d*\.\d+|\d[\d,]*\d)(?![\w.])")


def rows(section: str) -> list[list[str]]:
    """Return the cells of a section's table, without its header."""
    part = TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def not_in(source: str, figures: str) -> list[str]:
    """Name the figures of a text that do not stand in another."""
    known = set(FIGURE.findall(source))
    return [figure for figure in FIGURE.findall(figures) if figure not in known]


def test_a_planted_figure_is_found() -> None:
    assert not_in(LEARNING, "78, 86, 99, .847, .848") == ["99", ".848"]


def test_every_figure_that_was_measured_stands_on_learning_with_its_command() -> None:
    found = rows("What was measured")

    assert found
    for what, value, source in found:
        assert not_in(LEARNING, f"{what} {value}") == []
        command = source.strip("`").partition(" --")[0]
        assert f"`{command}`" in LEARNING, command


def test_figures_of_a_stronger_attack_are_those_of_its_record() -> None:
    record = (DOCS / "adr" / "0030-the-audit-is-of-decisions.md").read_text("utf-8")
    told = re.search(r"who fits (\d+) .*?(\.\d+) at (\d+) people and (\.\d+) at (\d+)", FLAT)

    assert told is not None
    many, first, fewest, last, most = told.groups()
    assert f"| {many} models, by decision | by person |" in record
    assert re.search(rf", {fewest} \|.*\| {first}, \S+ % \|$", record, re.MULTILINE)
    assert re.search(rf", {most} \|.*\| {last}, \S+ % \|$", record, re.MULTILINE)


@pytest.mark.parametrize(
    "statement",
    [
        f"Above an AUC of {Limits().max_membership_auc:g}, or more than",
        f"or more than {Limits().max_members_found:g} of the members found",
        {8: "eight models of halves"}[memorisation.SHADOWS],
        {3: "are attacked, three times over"}[memorisation.AUDITS],
        "the artefact `model_card.md` of its MLflow run and as the version's description",
    ],
)
def test_a_statement_is_that_of_the_code(statement: str) -> None:
    assert statement in FLAT


def test_every_limit_of_a_versions_card_is_one_of_the_models() -> None:
    own = set(LIMIT.findall(Path(card.__file__).read_text(encoding="utf-8")))
    told = set(LIMIT.findall(TEXT))

    assert own
    assert own <= told


def test_every_part_that_a_reader_looks_for_is_there() -> None:
    headings = re.findall(r"^## (.+)$", TEXT, flags=re.MULTILINE)

    assert headings == [
        "Intended use",
        "Data",
        "Consent basis",
        "How it learns and is judged",
        "What was measured",
        "Memorisation audit",
        "Limits",
        "Who to ask",
    ]


def test_every_command_and_setting_that_is_named_exists() -> None:
    assert set(re.findall(r"`smartmatch ([\w-]+)", TEXT)) <= set(main.commands)
    assert {name.lower() for name in re.findall(r"SMARTMATCH_([A-Z_]+)", TEXT)} <= set(
        Settings.model_fields
    )


@pytest.mark.parametrize("page", ["README.md", "README.fr.md"])
def test_readers_are_led_to_the_card(page: str) -> None:
    assert "](docs/model-card.md)" in (CHECKOUT / page).read_text(encoding="utf-8")
