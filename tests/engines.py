"""What tests need of an engine: marks for what one alone does, and a lock on either."""

from __future__ import annotations

import gc
import threading
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from warehouse.engine import is_postgres, reading

if TYPE_CHECKING:
    from sqlalchemy import Engine

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def hold_lock(engine: Engine, seconds: float) -> threading.Thread:
    """Keep everybody from writing events for a while."""
    held = threading.Event()

    def hold() -> None:
        with engine.connect() as connection, connection.begin():
            if is_postgres(connection):
                connection.execute(text("LOCK TABLE receipts IN ACCESS EXCLUSIVE MODE"))
            held.set()
            time.sleep(seconds)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(5)
    return thread


def wait_until_one_waits(engine: Engine) -> None:
    """Wait until a transaction of this database waits for another's lock."""
    query = text(
        "SELECT COUNT(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(200):
        with reading(engine) as connection:
            if connection.execute(query).scalar_one():
                return
        time.sleep(0.05)
    raise AssertionError("nobody waited")


def end_commands() -> None:
    """Close the connections of commands and flows that ran here, as the end of a process does."""
    gc.collect()
