"""Whom no event may be stored of any more: exact at the commit, however old the memory of a server.

Every withdrawal of ``analytics`` and every request for an erasure counts up one row, in its own
transaction. What a server holds in memory is marked with the count at which it was true; the
transaction that stores events reads the count, and asks for everybody again where it moved. On
SQLite writers come one after the other, so that is all. On PostgreSQL an erasure also waits for
the transactions that had read the count before it moved: afterwards nothing can appear of its
person, and what did appear is there to be deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from schemas.tables import versions
from warehouse import bulk
from warehouse.engine import add_to, is_postgres, writing
from warehouse.purposes import consented_sql

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Engine

    from schemas.purposes import Purpose

COUNT = "withdrawals"
"""Row of ``versions``."""

_READ_COUNT = f"SELECT value FROM {versions.name} WHERE name = '{COUNT}'"
"""As text: each commit of a server reads it."""

_STORING_LOCK = 0x5341_4D33
"""PostgreSQL's advisory lock: shared by whoever stores events, alone for who waits for them."""


def count_up(connection: Connection) -> None:
    """Note that somebody's events may not be stored from the commit of this transaction on."""
    connection.execute(add_to(connection, versions, ["name"]), [{"name": COUNT, "value": 1}])


def stand(connection: Connection) -> int:
    """Return the count in a transaction that stores events, and be waited for until its end."""
    if is_postgres(connection):
        connection.execute(text(f"SELECT pg_advisory_xact_lock_shared({_STORING_LOCK})"))
    found = connection.exec_driver_sql(_READ_COUNT).scalar()
    return found or 0


def everybody_allows(connection: Connection, people: Collection[int], purpose: Purpose) -> bool:
    """Tell whether all of some people are there and allow a purpose at this moment."""
    ((allowing,),) = bulk.fetch(
        connection,
        f"SELECT COUNT(*) FROM subjects WHERE {consented_sql(purpose)}"
        f" AND {bulk.among(connection, 'subject', 'people')}",
        {"people": bulk.numbers(connection, people)},
    )
    return bool(allowing == len(people))


def wait_for_storing(engine: Engine) -> None:
    """Return when every transaction has ended that stores events by an earlier count."""
    if is_postgres(engine):
        with writing(engine) as connection:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_STORING_LOCK})"))
