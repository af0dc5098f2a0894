"""SQLite leaves copies of rows in unallocated bytes: after an erasure or a purge they are gone."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from schemas.clock import MICROS_PER_DAY
from schemas.events import EventKind
from schemas.retention import Rule
from schemas.tables import events, matches, metadata, subjects
from tests.histories import NOW
from tests.population import RUN, answer, arrive, event, process
from warehouse import consents, residue, rewriting
from warehouse.engine import connect, create_tables, reading
from warehouse.erasure import delete_subject, keys_of
from warehouse.erasure_requests import begin
from warehouse.leases import lease
from warehouse.residue import compact, empty_log, forget_bytes
from warehouse.retention import begin_evidence, delete_expired

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

OLD = NOW - 150 * MICROS_PER_DAY
NEXT_DAY = OLD + MICROS_PER_DAY


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    engine = connect(SecretStr(f"sqlite:///{tmp_path / 'residue.db'}"))
    create_tables(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def crowd(sqlite: Engine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """People whose events came in one after the other, so that pages were split among them.

    The same numbers each time: what SQLite leaves depends on them.
    """
    order = random.Random(0)
    drawn = SimpleNamespace(randbits=order.getrandbits, token_bytes=order.randbytes)
    monkeypatch.setattr(consents, "secrets", drawn)
    people = [answer(sqlite, f"person-{number}", "analytics") for number in range(150)]
    told = [
        event(
            kind,
            person,
            order.getrandbits(62),
            event_id=order.randbytes(16),
            occurred_at=order.choice([OLD, NOW - 1]),
        )
        for person in people
        for kind in (EventKind.PROPOSED, EventKind.ACCEPTED, EventKind.FEEDBACK)
        for _ in range(6)
    ]
    order.shuffle(told)
    for first in range(0, len(told), 300):
        arrive(sqlite, told[first : first + 300])
        process(sqlite)
    return people


def left(engine: Engine, tmp_path: Path, marks: Iterable[bytes]) -> int:
    """Count the marks that are in any byte of the database's files."""
    empty_log(engine)
    content = b"".join(path.read_bytes() for path in tmp_path.glob("residue.db*"))
    return sum(mark in content for mark in marks)


def marks_of(engine: Engine, person: int) -> set[bytes]:
    with reading(engine) as connection:
        pseudonym = connection.execute(
            select(subjects.c.pseudonym).where(subjects.c.subject == person)
        ).scalar_one()
        return {person.to_bytes(8, "big"), pseudonym, *keys_of(connection, person)}


def erase(engine: Engine, people: Iterable[int]) -> set[bytes]:
    """Delete people's rows, one after the other; return the marks that they were told by."""
    marks = set[bytes]()
    for person in people:
        marks |= marks_of(engine, person)
        with lease(engine, "erase_subject", 60.0) as held:
            delete_subject(engine, begin(engine, person, RUN), held)
    return marks


def rows(engine: Engine) -> dict[str, list[Any]]:
    with reading(engine) as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in metadata.sorted_tables
        }


def test_nothing_of_erased_people_is_left_in_any_byte(
    sqlite: Engine, crowd: list[int], tmp_path: Path
) -> None:
    marks = erase(sqlite, crowd[::3])
    assert left(sqlite, tmp_path, marks) > 0  # what secure_delete does not reach
    kept = rows(sqlite)

    assert forget_bytes(sqlite)

    assert left(sqlite, tmp_path, marks) == 0
    assert rows(sqlite) == kept


@pytest.mark.parametrize("few_marks", [0, 1_000_000])
def test_in_a_large_database_the_pages_are_written_anew_and_no_row_changes(
    few_marks: int,
    sqlite: Engine,
    crowd: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rewriting, "_FEW_MARKS", few_marks)
    marks = erase(sqlite, crowd[::3])
    assert left(sqlite, tmp_path, marks) > 0
    kept = rows(sqlite)

    assert rewriting.overwrite(sqlite, marks)

    assert left(sqlite, tmp_path, marks) == 0
    assert rows(sqlite) == kept
    with reading(sqlite) as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"


def test_nothing_of_purged_rows_is_left_in_any_byte(
    sqlite: Engine, crowd: list[int], tmp_path: Path
) -> None:
    aged = Rule("events", NEXT_DAY, events, "occurred_at")
    with reading(sqlite) as connection:
        keys = connection.execute(select(events.c.match_key).where(aged.expired)).scalars()
        marks = {key.to_bytes(8, "big") for key in keys}
        assert len(marks) > 500
    with lease(sqlite, "purge_expired", 60.0) as held:
        for rule in (aged, Rule("matches", NEXT_DAY, matches, "day", in_days=True)):
            begin_evidence(sqlite, rule.data_class, [rule], RUN)
            delete_expired(sqlite, rule, held, rule.data_class)
    with reading(sqlite) as connection:
        assert connection.execute(select(func.count()).select_from(events)).scalar_one() > 500
    assert left(sqlite, tmp_path, marks) > 0

    assert forget_bytes(sqlite)

    assert left(sqlite, tmp_path, marks) == 0


def test_a_large_database_says_that_something_may_be_left_until_it_is_compacted(
    sqlite: Engine, crowd: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residue, "COMPACTED_BYTES", 1 << 16)
    marks = erase(sqlite, crowd[::3])

    assert not forget_bytes(sqlite)
    assert left(sqlite, tmp_path, marks) > 0
    assert compact(sqlite)

    assert left(sqlite, tmp_path, marks) == 0


def test_a_database_in_use_is_not_said_to_be_compacted(
    sqlite: Engine, crowd: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residue, "BUSY_TIMEOUT_MS", 50)
    with sqlite.begin():  # a writer
        assert not compact(sqlite)


def test_what_cannot_be_told_apart_is_not_said_to_be_overwritten(
    sqlite: Engine, crowd: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = erase(sqlite, crowd[::3])
    monkeypatch.setattr(rewriting, "_owners", lambda *_: {})

    assert not rewriting.overwrite(sqlite, marks)


def test_the_cells_of_every_page_lead_to_every_row(sqlite: Engine, crowd: list[int]) -> None:
    """Numbers of every length and sign, texts, blobs and NULL stand before what finds a row."""
    figures = [0, -1, -7, -129, 40_000, 1 << 22, -(1 << 30), 1 << 40, -(1 << 62)]
    with sqlite.begin() as connection:
        for number, figure in enumerate(figures):
            row = event(EventKind.VIEWED, crowd[0], figure, occurred_at=figure)
            row |= {"seq": figure, "texts": None if number % 2 else "x" * 400}
            known = {name: value for name, value in row.items() if name in events.c}
            connection.execute(events.insert().values(**known))
    empty_log(sqlite)
    with reading(sqlite) as connection:
        owned = connection.exec_driver_sql("SELECT pageno, name FROM dbstat").all()
        trees = {
            name: (table, placed)
            for name, table, placed in connection.exec_driver_sql(
                "SELECT name, tbl_name, sql NOT LIKE '%WITHOUT ROWID' OR sql IS NULL"
                " FROM sqlite_master WHERE tbl_name IN ('events', 'matches', 'receipts')"
            )
        }
        wanted = {
            table: {
                value for (value,) in connection.exec_driver_sql(f"SELECT {column} FROM {table}")
            }
            for table, column in (
                ("events", "rowid"),
                ("matches", "rowid"),
                ("receipts", "event_id"),
            )
        }
    pages = dict(enumerate(rewriting._pages(sqlite.url.database, 4096), 1))
    for name, (table, placed) in trees.items():
        mine = [pages[number] for number, owner in owned if owner == name]
        assert len(mine) > 1
        found = {
            key
            for page in mine
            if page[0] != rewriting._INTERIOR_TABLE  # those repeat rowids that may be gone
            for key in rewriting._keys(page, placed=bool(placed))
        }
        assert found == wanted[table], name


def test_a_row_that_grows_and_shrinks_leaves_nothing_unallocated_but_zeros(
    sqlite: Engine, crowd: list[int]
) -> None:
    erase(sqlite, crowd[::3])
    before = stale(sqlite)
    assert len(before) > 3
    kept = rows(sqlite)

    for page in before.values():
        rewriting._stretch(sqlite, matches, page)

    assert stale(sqlite).keys().isdisjoint(before)
    assert rows(sqlite) == kept


def stale(engine: Engine) -> dict[int, bytes]:
    """Return the pages of the matches' table where more is unallocated than zeros."""
    empty_log(engine)
    owners = rewriting._owners(engine, range(100_000))
    return {
        number: page
        for number, page in enumerate(rewriting._pages(engine.url.database, 4096), 1)
        if owners.get(number) == "matches" and page[0] == rewriting._LEAF_TABLE
        if len(rewriting._unallocated(page, 0).strip(b"\0")) > 7
    }
