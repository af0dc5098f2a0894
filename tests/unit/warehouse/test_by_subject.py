"""Rows of one subject: all of them, wherever they lie, and without reading everybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from schemas.tables import events, matches, rejected, staged
from tests.engines import on_postgresql, on_sqlite
from tests.histories import NOW, make_row, tables
from warehouse.by_subject import any_stretch, of_subject
from warehouse.engine import reading, writing

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table

SEQS = (1, 2**17 - 1, 2**17, 2**20 + 3, 2**24)
DAYS = (-3, 0, 19_000, 20_000)
INDICES = {events.name: "ix_events_stretch_subject", matches.name: "ix_matches_day_subject"}


def fill(engine: Engine) -> None:
    """Give each of three subjects an event and a match in every stretch."""
    with writing(engine) as connection:
        for subject in (1, 2, 3):
            for seq in SEQS:
                row = make_row("match_viewed", subject=subject, match_key=seq)
                number = 4 * seq + subject
                connection.execute(
                    events.insert(), row | {"seq": number, "event_id": number.to_bytes(16, "big")}
                )
            for day in DAYS:
                times = {"first_at": NOW, "last_at": NOW}
                key = {"match_key": day, "subject": subject, "day": day}
                connection.execute(matches.insert(), key | times)


def test_all_rows_of_a_subject_are_found_and_no_others(engine: Engine) -> None:
    fill(engine)
    with reading(engine) as connection:
        for subject, expected in ((2, True), (9, False)):
            theirs = of_subject(connection, events, subject)
            found = connection.scalars(select(events.c.seq).where(theirs)).all()
            assert sorted(found) == [4 * seq + subject for seq in SEQS if expected]
            theirs = of_subject(connection, matches, subject)
            held = connection.scalars(select(matches.c.day).where(theirs)).all()
            assert sorted(held) == [day for day in DAYS if expected]


@pytest.mark.parametrize("table", [staged, rejected, events, matches], ids=lambda one: one.name)
def test_an_empty_table_has_no_rows_of_anybody(engine: Engine, table: Table) -> None:
    with reading(engine) as connection:
        assert not connection.execute(select(table).where(of_subject(connection, table, 1))).all()


@pytest.mark.parametrize("table", [events, matches], ids=lambda one: one.name)
def test_every_row_lies_in_some_stretch(engine: Engine, table: Table) -> None:
    fill(engine)
    with reading(engine) as connection:
        everywhere = f"SELECT COUNT(*) FROM {table.name} WHERE {any_stretch(connection, table)}"
        found = connection.exec_driver_sql(everywhere).scalar_one()
    assert found == len(tables(engine)[table.name])


@on_sqlite
@pytest.mark.parametrize("table", [events, matches], ids=lambda one: one.name)
def test_sqlite_looks_for_the_subject_within_each_stretch(engine: Engine, table: Table) -> None:
    with reading(engine) as connection:
        steps = _plan(connection, "EXPLAIN QUERY PLAN ", table)
    # The first step looks up the rows; those behind it find the stretches.
    assert steps[0][3].startswith(f"SEARCH {table.name} USING INDEX {INDICES[table.name]} ")
    assert "AND subject=?" in steps[0][3]


@on_postgresql
@pytest.mark.parametrize("table", [events, matches], ids=lambda one: one.name)
def test_postgresql_looks_for_the_subject_within_each_stretch(engine: Engine, table: Table) -> None:
    with reading(engine) as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        steps = "\n".join(row[0] for row in _plan(connection, "EXPLAIN ", table))
    assert "Index Cond: ((" in steps
    assert "AND (subject = 7))" in steps


def _plan(connection: Any, explain: str, table: Table) -> list[Any]:
    statement = select(table).where(of_subject(connection, table, 7))
    text = str(statement.compile(connection, compile_kwargs={"literal_binds": True}))
    return list(connection.exec_driver_sql(explain + text).all())
