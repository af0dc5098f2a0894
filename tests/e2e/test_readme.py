"""README's steps, executed line by line, and the same in both languages."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import requests

from deployments import prefect_server
from tests.e2e.conftest import ROOT, Home, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LANGUAGES = ("README.md", "README.fr.md")
SERVED = "http://127.0.0.1:8001"
LASTS = ("smartmatch serve", "deployments.py")
"""Commands that run until they are stopped; what was started before them is tried with others."""


def blocks(name: str) -> list[tuple[str, str]]:
    """Return the code of a page: language and text of each block."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def steps() -> list[tuple[str, str]]:
    """Return README's blocks of code that a reader runs after `make demo`."""
    return [
        (language, code)
        for language, code in blocks("README.md")
        if language == "python" or code.startswith((".venv/bin/", "curl "))
    ]


def test_both_languages_have_the_same_code_the_same_parts_and_the_same_links() -> None:
    english, french = (blocks(name) for name in LANGUAGES)
    assert english == french
    shapes = []
    for name in LANGUAGES:
        text = (ROOT / name).read_text(encoding="utf-8")
        links = sorted(set(re.findall(r"\]\(([^)]+)\)", text)) - set(LANGUAGES))
        named = sorted(set(re.findall(r"`smartmatch\s+(\w+)", text)))
        bold = len(re.findall(r"^\*\*\d\.", text, flags=re.MULTILINE))
        shapes.append((text.count("\n## "), bold, text.count("\n| "), len(links), named))
        assert [one for one in links if not (ROOT / one.partition("#")[0]).exists()] == []
    assert shapes[0] == shapes[1]


def lines(code: str) -> list[str]:
    """Return the commands of a block, without what is said of them."""
    joined = code.replace("\\\n", " ").splitlines()
    return [line.partition(" # ")[0].strip() for line in joined if line.strip()]


def lasting() -> list[str]:
    """Return the commands that run until they are stopped."""
    return [
        line for _, code in steps() for line in lines(code) if any(last in line for last in LASTS)
    ]


def test_what_make_is_asked_for_can_be_made() -> None:
    asked = [
        line for _, code in blocks("README.md") for line in lines(code) if line.startswith("make ")
    ]

    assert asked == ["make demo", "make test"]
    for line in asked:
        done = subprocess.run(
            [*shlex.split(line), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_a_command_that_does_not_return_is_the_last_of_its_block() -> None:
    for _, code in steps():
        stays = [any(last in line for last in LASTS) for line in lines(code)]
        assert not any(stays[:-1]), code


@pytest.mark.parametrize("command", lasting())
def test_command_that_lasts_answers_where_it_says_and_ends_when_asked(
    tmp_path: Path, command: str
) -> None:
    program, *arguments = shlex.split(command)
    own = {".venv/bin/smartmatch": ["-m", "cli"], ".venv/bin/python": []}[program]
    port = free_port()
    environment = Home(tmp_path).environment | {"HOST": "127.0.0.1", "PORT": str(port)}
    with ExitStack() as stack:
        if "deployments.py" in arguments:  # its own server would take a port of this machine
            api = stack.enter_context(prefect_server(f"http://127.0.0.1:{free_port()}/api"))
            environment["PREFECT_API_URL"] = api
            pages = [api.removesuffix("/api")]
        else:
            pages = [f"http://127.0.0.1:{port}/{page}" for page in ("docs", "dashboard")]
        # As from a terminal, also where these tests run in the background of a shell, which
        # ignores it.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        started = subprocess.Popen(
            [sys.executable, *own, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        signal.signal(signal.SIGINT, before)
        stack.callback(started.kill)
        assert started.stdout is not None
        said = next(line for line in started.stdout if "http://" in line)
        assert pages[0].removesuffix("/docs") in said
        assert [requests.get(page, timeout=30).status_code for page in pages] == [200] * len(pages)
        started.send_signal(signal.SIGINT)
        assert started.wait(timeout=60) in (0, -signal.SIGINT)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("readme") / "home")


@pytest.fixture(scope="module")
def served(home: Home) -> Iterator[str]:
    """README's server, on a port that is free here."""
    assert home.smartmatch("init").returncode == 0
    with home.serving() as url:
        yield url


@pytest.mark.parametrize("number", range(len(steps())))
def test_step_of_the_readme_does_what_it_says(home: Home, served: str, number: int) -> None:
    language, code = steps()[number]
    if language == "python":
        _run_python(home, code)
        return
    for line in lines(code):
        if not any(last in line for last in LASTS):
            _run_command(home, line.replace(SERVED, served))


def _run_command(home: Home, command: str) -> None:
    parts = shlex.split(command)
    if parts[0] == "curl":
        done = subprocess.run(
            [*parts, "--silent", "--fail-with-body"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    else:
        assert parts[0] == ".venv/bin/smartmatch", parts
        done = home.smartmatch(*parts[1:])
    assert done.returncode == 0, done.stdout + done.stderr


def _run_python(home: Home, code: str) -> None:
    store = home.path / "mlruns" / "mlflow.db"
    code = code.replace("sqlite:///mlruns/mlflow.db", f"sqlite:///{store}")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=home.environment | {"PYTHONPATH": os.fspath(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_was_sent_is_in_the_metric(home: Home, served: str) -> None:
    shown = home.smartmatch("metrics", "acceptance", "--json")
    assert shown.returncode == 0, shown.stderr
    figures = json.loads(shown.stdout)
    # One by the client, one by curl, which alone is decided.
    assert (figures["total_proposed"], figures["total_decided"]) == (2, 1)
    assert (figures["total_accepted"], figures["orphan_decisions"]) == (1, 0)
