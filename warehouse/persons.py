"""Which subjects somebody is: one, or two where the keys were apart for a while.

A server whose key file was put back without its newest key knows nobody by that key: who answers
there becomes a second subject. With the whole key file both answer to the one identifier again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from schemas.errors import SmartMatchError
from schemas.tables import subjects

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Row

    from warehouse.seals import Seals


class OverMatch(SmartMatchError):
    """What is asked for would touch more than one person; nothing was done."""


def rows_of(connection: Connection, pseudonyms: Collection[bytes]) -> list[Row[Any]]:
    """Read the rows of a person, in the order of their pseudonyms."""
    order = {pseudonym: place for place, pseudonym in enumerate(pseudonyms)}
    rows = connection.execute(select(subjects).where(subjects.c.pseudonym.in_(list(order)))).all()
    return sorted(rows, key=lambda row: order[row.pseudonym])


def rows_of_one(
    connection: Connection, pseudonyms: Collection[bytes], seals: Seals
) -> list[Row[Any]]:
    """Read the rows of a person, and of nobody else.

    A row that a writer of the database put under one of several pseudonyms may be another's. Who
    has one row is not judged here: the check of the ledgers does that.

    Args:
        connection: The transaction.
        pseudonyms: Made from one identifier.
        seals: Tell whether a row is as it was written.

    Raises:
        OverMatch: There are several rows, and one has not the seal of what it says.
    """
    rows = rows_of(connection, pseudonyms)
    if len(rows) > 1 and not all(map(seals.fits, rows)):
        raise OverMatch(f"{len(rows)} subjects answer to this id, and not all as they were written")
    return rows


def move(
    connection: Connection, subject: int, pseudonym: bytes, key_id: str, seals: Seals | None
) -> None:
    """Let a subject be known by another pseudonym, unless somebody is known by it already."""
    taken = select(subjects.c.subject).where(subjects.c.pseudonym == pseudonym).limit(1)
    if connection.execute(taken).first() is not None:
        return
    theirs = subjects.c.subject == subject
    values: dict[str, Any] = {"pseudonym": pseudonym, "key_id": key_id}
    row = connection.execute(select(subjects).where(theirs)).one()
    if seals and seals.fits(row):
        values["seal"] = seals.of_person(subject, row.ledger_id, pseudonym, key_id)
    connection.execute(update(subjects).where(theirs).values(**values))
