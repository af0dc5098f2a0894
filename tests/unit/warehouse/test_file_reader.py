"""Files are read in a process of its own, so that no lock on a database is lost."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from schemas.settings import CHECKOUT
from tests import database_files
from warehouse.file_reader import BLOCK_BYTES, ReaderEnded, read_files

if TYPE_CHECKING:
    from collections.abc import Callable

_VISIT = """
import sqlite3, sys
visitor = sqlite3.connect(sys.argv[1])
print(visitor.execute("SELECT count(*) FROM t").fetchone()[0])
visitor.close()
"""


def visit(database: Path) -> int:
    """Have another process open the database, count its rows and close it."""
    command = [sys.executable, "-I", "-S", "-c", _VISIT, str(database)]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


def by_the_reader(files: list[Path]) -> None:
    assert sum(len(block) for _, blocks in read_files(files) for block in blocks) > 0


def by_open(files: list[Path]) -> None:
    assert sum(len(file.read_bytes()) for file in files) > 0


@pytest.mark.parametrize(("read", "kept"), [(by_the_reader, 2), (by_open, 1)])
def test_a_database_that_was_read_loses_nothing_when_others_close_it(
    read: Callable[[list[Path]], None], kept: int, tmp_path: Path
) -> None:
    database = tmp_path / "some.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE t (x)")
        writer.execute("INSERT INTO t VALUES (1)")

        read(sorted(tmp_path.glob("some.db*")))
        assert visit(database) == 1
        writer.execute("INSERT INTO t VALUES (2)")

        # Read by `open`, the second row went into a log that the visitor had deleted.
        assert visit(database) == kept


def test_every_byte_comes_in_blocks_and_what_is_gone_is_empty(tmp_path: Path) -> None:
    long, odd = tmp_path / "long", tmp_path / "odd\nname \udcff"
    long.write_bytes(b"ab" * BLOCK_BYTES + b"c")
    odd.write_bytes(b"d")
    files = [long, tmp_path / "gone", tmp_path, odd, long]

    found = {number: list(blocks) for number, (_, blocks) in enumerate(read_files(files))}

    assert [len(block) for block in found[0]] == [BLOCK_BYTES, BLOCK_BYTES, 1]
    assert b"".join(found[0]) == long.read_bytes() == b"".join(found[4])
    assert [found[number] for number in (1, 2, 3)] == [[], [], [b"d"]]


def test_who_leaves_a_file_early_gets_the_next_one_whole(tmp_path: Path) -> None:
    long, short = tmp_path / "long", tmp_path / "short"
    long.write_bytes(bytes(3 * BLOCK_BYTES))
    short.write_bytes(b"short")

    assert [next(blocks)[:5] for _, blocks in read_files([long, short])] == [bytes(5), b"short"]


def test_a_file_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_bytes(b"short")
    unreadable = Path("/proc/self/mem")  # whose first bytes nobody can read

    with pytest.raises(OSError, match="mem"):
        list(read_files([unreadable]))
    found = []
    for path, blocks in read_files([short, unreadable, short]):
        with suppress(OSError):
            found.append((path.name, b"".join(blocks)))
    assert found == [("short", b"short"), ("short", b"short")]


def test_a_reader_that_is_killed_is_no_end_of_a_file(tmp_path: Path) -> None:
    long = tmp_path / "long"
    long.write_bytes(bytes(3 * BLOCK_BYTES))

    others = set(psutil.Process().children())
    for _, blocks in read_files([long]):
        next(blocks)
        (reader,) = set(psutil.Process().children()) - others
        reader.kill()
        reader.wait()
        with pytest.raises(ReaderEnded):
            list(blocks)
        break

    assert set(psutil.Process().children()) <= others


@pytest.mark.parametrize(("place", "noted"), [("warehouse/planted.py", 1), ("tests/planted.py", 0)])
@pytest.mark.parametrize("end", ["", "-wal", "-shm"])
def test_code_that_opens_a_database_by_itself_is_noted(
    place: str, noted: int, end: str, tmp_path: Path
) -> None:
    planted: dict[str, Any] = {}
    exec(compile("def pry(file): file.read_bytes()", CHECKOUT / place, "exec"), planted)
    database, other = tmp_path / "some.db", tmp_path / "other.db"
    other.write_bytes(b"none of ours")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")

        for file in (other, database.with_name(f"some.db{end}")):
            planted["pry"](file)

    found = database_files.opened.copy()
    database_files.opened.clear()
    assert found == [f"{place}:1 opens some.db{end}"] * noted
