"""The examples do what they say, as a reader runs them."""

from __future__ import annotations

import subprocess
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import nbformat
import pytest
from nbclient import NotebookClient

from tests.browsing import browser
from tests.e2e.conftest import ROOT, Home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which the whole platform ran once."""
    home = Home(tmp_path_factory.mktemp("examples") / "home")
    done = home.run("examples/whole_platform.py", PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert "120 decisions" in done.stdout
    return home


def test_whole_platform_ends_with_figures_and_a_retrained_model(lived_in: Home) -> None:
    shown = lived_in.smartmatch("versions")
    assert shown.returncode == 0, shown.stderr
    assert "champion" in shown.stdout + shown.stderr


def test_notebook_reads_the_figures_and_the_registry(
    lived_in: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lived_in.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(EXAMPLES / "figures_and_models.ipynb", as_version=4)
    NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(ROOT)}}).execute()

    shown = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    assert "acceptance_rate" in shown
    assert "p_accept" in shown
    assert "champion" in shown


def test_curl_calls_are_all_answered(lived_in: Home) -> None:
    with lived_in.serving() as url:
        done = subprocess.run(
            ["bash", str(EXAMPLES / "calls.sh"), url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('"event_id"') == 4
    assert '"total_decided"' in done.stdout


class _Forwarder(BaseHTTPRequestHandler):
    """The platform's own server: gives out the page, and passes events on."""

    def __init__(self, *arguments: Any, url: str, passed: list[tuple[str, int]]) -> None:
        self._url, self._passed = url, passed
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self._reply(200, (EXAMPLES / "browser.html").read_bytes(), "text/html")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {"content-type": self.headers["content-type"]}
        answer = httpx.post(f"{self._url}{self.path}", content=body, headers=headers)
        self._passed.append((self.path.rpartition("/")[2], answer.status_code))
        self._reply(answer.status_code, answer.content, "application/json")

    def _reply(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def page(lived_in: Home) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Address of the page, and what it sent: route and status."""
    passed: list[tuple[str, int]] = []
    with lived_in.serving() as url:
        handler = partial(_Forwarder, url=url, passed=passed)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", passed
        server.shutdown()
        server.server_close()


def test_page_sends_nothing_before_a_yes_and_nothing_after_a_no(
    page: tuple[str, list[tuple[str, int]]], tmp_path: Path
) -> None:
    address, passed = page
    with browser(tmp_path / "profile") as chromium:
        chromium.open(address)
        click = partial(chromium.run, "document.getElementById(arguments[0]).click()")
        click("yes")
        time.sleep(0.3)
        assert passed == []
        click("consent")
        _wait(passed, 1)
        click("yes")
        _wait(passed, 2)
        click("consent")
        _wait(passed, 3)
        click("no")
        time.sleep(0.3)

    assert passed == [("consent", 200), ("match-decision", 200), ("consent", 200)]


def _wait(passed: list[tuple[str, int]], count: int) -> None:
    deadline = time.monotonic() + 20
    while len(passed) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
