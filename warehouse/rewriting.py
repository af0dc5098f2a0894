"""Overwrite what SQLite left of certain rows, page by page, beside writers.

A database that is too large to be written anew as a whole is searched for pages whose unallocated
bytes hold a mark of the deleted rows, such as their ids. The rows in such a page are deleted and
inserted again as they are, in one transaction: that writes the page anew, mostly. In a table's
page they may come to lie as before; there a row is made longer, for which SQLite has to move all
cells together, and as long as it was. The search is repeated until it finds none.

References:
    SQLite, Database File Format, sections 1.6 (B-tree Pages) and 2.1 (Record Format).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import NotReady
from schemas.tables import erasures, events, matches, receipts, rejected, staged, subjects
from warehouse.engine import reading, writing
from warehouse.file_reader import read_files
from warehouse.residue import empty_log

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import Connection, Engine, Table

ROUNDS = 8
_PERSONAL = {
    table.name: table for table in (subjects, staged, rejected, events, matches, receipts, erasures)
}
_STRETCHED = {
    subjects: "notice_version",
    staged: "payload",
    rejected: "payload",
    events: "payload",
    matches: "parameters",
}
"""A column of no index of each table that has rowids."""
_INTERIOR_INDEX, _INTERIOR_TABLE, _LEAF_INDEX, _LEAF_TABLE = 2, 5, 10, 13
_KINDS = (_INTERIOR_INDEX, _INTERIOR_TABLE, _LEAF_INDEX, _LEAF_TABLE)
_FILE_HEADER = 100
_INTEGER_BYTES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 7: 8, 8: 0, 9: 0}
_FIRST_TEXT = 12
_SPARE_BYTES = 3
"""Of what is free: for lengths, and too few to hold a mark."""
_FEW_MARKS = 1_000
"""So many are looked for one by one; of more, every place is looked up among them."""


def overwrite(engine: Engine, marks: Collection[bytes]) -> bool:
    """Write every page anew in which a mark of deleted rows is left.

    Args:
        engine: SQLite's database.
        marks: As SQLite stores them: numbers as eight bytes, ids and pseudonyms as they are.

    Returns:
        True when no mark is left; False when a reader kept the log open, this SQLite cannot tell
        whose a page is, or some page is left after ``ROUNDS`` rounds.

    Raises:
        NotReady: The file could not be read.
    """
    wanted = frozenset(marks)
    for turn in range(ROUNDS):
        if not empty_log(engine):
            return False
        pages = dict(_marked(engine, wanted))
        if not pages:
            return True
        try:
            owners = _owners(engine, pages)
        except NotReady:
            return False
        for number, page in pages.items():
            if (table := _PERSONAL.get(owners.get(number, ""))) is not None:
                stretch = page[0] == _LEAF_TABLE and table in _STRETCHED and turn % 2 == 0
                (_stretch if stretch else _write_anew)(engine, table, page)
    return False


def _marked(engine: Engine, marks: frozenset[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the pages whose unallocated bytes hold a mark: number, and bytes from its header on."""
    with reading(engine) as connection:
        size = int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())
    try:
        for number, page in enumerate(_pages(Path(str(engine.url.database)), size), 1):
            unallocated = _unallocated(page, _FILE_HEADER if number == 1 else 0)
            if unallocated.strip(b"\0") and _holds(unallocated, marks):
                yield number, page
    except OSError as error:
        raise NotReady(f"the database could not be read ({type(error).__name__})") from None


def _pages(file: Path, size: int) -> Iterator[bytes]:
    for _, blocks in read_files([file]):
        held = b""
        for block in blocks:
            held += block
            whole = len(held) // size * size
            yield from (held[place : place + size] for place in range(0, whole, size))
            held = held[whole:]


def _holds(content: bytes, marks: frozenset[bytes]) -> bool:
    if len(marks) <= _FEW_MARKS:
        return any(mark in content for mark in marks)
    lengths = set(map(len, marks))
    return any(
        content[place : place + length] in marks
        for length in lengths
        for place in range(len(content) - length + 1)
    )


def _unallocated(page: bytes, header: int) -> bytes:
    """Return what lies between the cells of a page and the list of where they begin."""
    if page[header] not in _KINDS:
        return b""
    begin = int.from_bytes(page[header + 5 : header + 7], "big") or len(page)
    return page[_cells_listed(page, header).stop : begin]


def _free_bytes(page: bytes) -> int:
    """Return how much is free in a page: unallocated, and where rows were deleted."""
    free, block = len(_unallocated(page, 0)), int.from_bytes(page[1:3], "big")
    while block:
        free += int.from_bytes(page[block + 2 : block + 4], "big")
        block = int.from_bytes(page[block : block + 2], "big")
    return free


def _cells_listed(page: bytes, header: int) -> range:
    """Return the places of the numbers that say where each cell begins."""
    first = header + (12 if page[header] in {_INTERIOR_INDEX, _INTERIOR_TABLE} else 8)
    count = int.from_bytes(page[header + 3 : header + 5], "big")
    return range(first, first + 2 * count, 2)


def _owners(engine: Engine, pages: Collection[int]) -> dict[int, str]:
    """Return the table to whose rows each page belongs, itself or one of its indices."""
    with reading(engine) as connection:
        schema = connection.exec_driver_sql("SELECT name, tbl_name FROM sqlite_master").all()
        tables = {str(name): str(table) for name, table in schema}
        return {
            number: tables.get(name, "")
            for number, name in connection.exec_driver_sql("SELECT pageno, name FROM dbstat")
            if number in pages
        }


def _stretch(engine: Engine, table: Table, page: bytes) -> None:
    """Make a row of a page longer by nearly all that is free in it, and as long as it was."""
    column, longer = _STRETCHED[table], _free_bytes(page) - _SPARE_BYTES
    write = f'UPDATE {table.name} SET "{column}" = ? WHERE rowid = ?'
    with writing(engine) as connection:
        for rowid in _keys(page, placed=True):
            row = connection.exec_driver_sql(
                f'SELECT "{column}", length(CAST("{column}" AS BLOB)) FROM {table.name}'
                " WHERE rowid = ?",
                (rowid,),
            ).one_or_none()
            if row is not None:
                connection.exec_driver_sql(write, (bytes(row[1] + max(longer, 1)), rowid))
                connection.exec_driver_sql(write, (row[0], rowid))
                return


def _write_anew(engine: Engine, table: Table, page: bytes) -> None:
    """Delete the rows of a page and insert them again, with their place in the table."""
    placed = table.dialect_options["sqlite"]["with_rowid"]
    key = "rowid" if placed else next(iter(table.primary_key.columns)).name
    names = [*(["rowid"] if placed else []), *(f'"{column.name}"' for column in table.columns)]
    with writing(engine) as connection:
        rows = [
            tuple(row)
            for found in _keys(page, placed=placed)
            for row in connection.exec_driver_sql(
                f"SELECT {', '.join(names)} FROM {table.name} WHERE {key} = ?", (found,)
            )
        ]
        _insert_again(connection, table, names, key, rows)


def _insert_again(
    connection: Connection, table: Table, names: list[str], key: str, rows: list[tuple[object, ...]]
) -> None:
    if not rows:
        return
    connection.exec_driver_sql(
        f"DELETE FROM {table.name} WHERE {key} = ?", [(row[0],) for row in rows]
    )
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
        rows,
    )


def _keys(page: bytes, *, placed: bool) -> list[Any]:
    """Return what finds the rows of a page's cells: rowids, or keys where a table has none."""
    kind = page[0]
    found = set[Any]()
    for listed in _cells_listed(page, 0):
        cell = int.from_bytes(page[listed : listed + 2], "big")
        if kind in {_INTERIOR_INDEX, _INTERIOR_TABLE}:
            cell += 4  # the page below
        if kind != _INTERIOR_TABLE:
            _, cell = _varint(page, cell)  # bytes of the payload
        if kind in {_INTERIOR_TABLE, _LEAF_TABLE}:
            found.add(_varint(page, cell)[0])
        else:
            found.add(_record(page, cell)[-1 if placed else 0])
    return sorted(found)


def _record(page: bytes, place: int) -> list[object]:
    """Return the values of a record: whole numbers, and all else as bytes."""
    length, at = _varint(page, place)
    content = place + length
    values: list[object] = []
    end = content
    while at < end:
        kind, at = _varint(page, at)
        size = _INTEGER_BYTES.get(kind, (kind - _FIRST_TEXT) // 2)
        value = page[content : content + size]
        content += size
        values.append(_number(kind, value) if kind < _FIRST_TEXT else value)
    return values


def _number(kind: int, value: bytes) -> object:
    if kind in {8, 9}:  # the numbers 0 and 1 take no bytes
        return kind - 8
    return int.from_bytes(value, "big", signed=True) if value else None


def _varint(page: bytes, place: int) -> tuple[int, int]:
    """Return a number of one to nine bytes, and the place behind it."""
    value = 0
    for at in range(place, place + 8):
        value = value << 7 | page[at] & 0x7F
        if page[at] < 0x80:  # noqa: PLR2004  # the last byte of a shorter number
            return value, at + 1
    return value << 8 | page[place + 8], place + 9
