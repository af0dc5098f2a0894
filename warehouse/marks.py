"""How far a database follows the witness: the number of marks that were carried out in it.

A mark is an erasure, a withdrawal, a version's books or an API key that was made or revoked, which
the witness knows of as well. A backup that is put back follows fewer marks than there are, and
whoever opens it carries the others out first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from schemas.tables import versions
from warehouse.engine import insert_ignore

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from warehouse.witness import Witness

MARKS, BACKUP, SEALED, UNBOOKED, KEYS = "marks", "backup", "sealed", "unbooked", "keys-witnessed"
"""Rows of ``versions``: marks that were carried out, 1 in a copy that is a backup, the day before
which everything was sealed, or may have been, 1 while the registry may hold versions of the
model of which there are no books here, and 1 where the witness knows every API key."""


def follow(connection: Connection, marks: int) -> None:
    """Note that the database follows the witness up to a mark; it never falls back."""
    if marks:
        _raise(connection, MARKS, marks)


def passable(connection: Connection, witness: Witness, marked: int) -> int:
    """Return a mark that was carried out, or 0 where the database may not follow up to it yet.

    Of a withdrawal before it the commit failed, or is under way: it would never be carried out.
    Whoever opens the database next does, and follows.
    """
    return 0 if witness.has_withdrawal(after=followed(connection), before=marked) else marked


def followed(connection: Connection) -> int:
    """Return up to which mark the database follows the witness."""
    return _value(connection, MARKS)


def is_backup(connection: Connection) -> bool:
    """Tell whether this is a copy that ``smartmatch backup`` made, or one that was put back."""
    return bool(_value(connection, BACKUP))


def set_backup(connection: Connection, *, backup: bool) -> None:
    """Say whether this is a backup."""
    _set(connection, BACKUP, backup)


def may_be_unbooked(connection: Connection) -> bool:
    """Tell whether the registry may hold versions that the books do not know."""
    return bool(_value(connection, UNBOOKED))


def set_unbooked(connection: Connection, *, unbooked: bool) -> None:
    """Say whether the registry may hold versions that the books do not know."""
    _set(connection, UNBOOKED, unbooked)


def keys_are_witnessed(connection: Connection) -> bool:
    """Tell whether the witness knows every API key that was made or revoked here."""
    return bool(_value(connection, KEYS))


def set_keys_witnessed(connection: Connection) -> None:
    """Say that the witness knows every API key."""
    _set(connection, KEYS, value=True)


def seal_until(connection: Connection, day: int) -> None:
    """Note that no day before this one is sealed again, whatever becomes of its block."""
    _raise(connection, SEALED, day)


def sealed_until(connection: Connection) -> int:
    """Return the day before which nothing is sealed any more, 0 where nothing ever was."""
    return _value(connection, SEALED)


def _set(connection: Connection, name: str, value: bool) -> None:  # noqa: FBT001
    connection.execute(insert_ignore(connection, versions).values(name=name, value=0))
    connection.execute(update(versions).where(versions.c.name == name).values(value=int(value)))


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
