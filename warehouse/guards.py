"""Tell which of the triggers that refuse change are missing, or are not ours any more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text

from warehouse import triggers
from warehouse.engine import SCHEMA_LOCK, is_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

_ON_SQLITE = (
    *triggers.SQLITE,
    *triggers.RELEASES_SQLITE,
    *triggers.BLOCKS_SQLITE,
    *triggers.SUMS_SQLITE,
)
_ON_POSTGRESQL = (
    *triggers.POSTGRESQL,
    *triggers.RELEASES_POSTGRESQL,
    *triggers.BLOCKS_POSTGRESQL,
    *triggers.SUMS_POSTGRESQL,
)
_TRIGGER = re.compile(
    r"TRIGGER (?:IF NOT EXISTS )?(?P<name>\w+) BEFORE (?P<on>[A-Z ]+?) ON (?:\w+\.)?(?P<table>\w+)"
    r"(?: FOR EACH (?P<each>\w+) EXECUTE FUNCTION (?P<function>\w+))?"
)
_FUNCTION = re.compile(r"FUNCTION (\w+)\(\) .*\$\$(.*)\$\$", re.DOTALL)


class _Made(NamedTuple):
    """A trigger of PostgreSQL, in whatever words it is written."""

    table: str
    on: frozenset[str]
    each: str
    function: str


def missing(connection: Connection) -> list[str]:
    """List the triggers that are not there as the code makes them, by name."""
    if is_postgres(connection):
        return _missing_on_postgresql(connection)
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    held = dict(connection.execute(query).tuples().all())
    return [
        name
        for name, statement in _named(_ON_SQLITE)
        if held.get(name) != statement.replace("IF NOT EXISTS ", "")
    ]


def note(connection: Connection) -> str | None:
    """Say what is missing, for a person; None where nothing is."""
    names = missing(connection)
    if not names:
        return None
    return (
        f"the database does not refuse every change: {', '.join(names)} missing or changed;"
        " `smartmatch db upgrade` puts them back"
    )


def put_back(connection: Connection) -> list[str]:
    """Make those anew that are missing or changed, and return their names."""
    if is_postgres(connection):
        # Two that make one function at once would break each other off.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")
    names = missing(connection)
    if not names:
        return []
    if not is_postgres(connection):
        for name, statement in _named(_ON_SQLITE):
            if name in names:
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
                connection.exec_driver_sql(statement)
        return names
    for statement in _ON_POSTGRESQL:
        connection.execute(text(_written(statement).replace(":", r"\:")))
    for name, statement in _named(_ON_POSTGRESQL):
        table = _made(statement)[1].table
        connection.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER {name}"))
    return names


def _missing_on_postgresql(connection: Connection) -> list[str]:
    triggers_of = text(
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'O'"
        " AND tgrelid IN (SELECT oid FROM pg_class WHERE pg_table_is_visible(oid))"
    )
    held = dict(
        _made(told)
        for told in connection.execute(triggers_of).scalars()
        if _TRIGGER.search(told) is not None
    )
    bodies = text("SELECT proname, prosrc FROM pg_proc WHERE pg_function_is_visible(oid)")
    sources = {name: source.strip() for name, source in connection.execute(bodies)}
    changed = {
        found[1]
        for found in map(_FUNCTION.search, map(_written, _ON_POSTGRESQL))
        if found and sources.get(found[1]) != found[2].strip()
    }
    wanted = dict(_made(statement) for _, statement in _named(_ON_POSTGRESQL))
    return [
        name for name, made in wanted.items() if held.get(name) != made or made.function in changed
    ]


def _named(statements: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for statement in statements:
        if (found := _TRIGGER.search(statement)) is not None:
            yield found["name"], statement


def _made(statement: str) -> tuple[str, _Made]:
    found = _TRIGGER.search(statement)
    assert found is not None  # noqa: S101  # asked before
    on = frozenset(found["on"].split(" OR "))
    return found["name"], _Made(found["table"], on, found["each"] or "", found["function"] or "")


def _written(statement: str) -> str:
    """Return a statement as the database gets it: DDL doubles per cent signs."""
    return statement.replace("%%", "%")
