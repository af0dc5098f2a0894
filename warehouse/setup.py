"""Make what an installation needs beside the code: tables, their months and the key file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select

from schemas.clock import day_number, micros
from schemas.errors import KeyMissing
from schemas.tables import subjects
from warehouse.engine import connect, create_tables, reading
from warehouse.keyfile import has_ring, make_ring
from warehouse.months import make_months
from warehouse.newest_head import NewestHead

if TYPE_CHECKING:
    from schemas.settings import Settings


def set_up_database(settings: Settings) -> None:
    """Create the tables and the key file that are missing; what exists stays.

    Raises:
        KeyMissing: There are people in the database but the key that made their pseudonyms is
            gone; a new key would silently know none of them. Or the key file is broken.
        UnsafeEngine: The database would lose what it acknowledged.
    """
    engine = connect(settings.url)
    create_tables(engine)
    today = day_number(datetime.now(UTC))
    make_months(engine, today - settings.events_retention_days, today)
    if not has_ring(settings.keys):
        with reading(engine) as connection:
            if connection.execute(select(subjects.c.subject).limit(1)).first():
                raise KeyMissing("the database has subjects, but its key file is gone; restore it")
    make_ring(settings.keys, micros(datetime.now(UTC)))
    NewestHead(settings.keys).demand_seals(engine)
    engine.dispose()
