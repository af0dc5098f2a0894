"""How far a database follows the witness: the number of marks that were carried out in it.

A mark is an erasure or a withdrawal that the witness holds outside the database. A backup that is
put back follows fewer marks than there are, and whoever opens it carries the others out first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from schemas.tables import versions
from warehouse.engine import insert_ignore

if TYPE_CHECKING:
    from sqlalchemy import Connection

MARKS, BACKUP, SEALED = "marks", "backup", "sealed"
"""Rows of ``versions``: marks that were carried out, 1 in a copy that is a backup, and the day
before which everything was sealed, or may have been."""


def follow(connection: Connection, marks: int) -> None:
    """Note that the database follows the witness up to a mark; it never falls back."""
    if marks:
        _raise(connection, MARKS, marks)


def followed(connection: Connection) -> int:
    """Return up to which mark the database follows the witness."""
    return _value(connection, MARKS)


def is_backup(connection: Connection) -> bool:
    """Tell whether this is a copy that ``smartmatch backup`` made, or one that was put back."""
    return bool(_value(connection, BACKUP))


def set_backup(connection: Connection, *, backup: bool) -> None:
    """Say whether this is a backup."""
    connection.execute(insert_ignore(connection, versions).values(name=BACKUP, value=0))
    connection.execute(update(versions).where(versions.c.name == BACKUP).values(value=int(backup)))


def seal_until(connection: Connection, day: int) -> None:
    """Note that no day before this one is sealed again, whatever becomes of its block."""
    _raise(connection, SEALED, day)


def sealed_until(connection: Connection) -> int:
    """Return the day before which nothing is sealed any more, 0 where nothing ever was."""
    return _value(connection, SEALED)


def _raise(connection: Connection, name: str, value: int) -> None:
    connection.execute(insert_ignore(connection, versions).values(name=name, value=0))
    connection.execute(
        update(versions)
        .where(versions.c.name == name, versions.c.value < value)
        .values(value=value)
    )


def _value(connection: Connection, name: str) -> int:
    found = connection.execute(select(versions.c.value).where(versions.c.name == name)).scalar()
    return found or 0
