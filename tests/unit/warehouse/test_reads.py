"""Every read of rows of people names a purpose or carries its ground: found in the syntax trees."""

from __future__ import annotations

import ast
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from schemas.settings import CHECKOUT
from warehouse.purposes import Ground

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLES = ("staged", "rejected", "events", "matches")
"""Tables whose rows are about one person."""

NAMED = {"consented", "consented_sql", "Purpose"}
READS = {"select", "select_from", "exists"}
_TABLE = rf"(?:{'|'.join(TABLES)})\b"
_SQL = re.compile(
    rf"(?<!DELETE )\b(?:FROM|JOIN) {_TABLE}|(?i:\bselect\b.*\b(from|join)\s+{_TABLE})"
)


def names(node: ast.AST) -> set[str]:
    """Return every name that a piece of code mentions, and the last part of every attribute."""
    return {
        one.id if isinstance(one, ast.Name) else one.attr
        for one in ast.walk(node)
        if isinstance(one, ast.Name | ast.Attribute)
    }


def reads_as_text(node: ast.AST) -> bool:
    """Tell whether a statement in a text reads rows of people."""
    texts = (one.value for one in ast.walk(node) if isinstance(one, ast.Constant))
    return any(isinstance(text, str) and _SQL.search(text) for text in texts)


def constants(tree: ast.Module) -> dict[str, ast.stmt]:
    """Return the constants of a module."""
    return {
        target.id: statement
        for statement in tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for target in (
            statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        )
        if isinstance(target, ast.Name)
    }


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function and method."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def tables_of(tree: ast.Module) -> set[str]:
    """Return the names under which a module knows the tables."""
    known = {"table"}  # whatever table is passed in may be one of them
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "schemas.tables":
            known |= {one.asname or one.name for one in node.names if one.name in TABLES}
        elif isinstance(node, ast.ImportFrom) and node.module == "sqlalchemy":
            known -= {one.name for one in node.names}
    return known


def grounds(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the grounds that a function carries."""
    return [
        one.args[0].attr
        for one in function.decorator_list
        if isinstance(one, ast.Call)
        and "on_ground" in names(one.func)
        and isinstance(one.args[0], ast.Attribute)
    ]


def faults(source: str) -> list[str]:
    """Name the functions that read rows of people, and say neither for what nor on what ground."""
    tree = ast.parse(source)
    known, held = tables_of(tree), constants(tree)
    found = []
    for function in functions(tree):
        parts: list[ast.AST] = [function]
        while more := [
            held[name]
            for name in {name for part in parts for name in names(part)} & held.keys()
            if held[name] not in parts
        ]:
            parts += more
        said = {name for part in parts for name in names(part)}
        reads = any(reads_as_text(part) for part in parts) or bool(said & READS and said & known)
        named, carried = bool(said & NAMED), bool(grounds(function))
        if reads and not (named or carried):
            found.append(f"{function.name} reads rows of people for no purpose")
        elif carried and (named or not reads):
            found.append(f"{function.name} carries a ground that it does not need")
    return found


def sources() -> list[Path]:
    """List the code that runs in an installation."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=CHECKOUT, check=True, capture_output=True, text=True
    ).stdout.split()
    beside = ("tests/", "benchmarks/", "warehouse/migrations/")
    return [CHECKOUT / name for name in listed if not name.startswith(beside)]


def test_no_code_reads_rows_of_people_without_saying_why() -> None:
    found = {
        str(path.relative_to(CHECKOUT)): wrong
        for path in sources()
        if (wrong := faults(path.read_text(encoding="utf-8")))
    }

    assert found == {}


def test_every_ground_is_used_and_stands_in_the_page_on_privacy() -> None:
    used = {
        ground
        for path in sources()
        for function in functions(ast.parse(path.read_text(encoding="utf-8")))
        for ground in grounds(function)
    }
    page = (CHECKOUT / "docs" / "privacy.md").read_text(encoding="utf-8")

    assert used == {ground.name for ground in Ground}
    assert [ground for ground in Ground if f"*{ground}*" not in page] == []


IMPORTED = "from schemas.tables import events as happened, matches, subjects\n"
PLANTED = {
    "select": "def f(c):\n return c.execute(select(matches).where(matches.c.rating == 5))",
    "another name": "def f(c):\n return c.execute(select(happened.c.seq))",
    "joined": "def f(c):\n return select(subjects).join(matches, matches.c.subject == 1)",
    "exists": "def f(c):\n return exists(happened.c.seq)",
    "any table": "def f(c, table):\n return select(table)",
    "text": "def f(c):\n return fetch(c, 'SELECT rating FROM matches WHERE day = 1')",
    "joined text": "def f(c):\n return text('SELECT 1 FROM subjects s JOIN events e ON 1 = 1')",
    "pieces": "def f(c, here):\n return fetch(c, f'SELECT {here} FROM staged WHERE {here}')",
    "constant": "Q = 'SELECT texts FROM events'\ndef f(c):\n return fetch(c, Q)",
    "constant of constants": "A = 'FROM rejected'\nB = 'SELECT payload ' + A\ndef f(c):\n c.run(B)",
    "method": "class A:\n def f(self):\n  return select(matches.c.rating)",
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_planted_read_without_a_purpose_is_found(planted: str) -> None:
    assert faults(IMPORTED + planted) == ["f reads rows of people for no purpose"]


ALLOWED = {
    "joins consent": "def f(c):\n return select(matches).where(consented(Purpose.ANALYTICS))",
    "is told the purpose": "def f(c, purpose: Purpose):\n return read(c, select(matches), purpose)",
    "carries a ground": "@on_ground(Ground.ACCESS)\ndef f(c):\n return select(matches)",
    "only deletes": "def f(c):\n run(c, 'DELETE FROM matches WHERE day = 1')",
    "only writes": "def f(c):\n c.execute(matches.insert())",
    "other tables": "def f(c):\n return select(subjects.c.subject)",
}


@pytest.mark.parametrize("allowed", ALLOWED.values(), ids=ALLOWED)
def test_read_that_says_why_is_none(allowed: str) -> None:
    assert faults(IMPORTED + allowed) == []


def test_ground_that_is_not_needed_is_found() -> None:
    source = "@on_ground(Ground.ACCESS)\ndef f(c):\n return select(subjects)"

    assert faults(source) == ["f carries a ground that it does not need"]
