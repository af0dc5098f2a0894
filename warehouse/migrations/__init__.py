"""Move a database from one revision of the schema to another, rows in place.

Each call is one transaction on either engine: killed anywhere, it has changed nothing, and runs
again. Two that start at once come one after the other. A flow that is at work meanwhile loses its
lease: it would go on to write what the schema of before asks for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import update

from schemas.errors import InvalidInput
from schemas.tables import leases
from warehouse.engine import SCHEMA_LOCK, check_durable, is_postgres, writing
from warehouse.revision import HEAD, revision_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_HERE = Path(__file__).parent


def upgrade(engine: Engine, revision: str = "head") -> tuple[str | None, str | None]:
    """Bring a database's schema up to a revision.

    Args:
        engine: The database.
        revision: Where to; the newest by default.

    Returns:
        Its revision before and after; None for no table at all.

    Raises:
        InvalidInput: There is no such revision, or it lies behind.
        NotReady: The database does not answer.
        UnsafeEngine: It would lose what it acknowledged.
    """
    return _move(engine, revision, up=True)


def downgrade(engine: Engine, revision: str) -> tuple[str | None, str | None]:
    """Take a database's schema back to a revision; what only newer ones hold is lost.

    Args:
        engine: The database.
        revision: Where to; ``base`` for no table at all.

    Returns:
        Its revision before and after.

    Raises:
        InvalidInput: There is no such revision, or it lies ahead.
        NotReady: The database does not answer.
        UnsafeEngine: It would lose what it acknowledged.
    """
    return _move(engine, revision, up=False)


def configuration(connection: Connection | None = None) -> Config:
    """Return what Alembic needs to know: where the revisions lie, and the transaction."""
    made = Config()
    made.set_main_option("script_location", str(_HERE))
    made.attributes["connection"] = connection
    return made


def _move(engine: Engine, revision: str, *, up: bool) -> tuple[str | None, str | None]:
    check_durable(engine)
    with writing(engine) as connection:
        if is_postgres(connection):
            # SQLite's transaction is the only one that writes anyway.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")
        before = revision_of(connection)
        config = configuration(connection)
        try:
            if before not in {None, HEAD if revision == "head" else revision}:
                # First, as a flow's transactions begin: no two of them wait for each other.
                connection.execute(
                    update(leases)
                    .where(leases.c.expires_at > 0)
                    .values(fence=leases.c.fence + 1, expires_at=0)
                )
            if before is not None:
                # A database of before there were revisions learns which one it has.
                command.stamp(config, before)
            (command.upgrade if up else command.downgrade)(config, revision)
        except CommandError:
            raise InvalidInput("revision", "must be one that is known, in this direction") from None
        return before, revision_of(connection)
