"""The server in the client's own process: found by its entry point, started and stopped."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tracking import embedded
from tracking.embedded import EmbeddedTransport
from tracking.errors import NoServer, Unreachable
from tracking.privacy import Consent, PrivacyManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Install = Callable[..., None]

APPLICATION = """
import asyncio, json, os
from pathlib import Path

diary = Path(os.environ["DIARY"])

def write(line):
    with diary.open("a") as file:
        file.write(f"{os.getpid()} {line}\\n")

def set_up():
    write("set up")

def create():
    write("create")
    return application

def broken():
    raise ValueError("secret")

async def hangs(scope, receive, send):
    await asyncio.sleep(60)

async def refuses_to_start(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "Traceback\\nno database"})

async def breaks_later(scope, receive, send):
    await application(scope, receive, send)
    if scope["type"] == "lifespan":
        raise ValueError("secret")

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["greeting"] = "started"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        write("stopped")
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"].endswith("/slow"):
        await asyncio.sleep(60)
    if scope["path"].endswith("/raises"):
        raise RuntimeError
    write(scope["state"]["greeting"] + " " + scope["client"][0])
    if dict(scope["headers"]).get(b"authorization") == b"Bearer key":
        write("key")
    options = {"analytics": True, "preferences": False, "improvement": False}
    body = json.dumps({"options": options}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})
"""


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the embedded application wrote of itself."""
    path = tmp_path / "diary"
    path.touch()
    monkeypatch.setenv("DIARY", str(path))
    return path


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, diary: Path) -> Iterator[Install]:
    """Install a distribution that declares an embedded server, in front of all others."""

    def install(server: str = "create", *, setup: bool = True, source: str = APPLICATION) -> None:
        (tmp_path / "embedded_by_test.py").write_text(source)
        information = tmp_path / "embedded_by_test-1.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("Name: embedded-by-test\nVersion: 1\n")
        lines = ["[smartmatch.embedded]", f"server = embedded_by_test:{server}"]
        lines += ["setup = embedded_by_test:set_up"] if setup else []
        (information / "entry_points.txt").write_text("\n".join(lines))
        monkeypatch.syspath_prepend(tmp_path)

    yield install
    sys.modules.pop("embedded_by_test", None)


@pytest.fixture
def transport() -> Iterator[EmbeddedTransport]:
    transport = EmbeddedTransport("key")
    yield transport
    transport.close()


def lines_of(diary: Path) -> list[str]:
    return [line.partition(" ")[2] for line in diary.read_text().splitlines()]


def test_server_is_set_up_started_once_and_stopped(install: Install, diary: Path) -> None:
    install()
    with PrivacyManager() as privacy:
        assert lines_of(diary) == []
        assert privacy.get_consent("ana") == Consent(analytics=True)
        assert privacy.get_consent("bob") == Consent(analytics=True)

    asked = "started 127.0.0.1"
    assert lines_of(diary) == ["set up", "create", asked, asked, "stopped"]


def test_key_is_sent(install: Install, diary: Path, transport: EmbeddedTransport) -> None:
    install()

    transport.request("GET", "/x", timeout_seconds=5)

    assert "key" in lines_of(diary)


def test_closed_server_starts_again_with_the_next_request(
    install: Install, diary: Path, transport: EmbeddedTransport
) -> None:
    install()

    for _ in range(2):
        assert transport.request("GET", "/x", timeout_seconds=5).status == 200
        transport.close()

    assert lines_of(diary).count("stopped") == 2


def test_request_that_takes_too_long_ends(install: Install, transport: EmbeddedTransport) -> None:
    install()

    with pytest.raises(Unreachable, match="timeout"):
        transport.request("GET", "/slow", timeout_seconds=0.1)
    assert transport.request("GET", "/raises", timeout_seconds=5).status == 500
    assert transport.request("GET", "/x", timeout_seconds=5).status == 200


def test_request_that_is_under_way_when_the_server_is_stopped_ends_as_unanswered(
    install: Install, diary: Path, transport: EmbeddedTransport
) -> None:
    install(source=APPLICATION.replace("sleep(60)", "sleep(write('slow') or 60)"))
    found: list[BaseException] = []

    def ask() -> None:
        try:
            transport.request("GET", "/slow", timeout_seconds=60)
        except BaseException as error:  # noqa: BLE001 - whatever would reach the host
            found.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    deadline = time.monotonic() + 60
    while not (diary.exists() and "slow" in lines_of(diary)) and time.monotonic() < deadline:
        time.sleep(0.01)
    transport.close()
    asking.join(60)

    assert [(type(error), str(error)) for error in found] == [(Unreachable, "stopped")]


def test_missing_server_says_what_to_set(
    transport: EmbeddedTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "entry_points", lambda group: ())
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)

    with pytest.raises(NoServer, match="set SMARTMATCH_URL"):
        transport.request("GET", "/x", timeout_seconds=5)


def test_server_of_a_checkout_that_is_not_installed_is_found_by_its_name(
    transport: EmbeddedTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "entry_points", lambda group: ())

    assert transport.request("GET", "/health", timeout_seconds=30).status == 200


def test_server_that_does_not_start_is_told_apart_and_tried_again(
    install: Install, transport: EmbeddedTransport
) -> None:
    fails = APPLICATION.replace("return application", "return refuses_to_start")
    install(source=fails)
    with pytest.raises(NoServer, match="did not start: no database"):
        transport.request("GET", "/x", timeout_seconds=5)
    assert not PrivacyManager().has_consent("ana")


def test_server_that_cannot_be_made_is_an_error_without_its_text(
    install: Install, transport: EmbeddedTransport
) -> None:
    install("broken")

    with pytest.raises(NoServer, match="ValueError") as raised:
        transport.request("GET", "/x", timeout_seconds=5)
    assert "secret" not in str(raised.value)


def test_failure_of_a_server_that_had_started_is_logged_by_its_type(
    install: Install, transport: EmbeddedTransport, caplog: pytest.LogCaptureFixture
) -> None:
    install(source=APPLICATION.replace("return application", "return breaks_later"))

    assert transport.request("GET", "/x", timeout_seconds=5).status == 200
    transport.close()

    assert "The embedded server is gone" in caplog.text
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_fork_stops_the_server_and_both_processes_start_their_own(
    install: Install, diary: Path, transport: EmbeddedTransport
) -> None:
    install()
    transport.request("GET", "/x", timeout_seconds=5)

    child = os.fork()
    if child == 0:
        answered = transport.request("GET", "/x", timeout_seconds=5).status == 200
        transport.close()
        os._exit(not answered)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    transport.request("GET", "/x", timeout_seconds=5)

    written = diary.read_text().splitlines()
    starts = [line.split()[0] for line in written if line.endswith("create")]
    assert sorted(starts) == sorted([str(os.getpid()), str(os.getpid()), str(child)])
