"""What tests need of an engine: marks for what one alone does, and a lock on either."""

from __future__ import annotations

import gc
import threading
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from warehouse.engine import is_postgres

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


def end_commands() -> None:
    """Close the connections of commands and flows that ran here, as the end of a process does."""
    gc.collect()
