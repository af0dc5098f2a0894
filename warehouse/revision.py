"""Which schema a database has, told without Alembic, whose import every start would pay for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import column, inspect, select, table

from schemas.errors import NotReady
from schemas.tables import metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection

FIRST = "0001"
"""The schema of databases that were made before revisions were noted."""

HEAD = "0008"
"""The schema of this code: the newest file in ``migrations/versions``."""

SEALED = "0008"
"""The first schema that has seals."""

_TABLE = "alembic_version"
_noted = table(_TABLE, column("version_num"))


def revision_of(connection: Connection) -> str | None:
    """Return the revision of a database's schema, or None where there is no table of ours.

    Raises:
        NotReady: Its note holds none, or several: which schema it has is not to be guessed.
    """
    names = set(inspect(connection).get_table_names())
    ours = bool(names & set(metadata.tables))
    if _TABLE not in names:
        return FIRST if ours else None
    noted = connection.execute(select(_noted.c.version_num)).scalars().all()
    if len(noted) > 1 or (ours and not noted):
        raise NotReady(
            f"the database does not say which schema it has: {_TABLE} must hold one row; put a"
            " backup back"
        )
    return str(noted[0]) if noted else None


def note_head(connection: Connection) -> None:
    """Note that a database has the schema of this code; it was just made."""
    connection.exec_driver_sql(
        # Alembic leaves it, empty, at the base.
        f"CREATE TABLE IF NOT EXISTS {_TABLE} (version_num VARCHAR(32) NOT NULL,"
        f" CONSTRAINT {_TABLE}_pkc PRIMARY KEY (version_num))"
    )
    connection.execute(_noted.insert().values(version_num=HEAD))


def is_head(connection: Connection) -> bool:
    """Tell whether a database still has the schema of this code; for who asks again and again."""
    return list(connection.execute(select(_noted.c.version_num)).scalars()) == [HEAD]


def check_revision(connection: Connection) -> None:
    """Check that a database has the schema of this code.

    Raises:
        NotReady: It has none, an older or a newer one; says what to run.
    """
    found = revision_of(connection)
    if found is None:
        raise NotReady("the database has no tables; run `smartmatch init` first")
    if found < HEAD:
        raise NotReady(f"the database has schema {found}; run `smartmatch db upgrade` to {HEAD}")
    if found > HEAD:
        raise NotReady(f"the database has schema {found}, newer than this code, which has {HEAD}")
