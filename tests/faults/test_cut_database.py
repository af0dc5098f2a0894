"""A locked, slow, cut or silent database: 503 in time, then back by itself, nothing leaked."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from schemas.settings import Settings
from tests.engines import hold_lock, on_postgresql, on_sqlite
from tests.faults.processes import ForkedServer, forked
from tests.faults.proxy import Proxy, Weather
from tests.serving import allow, proposed
from warehouse.audit import balance, stored_event_ids
from warehouse.engine import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise("a locked, slow, cut or silent database: 503 in time, then back")

ANSWER_SECONDS = 2.0
BACK_SECONDS = 5.0
MOST_CONNECTIONS = 12
SLACK_SECONDS = 1.0
"""What a busy machine adds."""
PATIENCE_SECONDS = 60.0
"""The short form measures no time: it may run beside anything."""


@pytest.fixture
def proxied(database_url: SecretStr, tmp_path: Path) -> Iterator[tuple[Proxy, Settings]]:
    """A proxy before the test's PostgreSQL database, and settings that go through it."""
    url = make_url(database_url.get_secret_value())
    proxy = Proxy(Path(str(url.query["host"])) / ".s.PGSQL.5432")
    through = url.set(host="127.0.0.1", port=proxy.port, query={"gssencmode": "disable"})
    text = through.render_as_string(hide_password=False)
    yield proxy, Settings(home=tmp_path, database_url=SecretStr(text))
    proxy.close()


def weather_it(proxied: tuple[Proxy, Settings], log: Path, tally: Tally) -> set[str]:
    """Send events through all weathers, and return the ids of the acknowledged ones."""
    proxy, settings = proxied
    server = ForkedServer(forked("tests.faults.jobs"), settings, log)
    server.start()
    acknowledged: set[str] = set()
    with httpx.Client(base_url=server.url, timeout=20) as client:
        allow(client)
        for _ in range(tally.planned):
            for weather in (Weather.SLOW, Weather.SILENT, Weather.LOST, Weather.CUT):
                proxy.change(weather)
                _send(client, acknowledged, tally, weather.name)
                proxy.change(Weather.FINE)
                _come_back(client, acknowledged, tally, weather.name)
    held = _connections(settings.url)
    server.stop()
    if held > MOST_CONNECTIONS:
        tally.count(f"{held} connections are held", trials=0)
    return acknowledged


@on_postgresql
@pytest.mark.trials(short=1, full=10)
def test_server_refuses_in_time_and_comes_back(
    database_url: SecretStr, proxied: tuple[Proxy, Settings], tmp_path: Path, tally: Tally
) -> None:
    acknowledged = weather_it(proxied, tmp_path / "server.log", tally)

    engine = connect(database_url)
    stored = {str(one) for one in stored_event_ids(engine)}
    engine.dispose()
    assert acknowledged <= stored
    assert tally.failures == []


@pytest.mark.trials(short=3, full=60)
def test_server_refuses_in_time_while_the_database_is_locked(
    settings: Settings, engine: Engine, tmp_path: Path, tally: Tally
) -> None:
    """A trial is a second of one lock that keeps everybody out."""
    server = ForkedServer(forked("tests.faults.jobs"), settings, tmp_path / "server.log")
    server.start()
    acknowledged: set[str] = set()
    with httpx.Client(base_url=server.url, timeout=20) as client:
        allow(client)
        lock = hold_lock(engine, tally.planned)
        while lock.is_alive():
            _send(client, acknowledged, tally, "locked")
        lock.join()
        _come_back(client, acknowledged, tally, "locked")
        # What was answered before the lock's end may have been written after it.
        _send(client, acknowledged, tally, "open again")
    server.stop()

    assert acknowledged <= {str(one) for one in stored_event_ids(engine)}
    assert balance(engine).agrees
    assert tally.failures == []


@on_sqlite
def test_server_that_waits_for_a_lock_is_caught(
    settings: Settings, engine: Engine, tmp_path: Path, tally: Tally
) -> None:
    server = ForkedServer(
        forked("tests.faults.jobs"), settings, tmp_path / "server.log", mutant="patient"
    )
    server.start()
    with httpx.Client(base_url=server.url, timeout=20) as client:
        allow(client)
        lock = hold_lock(engine, 2 * ANSWER_SECONDS)
        seen = replace(tally, failures=[], full=True)
        while lock.is_alive():
            _send(client, set(), seen, "locked")
        lock.join()
    server.kill()
    tally.mutant_caught = seen.failures != []
    assert tally.mutant_caught


@on_postgresql
def test_server_that_lets_its_clients_wait_is_caught(
    proxied: tuple[Proxy, Settings], tmp_path: Path, tally: Tally
) -> None:
    proxy, settings = proxied
    context = forked("tests.faults.jobs")
    server = ForkedServer(context, settings, tmp_path / "server.log", mutant="patient")
    server.start()
    with httpx.Client(base_url=server.url, timeout=ANSWER_SECONDS + SLACK_SECONDS) as client:
        allow(client)
        proxy.change(Weather.SILENT)
        try:
            client.post("/api/tracking/event/match-proposed", json=proposed())
        except httpx.ReadTimeout:
            tally.mutant_caught = True
    proxy.change(Weather.FINE)
    server.kill()
    assert tally.mutant_caught


def _send(client: httpx.Client, acknowledged: set[str], tally: Tally, trouble: str) -> None:
    """Send events in trouble; each gets its answer in time."""
    for _ in range(3):
        body = proposed()
        begun = time.monotonic()
        reply = client.post("/api/tracking/event/match-proposed", json=body)
        took = time.monotonic() - begun
        if reply.status_code == 200:
            acknowledged.add(body["event_id"])
        fault = None
        if reply.status_code not in (200, 503):
            fault = f"{trouble}: answered {reply.status_code}"
        elif tally.full and took > ANSWER_SECONDS + SLACK_SECONDS:
            fault = f"{trouble}: answered after {took:.1f} s"
        elif client.get("/health").status_code != 200:
            fault = f"{trouble}: /health failed"
        tally.count(fault)


def _come_back(client: httpx.Client, acknowledged: set[str], tally: Tally, trouble: str) -> None:
    begun = time.monotonic()
    reply: Any = None
    within = BACK_SECONDS + SLACK_SECONDS if tally.full else PATIENCE_SECONDS
    while time.monotonic() < begun + within:
        body = proposed()
        reply = client.post("/api/tracking/event/match-proposed", json=body)
        if reply.status_code == 200:
            acknowledged.add(body["event_id"])
            return
        time.sleep(0.05)
    tally.count(f"{trouble}: no 2xx within {within} s of its end", trials=0)


def _connections(url: SecretStr) -> int:
    """Count the connections to a database, but for the one that asks."""
    admin = create_engine(url.get_secret_value())
    with admin.connect() as connection:
        count = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).scalar_one()
    admin.dispose()
    return int(count)


@on_postgresql
def test_flow_knows_of_a_host_that_is_gone_before_its_lease_is_over(
    proxied: tuple[Proxy, Settings],
) -> None:
    """Packets that nobody answers end a connection; TCP alone would begin to ask in two hours."""
    _, settings = proxied
    engine = connect(settings.url)
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        with socket.socket(fileno=os.dup(driver.fileno())) as held:
            asked = [
                held.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            ]
    engine.dispose()
    idle, pause, count = asked
    assert idle + pause * count < settings.lease_seconds / 2
