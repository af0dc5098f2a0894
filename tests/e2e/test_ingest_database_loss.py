"""PostgreSQL ends a server's connections under load: nothing acknowledged is lost, it goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine

from tests.faults.writers import Writer
from tests.serving import allow, server_of
from warehouse.audit import balance, stored_event_ids

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings

import httpx

LOSSES = 5


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_ended_connections_lose_no_acknowledged_event(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    assert settings.database_url is not None
    admin = create_engine(settings.database_url.get_secret_value(), isolation_level="AUTOCOMMIT")
    with server_of(settings, tmp_path / "server.log") as server:
        with httpx.Client(base_url=server.url) as client:
            allow(client)
        writers = [Writer(server.port, seed) for seed in range(4)]
        for writer in writers:
            writer.start()
        ended = 0
        for _ in range(LOSSES):
            time.sleep(0.4)
            with admin.connect() as connection:
                ended += connection.exec_driver_sql(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                ).scalar_one()
        time.sleep(0.5)
        for writer in writers:
            writer.stop()
    admin.dispose()

    acknowledged = set().union(*(writer.acknowledged for writer in writers))
    stored = list(stored_event_ids(engine))
    assert ended >= LOSSES
    assert len(acknowledged) > 50
    assert acknowledged - set(stored) == set()
    assert len(stored) == len(set(stored))
    assert balance(engine).agrees
