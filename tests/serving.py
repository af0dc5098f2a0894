"""A server to test against: within this process, or as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
from sqlalchemy import func, select

from ingest_api import create_app
from schemas.environment import inherited
from schemas.settings import CHECKOUT
from schemas.tables import receipts, staged
from tests.in_process import Client
from warehouse.engine import reading
from warehouse.keyfile import make_ring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings

LOOPBACK = ("127.0.0.1", 50_000)


class PatientClient(Client):
    """Asks again where a busy machine could not read consents and keys in time.

    The server then says 503 with Retry-After instead of trusting what it read before.
    """

    def request(self, *arguments: Any, **more: Any) -> httpx.Response:  # type: ignore[override]
        for _ in range(3):
            reply = super().request(*arguments, **more)
            if reply.status_code != 503 or b"Not ready" not in reply.content:
                break
            time.sleep(0.3)
        return reply


@contextmanager
def client_of(settings: Settings, client: tuple[str, int] = LOOPBACK) -> Iterator[Client]:
    """Call the application within this process, as a client of some address."""
    make_ring(settings.keys, 0)
    app = create_app(settings)
    with PatientClient(app, client) as called:
        yield called


class Server:
    """The server as a process of its own, on a free port."""

    def __init__(self, settings: Settings, log: Path) -> None:
        make_ring(settings.keys, 0)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = settings.model_copy(update={"host": "127.0.0.1", "port": self.port})
        self.log = log
        self.command = [sys.executable, "-m", "cli", "serve"]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                self.command,
                cwd=CHECKOUT,
                env=inherited(self._settings),
                stdout=file,
                stderr=file,
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                httpx.get(f"{self.url}/health", timeout=2)
            except httpx.HTTPError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"the server did not start: {self.log.read_text()[-2_000:]}")

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def server_of(settings: Settings, log: Path) -> Iterator[Server]:
    """Run the server for this while."""
    server = Server(settings, log)
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def allow(client: Any, user_id: str = "u1", **options: bool) -> Any:
    """Record a consent to analytics and what else is given."""
    body = {"user_id": user_id, "analytics": True, **options}
    reply = client.post("/api/tracking/consent", json=body)
    assert reply.status_code == 200, reply.text
    return reply


def proposed(**changes: Any) -> dict[str, Any]:
    """Make the body of a proposal with an id of its own."""
    return {
        "user_id": "u1",
        "match_id": "m1",
        "match_score": 0.5,
        "event_id": str(uuid.uuid4()),
        **changes,
    }


def now_us() -> int:
    return int(datetime.now(UTC).timestamp() * 1_000_000)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def count_stored(engine: Engine) -> tuple[int, int]:
    """Count staged rows and receipts."""
    with reading(engine) as connection:
        return (
            connection.execute(select(func.count()).select_from(staged)).scalar_one(),
            connection.execute(select(func.count()).select_from(receipts)).scalar_one(),
        )


class Ended:
    """A process that has ended well."""

    def wait(self, _seconds: float | None = None) -> int:
        return 0
