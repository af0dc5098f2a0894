"""The data map knows every table and column, and says of each what the code does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Column, Integer, MetaData, Table

from schemas.data_map import TABLES, Erasure, Personal
from schemas.retention import rules
from schemas.settings import RETENTION_CEILINGS, Settings
from schemas.tables import metadata

NOW = datetime(2026, 9, 4, tzinfo=UTC)


def missing(known: MetaData) -> list[str]:
    """Name every column that the map does not know, and every one that it invents."""
    told = {f"{table}.{name}" for table, held in TABLES.items() for name in held.columns}
    there = {f"{table.name}.{column.name}" for table in known.tables.values() for column in table.c}
    return sorted(told ^ there)


def test_every_table_and_column_is_in_the_map_and_no_other() -> None:
    assert missing(metadata) == []
    assert list(TABLES) == list(metadata.tables)


def test_a_new_column_or_table_is_missed() -> None:
    grown = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(grown)
    grown.tables["matches"].append_column(Column("mood", Integer))
    Table("moods", grown, Column("mood", Integer))

    assert missing(grown) == ["matches.mood", "moods.mood"]


@pytest.mark.parametrize("name", TABLES)
def test_no_column_is_told_twice(name: str) -> None:
    held = TABLES[name]
    told = f"{held.keys} {held.facts} {held.others}".split()

    assert len(told) == len(set(told))
    assert set(held.except_for) <= set(told)
    assert held.purpose


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_ages_names_its_setting_and_no_other_does(name: str) -> None:
    by_table = {rule.table.name: rule.cutoff for rule in rules(Settings(), NOW)}
    # A block's sums go with it.
    ages = "blocks" if name == "block_sums" else name
    setting = TABLES[name].kept

    assert (setting in RETENTION_CEILINGS) == (ages in by_table)
    if ages in by_table:
        shorter = Settings.model_validate({setting: 1})
        moved = {rule.table.name: rule.cutoff for rule in rules(shorter, NOW)}
        assert moved[ages] > by_table[ages]


@pytest.mark.parametrize("name", TABLES)
def test_nothing_that_leads_to_a_person_stays_after_an_erasure(name: str) -> None:
    for column, (personal, erasure) in TABLES[name].columns.items():
        if personal is not Personal.NO:
            assert erasure is not Erasure.STAYS, column
        if column == "subject":
            assert erasure in {Erasure.DELETED, Erasure.EMPTIED}
