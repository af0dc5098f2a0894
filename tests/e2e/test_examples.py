"""The examples do what they say, as a reader runs them."""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import nbformat
import pytest
from nbclient import NotebookClient
from pydantic import SecretStr

from tests.browsing import browser
from tests.e2e.conftest import ROOT, Home
from warehouse.engine import connect
from warehouse.training import read_training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EXAMPLES = ROOT / "examples"
PERSON, CONSENT = "u-17", "/api/tracking/consent"
PROPOSED = "/api/tracking/event/match-proposed"
DECISIONS = 120
"""Of the whole platform, all of people who allow improvement."""


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which the whole platform ran once."""
    home = Home(tmp_path_factory.mktemp("examples") / "home")
    done = home.run("examples/whole_platform.py", PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert f"{DECISIONS} decisions" in done.stdout
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


def _calls(url: str, *key: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(EXAMPLES / "calls.sh"), url, *key],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_curl_calls_are_all_answered(lived_in: Home) -> None:
    with lived_in.serving() as url:
        done = _calls(url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count('"event_id"') == 4
    assert f'"total_decided":{DECISIONS},' in done.stdout
    assert "smartmatch process" in done.stdout


def test_curl_calls_end_well_with_a_key_and_say_what_the_figure_asks_for(home: Home) -> None:
    keys = {scope: _key(home, scope) for scope in ("ingest", "metrics")}
    with home.serving() as url:
        sent, refused = (_calls(url, key) for key in keys.values())
        unknown = _calls(url, "sm_none")
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert sent.stdout.count('"event_id"') == 4
    assert '"total_decided"' not in sent.stdout
    assert "--scope metrics" in sent.stdout
    # Whatever else goes wrong still ends them.
    assert refused.returncode == unknown.returncode == 22


def test_figure_of_curl_is_shown_to_a_key_of_both_scopes(home: Home) -> None:
    key = _key(home, "ingest", "metrics")
    with home.serving() as url:
        done = _calls(url, key)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"total_decided"' in done.stdout


def _key(home: Home, *scopes: str) -> str:
    """Make a key as the guide says, in a home that may be new."""
    assert home.smartmatch("db", "upgrade").returncode == 0
    asked = [word for scope in scopes for word in ("--scope", scope)]
    made = home.smartmatch("keys", "create", "--name", "platform", *asked)
    assert made.returncode == 0, made.stderr
    return made.stdout.split()[-1]


class _Forwarder(BaseHTTPRequestHandler):
    """The platform's own server: gives out the page, and passes events on."""

    def __init__(self, *arguments: Any, url: str, passed: list[tuple[str, int]]) -> None:
        self._url, self._passed = url, passed
        super().__init__(*arguments)

    def do_GET(self) -> None:
        if self.path == "/":
            self._reply(200, (EXAMPLES / "browser.html").read_bytes(), "text/html")
        else:
            answer = httpx.get(f"{self._url}{self.path}")
            self._reply(answer.status_code, answer.content, "application/json")

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


@dataclass
class Page:
    """The page as it is given out, the server behind it, and what it sent: route and status."""

    address: str
    server: str
    passed: list[tuple[str, int]]

    def answer(self, **purposes: bool) -> None:
        """Record what the person of the page allows, as they said it elsewhere."""
        body = {"user_id": PERSON, **purposes}
        assert httpx.post(f"{self.server}{CONSENT}", json=body).status_code == 200

    def options(self) -> dict[str, bool]:
        """Read what the person of the page allows now."""
        found: dict[str, bool] = httpx.get(f"{self.server}{CONSENT}/{PERSON}").json()["options"]
        return found

    def sent(self, count: int) -> list[tuple[str, int]]:
        """Wait until so much was sent, and a little for what should not be."""
        deadline = time.monotonic() + 20
        while len(self.passed) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        return self.passed


@pytest.fixture
def page(lived_in: Home) -> Iterator[Page]:
    passed: list[tuple[str, int]] = []
    with lived_in.serving() as url:
        handler = partial(_Forwarder, url=url, passed=passed)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Page(f"http://127.0.0.1:{server.server_port}/", url, passed)
        server.shutdown()
        server.server_close()


@contextmanager
def looking_at(page: Page, profile: Path) -> Iterator[Callable[[str], None]]:
    """Open the page, and yield what clicks on an element of it."""
    with browser(profile) as chromium:
        chromium.open(page.address)
        ready = "return !document.getElementById('consent').disabled"

        def click(element: str) -> None:
            deadline = time.monotonic() + 20
            while not chromium.run(ready) and time.monotonic() < deadline:
                time.sleep(0.05)
            chromium.run("document.querySelector(arguments[0]).click()", element)

        yield click


def test_page_sends_nothing_before_a_yes_and_nothing_after_a_no(page: Page, tmp_path: Path) -> None:
    page.answer(analytics=False)
    with looking_at(page, tmp_path / "profile") as click:
        click("#yes")
        assert page.sent(0) == []
        click("[name=analytics]")
        page.sent(1)
        click("#yes")
        page.sent(2)
        click("[name=analytics]")
        page.sent(3)
        click("#no")

        assert page.sent(3) == [("consent", 200), ("match-decision", 200), ("consent", 200)]


def test_page_keeps_what_was_allowed_elsewhere_and_its_decisions_are_learned_from(
    page: Page, lived_in: Home, tmp_path: Path
) -> None:
    page.answer(analytics=False, improvement=True, preferences=True)
    with looking_at(page, tmp_path / "profile") as click:
        click("[name=analytics]")
        page.sent(1)
        assert page.options() == {"analytics": True, "improvement": True, "preferences": True}
        proposal = {"user_id": PERSON, "match_id": "m-204", "match_score": 0.8}
        assert httpx.post(f"{page.server}{PROPOSED}", json=proposal).status_code == 200
        click("#yes")
        page.sent(2)
    assert lived_in.smartmatch("process").returncode == 0
    assert _learnable(lived_in) == DECISIONS + 1


def test_page_asks_for_each_purpose_by_itself(page: Page, tmp_path: Path) -> None:
    page.answer(analytics=True, improvement=False, preferences=True)
    with looking_at(page, tmp_path / "profile") as click:
        click("[name=improvement]")
        page.sent(1)
        assert page.options() == {"analytics": True, "improvement": True, "preferences": True}
        click("[name=improvement]")
        page.sent(2)

    assert page.options() == {"analytics": True, "improvement": False, "preferences": True}


def _learnable(home: Home) -> int:
    """Count the decisions that a retrain would learn from now."""
    engine = connect(SecretStr(f"sqlite:///{home.path / 'data' / 'smartmatch.db'}"))
    frame = read_training(engine, since_day=0, as_of=datetime.now(UTC)).frame
    return int(frame["accepted"].notna().sum())
