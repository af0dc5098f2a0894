"""The data dictionary and the tables say the same: every column, type, key and age."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import CheckConstraint, Column, Table, UniqueConstraint

from schemas.data_map import TABLES as TABLES_MAPPED
from schemas.events import EVENT_KINDS
from schemas.retention import rules
from schemas.settings import CHECKOUT, Settings
from schemas.tables import metadata
from warehouse.partitioning import monthly
from warehouse.training import read_training

if TYPE_CHECKING:
    from sqlalchemy import Engine

NOW = datetime(2026, 9, 4, tzinfo=UTC)
TEXT = (CHECKOUT / "docs" / "data-dictionary.md").read_text(encoding="utf-8")
SECTIONS = dict(
    part.split("\n", maxsplit=1) for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
)
FRAME = "Proposals frame"
TABLES = {title.strip("`"): text for title, text in SECTIONS.items() if title != FRAME}


def rows_of(section: str) -> list[list[str]]:
    """Return the cells of a section's table, without its header."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def said(section: str, what: str) -> str:
    """Return what a section says about one thing; nothing where it is silent."""
    found = re.search(rf"^\* {what}: (.+)\.$", section, flags=re.MULTILINE)
    return found[1] if found else ""


def type_of(column: Column[Any]) -> str:
    length = getattr(column.type, "length", None)
    plain = str(column.type)
    sized = f"{plain}({length})" if length and "(" not in plain else plain
    return f"{sized}, null" if column.nullable else sized


def listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def test_every_table_has_a_section_and_every_section_a_table() -> None:
    assert list(TABLES) == list(metadata.tables)


@pytest.mark.parametrize("table", metadata.tables.values(), ids=str)
def test_every_column_stands_there_in_order_with_its_type(table: Table) -> None:
    told = [(name.strip("`"), kind) for name, kind, *_ in rows_of(TABLES[table.name])]

    assert told == [(column.name, type_of(column)) for column in table.columns]


@pytest.mark.parametrize("table", metadata.tables.values(), ids=str)
def test_every_column_is_explained_and_marked_personal_or_not(table: Table) -> None:
    for name, _, unit, personal, meaning in rows_of(TABLES[table.name]):
        assert meaning, name
        assert personal == TABLES_MAPPED[table.name].columns[name.strip("`")][0], name
        if name.endswith(("_at`", "_day`", "day`", "_ms`", "cutoff`")):
            assert unit, name


@pytest.mark.parametrize("table", ["staged", "rejected", "events"])
def test_every_kind_of_event_is_named(table: str) -> None:
    meaning = next(row[4] for row in rows_of(TABLES[table]) if row[0] == "`kind`")

    assert re.findall(r"`(\w+)`", meaning) == list(EVENT_KINDS)


@pytest.mark.parametrize("table", metadata.tables.values(), ids=str)
def test_keys_and_constraints_are_those_of_the_table(table: Table) -> None:
    section = TABLES[table.name]
    constraints = sorted(table.constraints, key=str)
    unique = sorted(
        listed([column.name for column in one.columns])
        for one in constraints
        if isinstance(one, UniqueConstraint)
    )
    checks = sorted(f"`{one.sqltext}`" for one in constraints if isinstance(one, CheckConstraint))
    refers = [
        f"`{column.name}` is one of `{key.target_fullname}`"
        for column in table.columns
        for key in column.foreign_keys
    ]

    assert said(section, "Key") == listed([column.name for column in table.primary_key.columns])
    assert said(section, "Unique") == "; ".join(unique)
    assert said(section, "Checked") == "; ".join(checks)
    assert said(section, "Refers") == "; ".join(refers)


@pytest.mark.parametrize("table", metadata.tables.values(), ids=str)
def test_months_are_told_where_a_table_lies_in_them(table: Table) -> None:
    one = monthly(table)
    told = f"by `{one.by}`, which is in the key there; " if one else ""

    assert said(TABLES[table.name], "Months on PostgreSQL")[: len(told) or None] == told


@pytest.mark.parametrize("table", metadata.tables.values(), ids=str)
def test_how_long_a_table_is_kept_is_what_the_purge_does(table: Table) -> None:
    kept = said(TABLES[table.name], "Kept")
    by_class = re.fullmatch(r"class `(\w+)`, `(\w+)`", kept)
    purged = {rule.table.name: rule.data_class for rule in rules(Settings(), NOW)}

    assert kept
    assert (by_class[1] if by_class else None) == purged.get(table.name)
    if by_class:
        shorter = Settings.model_validate({by_class[2]: 1})
        cutoffs = [
            {rule.data_class: rule.cutoff for rule in rules(settings, NOW)}[by_class[1]]
            for settings in (Settings(), shorter)
        ]
        assert cutoffs[0] < cutoffs[1]


@pytest.mark.parametrize("table", metadata.tables.values(), ids=str)
def test_the_grain_and_the_writers_are_said_and_the_writers_exist(table: Table) -> None:
    section = TABLES[table.name]
    written_by = said(section, "Written by")
    modules = re.findall(r"`([\w/]+\.py)`", written_by)

    assert section.lstrip().startswith("One row ")
    assert modules
    for module in modules:
        source = (CHECKOUT / module).read_text(encoding="utf-8")
        assert re.search(rf"\b{table.name}\b", source), module


def test_the_frame_that_is_learned_from_is_the_one_described(engine: Engine) -> None:
    told = {name.strip("`"): kind for name, kind, _ in rows_of(SECTIONS[FRAME])}
    frame = read_training(engine, since_day=0, as_of=NOW).frame

    fixed = {name: kind for name, kind in told.items() if "<" not in name}
    assert fixed == {name: str(kind) for name, kind in frame.dtypes.items()}
    assert set(told) - set(fixed) == {"constraint:<name>", "parameter:<name>"}
