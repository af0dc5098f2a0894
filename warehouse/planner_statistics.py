"""What PostgreSQL's planner keeps of rows: samples of their values, also once the rows are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from warehouse.engine import reading, writing

if TYPE_CHECKING:
    from sqlalchemy import Engine

_CLEARS_SINCE = (18,)
# A server gives its statements a second or two; this is none of a request's.
_PATIENT = "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0"
_KNOWN = text("SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = current_schema()")
_CLEAR = text(
    "SELECT pg_clear_attribute_stats(schemaname, tablename, attname, inherited) FROM pg_stats"
    " WHERE schemaname = current_schema() AND tablename = :name"
)


def renew(engine: Engine) -> None:
    """Gather the planner's statistics anew, so that they hold nothing of rows that are deleted.

    They are cleared first, in the same transaction, so that nobody plans without: an empty table
    gathers none. PostgreSQL before 18 cannot clear: there an empty table keeps what it had.
    """
    with reading(engine) as connection:
        clears = (connection.dialect.server_version_info or ()) >= _CLEARS_SINCE
        names = connection.execute(_KNOWN).scalars().all()
    for name in names:
        with writing(engine) as connection:
            connection.exec_driver_sql(_PATIENT)
            # A month that was dropped meanwhile has nothing to clear; one that has is held by it.
            if not clears:
                connection.exec_driver_sql(f'ANALYZE "{name}"')
            elif connection.execute(_CLEAR, {"name": name}).all():
                connection.exec_driver_sql(f'ANALYZE ONLY "{name}"')
