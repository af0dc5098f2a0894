"""docs/learning.md and the code name the same families, bounds, columns and commands."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

import pytest
from click.testing import CliRunner

from cli import main
from matching import (
    candidates,
    exploration,
    insisting,
    isotonic,
    ope,
    ope_log,
    refit,
    rounds,
    target_policy,
    training,
    watching,
    weights,
)
from matching.drift import DriftBounds
from matching.evidence import Limits
from matching.model import Prior
from matching.ope import Support
from schemas.settings import CHECKOUT

TEXT = (CHECKOUT / "docs" / "learning.md").read_text(encoding="utf-8")
FLAT = " ".join(TEXT.split())
SECTIONS = dict(
    part.split("\n", maxsplit=1) for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
)


def tables(section: str) -> list[list[list[str]]]:
    """Return the tables of a section: rows of cells without the header."""
    blocks = re.findall(r"(?:^\|.*\n)+", SECTIONS[section], flags=re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]]
        for block in blocks
    ]


def bounds(table: list[list[str]]) -> dict[str, float]:
    return {name.strip("`"): float(value) for name, value, _ in table}


@dataclass(frozen=True)
class Stated:
    section: str
    table: int
    meant: Any


@pytest.mark.parametrize(
    "stated",
    [
        Stated("The gate", 0, Limits()),
        Stated("Off-policy evaluation", 2, Support()),
        Stated("Drift", 0, DriftBounds()),
    ],
    ids=lambda stated: stated.section,
)
def test_bounds_are_those_of_the_code(stated: Stated) -> None:
    assert bounds(tables(stated.section)[stated.table]) == asdict(stated.meant)


def test_families_and_their_widths_are_those_of_the_prior() -> None:
    told = {name.strip("`"): float(width) for name, _, width in tables("Features")[0]}

    assert told == dict(Prior().widths)


def test_columns_that_a_log_needs_are_those_that_are_asked_for() -> None:
    plain, pairs = (
        {name.strip("`") for name, needed, _ in table if needed == "yes"}
        for table in tables("Off-policy evaluation")[:2]
    )

    assert plain == {"reward", "propensity", "target_propensity"}
    assert pairs == set(target_policy.NEEDED)
    for name, _, _ in tables("Off-policy evaluation")[0]:
        assert f"| {name.strip('`')} |" in str(ope_log.__doc__)


def test_columns_of_a_file_of_decisions_are_those_that_are_read() -> None:
    told = {
        column: ((float(low), float(high.replace("2^53", str(2**53)))), empty == "no")
        for names, low, high, empty, _ in tables("Backtest")[0]
        for column in re.findall(r"\w+", names)
    }

    assert told == {name: (ends, name in rounds.WHOLE) for name, ends in rounds.COLUMNS.items()}


@pytest.mark.parametrize("command", ["backtest", "demo", "replay"])
def test_a_command_that_reads_decisions_names_their_columns_and_this_page(command: str) -> None:
    told = CliRunner().invoke(main, [command, "--help"]).output

    assert set(rounds.COLUMNS) <= set(re.findall(r"\w+", told))
    assert "docs/learning.md" in told


@pytest.mark.parametrize(
    "statement",
    [
        f"(log-odds {Prior().intercept:g})",
        f"({Prior().slope} a unit)",
        f"from {candidates.TREES_FROM} decisions on",
        f"from {candidates.ISOTONIC_FROM} such decisions on",
        f"an isotonic curve of {isotonic.KNOTS} knots",
        f"must gain {training.SIMPLER_WITHIN:g} nats",
        f"within {refit.MAX_PROBABILITY:g} of probability on average",
        f"within {refit.MAX_WEIGHT} posterior standard deviations",
        f"beyond {weights.MAX_MOVED:g} a person should look",
        f"satisfied below {insisting.THRESHOLD:g} would be forbidden",
        f"for the newest {insisting.ROUNDS} rounds",
        f"at most {exploration.BUDGET:g} of the best expected utility",
        f"less probable than {exploration.RAREST:g}.",
        f"an importance weight of {ope.SWITCH_AT:g})",
        f"up to {watching.WATCHED_DAYS} days back",
        f"({watching.WATCHED_DAYS + 1} days back and older)",
    ],
)
def test_a_number_in_a_sentence_is_that_of_the_code(statement: str) -> None:
    assert statement in FLAT


def test_every_command_that_is_named_exists() -> None:
    named = set(re.findall(r"`smartmatch ([\w-]+)", TEXT))

    assert {"explain", "ope", "weights", "versions", "rollback", "backtest"} <= named
    assert named <= set(main.commands)
