"""What `smartmatch up` refuses, and what it starts."""

from __future__ import annotations

import fcntl
import json
import shlex
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from operation import up
from operation.parts import LOOPBACK, Part, parts
from operation.up import run_up
from schemas.environment import RUNNING, running_prefect
from schemas.errors import InvalidInput, NotReady
from schemas.settings import Settings
from tests.serving import free_port

if TYPE_CHECKING:
    from pathlib import Path


def test_everything_listens_on_loopback_unless_told_otherwise(tmp_path: Path) -> None:
    alone = Settings(home=tmp_path, port=8100, prefect_port=4300, mlflow_port=5100)
    open_door = Settings(home=tmp_path, host="0.0.0.0")

    hosts = [
        words[words.index("--host") + 1]
        for words in (shlex.split(part.command) for part in parts(alone))
        if "--host" in words
    ]
    assert hosts == [LOOPBACK, LOOPBACK]
    assert [part.address for part in parts(alone) if part.address] == [
        "http://127.0.0.1:4300",
        "http://127.0.0.1:8100/docs",
        "http://127.0.0.1:5100/#/models/smartmatch?workflowType=machine_learning",
    ]
    assert parts(alone)[0].environment["PREFECT_SERVER_UI_API_URL"] == "http://127.0.0.1:4300/api"
    ingest = next(part for part in parts(open_door) if part.name == "ingest")
    assert "--host 0.0.0.0" in ingest.command


def test_a_part_is_looked_for_where_it_listens(tmp_path: Path) -> None:
    near, wide = (
        parts(Settings(home=tmp_path, host=host, ui_host=host)) for host in ("::1", "0.0.0.0")
    )

    assert [part.health for part in near if part.health] == [
        "http://[::1]:4200/api/health",
        "http://[::1]:8001/health",
        "http://[::1]:5000/health",
    ]
    assert {part.health.rpartition(":")[0] for part in wide if part.health} == {"http://127.0.0.1"}


def test_a_port_that_nobody_knows_beforehand_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="PORT: must be a port of its own"):
        run_up(Settings(home=tmp_path, port=0))


def test_no_command_holds_the_database(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url=SecretStr("postgresql://u:geheim@h/d"))

    assert "geheim" not in " ".join(part.command for part in parts(settings))


def test_a_taken_port_is_said_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(NotReady, match=f"port {port} cannot be used; change SMARTMATCH_MLF"):
            run_up(Settings(home=tmp_path, port=free_port(), mlflow_port=port))


def test_one_home_runs_once(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "up.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        with pytest.raises(NotReady, match="runs already"):
            run_up(Settings(home=tmp_path))


def test_commands_beside_a_running_installation_use_its_server(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        api = f"http://{LOOPBACK}:{server.getsockname()[1]}/api"
        (tmp_path / RUNNING).write_text(json.dumps({"pid": 1, "prefect_api": api}))

        assert running_prefect(tmp_path) == api

    assert running_prefect(tmp_path) == ""


class _Answering(BaseHTTPRequestHandler):
    """A Prefect server on whose deployments somebody asked at a time."""

    asked_at = datetime.now(UTC)

    def do_GET(self) -> None:
        self._reply(b"{}")

    def do_POST(self) -> None:
        served = {"name": "smartmatch", "status": "READY", "last_polled": str(self.asked_at)}
        self._reply(json.dumps([served]).encode())

    def _reply(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return None


def test_each_part_is_announced_when_it_answers_and_the_flows_when_somebody_serves_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ThreadingHTTPServer((LOOPBACK, 0), _Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://{LOOPBACK}:{server.server_port}"
        wanted = [
            Part("ingest", "", f"{here}/docs", f"{here}/health"),
            Part("flows", ""),
        ]
        said: list[str] = []
        monkeypatch.setattr(up, "LONGEST_START_SECONDS", 2.0)
        announcing = threading.Thread(
            target=up.announce, args=(wanted, f"{here}/api", said.append), daemon=True
        )

        announcing.start()
        deadline = time.monotonic() + 60
        while len(said) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        # Who asked before the start is a process that has ended.
        before = said.copy()
        _Answering.asked_at = datetime.now(UTC) + timedelta(minutes=1)
        announcing.join(60)
        server.shutdown()

    assert f"{here}/docs" in before[0]
    assert before[1:] == ["does not answer yet: flows"]
    assert [line.split()[0] for line in said[2:]] == ["flows", "Everything"]
