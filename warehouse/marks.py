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

MARKS, BACKUP = "marks", "backup"
"""Rows of ``versions``: marks that were carried out, and 1 in a copy that is a backup."""


def follow(connection: Connection, marks: int) -> None:
    """Note that the database follows the witness up to a mark; it never falls back."""
    if not marks:
        return
    connection.execute(insert_ignore(connection, versions).values(name=MARKS, value=0))
    connection.execute(
        update(versions)
        .where(versions.c.name == MARKS, versions.c.value < marks)
        .values(value=marks)
    )


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


def _value(connection: Connection, name: str) -> int:
    found = connection.execute(select(versions.c.value).where(versions.c.name == name)).scalar()
    return found or 0
