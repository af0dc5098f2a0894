"""Find the rows of a subject among events and matches, without an index by subject alone.

Subjects are random numbers: every batch would change every page of such an index, and cost more
the more is stored. These tables are indexed by stretch (so many events in a row; a day of
matches) and subject within it. A batch changes the newest stretches only; who looks for one
person looks once a stretch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, text

from schemas.tables import events, matches
from warehouse.engine import is_postgres

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine, Table

_STRETCHES = {
    events.name: ("seq", "(events.seq >> 17)", " >> 17"),
    matches.name: ("day", "matches.day", ""),
}
"""By table: the column that grows with time, and how a stretch is made of it, as in the index."""


def of_subject(
    connection: Connection, table: Table, subject: int | ColumnElement[int]
) -> ColumnElement[bool]:
    """Return the condition that a row of a table is a subject's.

    Args:
        connection: The transaction.
        table: A table with a column ``subject``, not an alias.
        subject: Their number, or a column with it.
    """
    theirs: ColumnElement[bool] = table.c.subject == subject
    if table.name not in _STRETCHES:
        return theirs
    return and_(theirs, text(any_stretch(connection, table)))


def any_stretch(connection: Connection | Engine, table: Table) -> str:
    """Return the condition that a row lies in any stretch of its table, for an index to follow.

    It is true of every row. The stretches are found in the same statement, and so in the same
    snapshot: none can be missing.
    """
    name, (column, stretch, shift) = table.name, _STRETCHES[table.name]
    first, last = (f"(SELECT {end}({column}) FROM {name}){shift}" for end in ("MIN", "MAX"))
    if is_postgres(connection):
        return f"{stretch} = ANY (ARRAY(SELECT generate_series({first}, {last})))"
    return (
        f"{stretch} IN (WITH RECURSIVE stretches (n) AS (SELECT {first} UNION ALL"
        f" SELECT n + 1 FROM stretches WHERE n < {last}) SELECT n FROM stretches)"
    )
