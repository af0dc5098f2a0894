"""README's steps, executed line by line, and the same in both languages."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import ROOT, Home

if TYPE_CHECKING:
    from collections.abc import Iterator

LANGUAGES = ("README.md", "README.fr.md")
SERVED = "http://127.0.0.1:8001"
LASTS = ("smartmatch serve", "deployments.py")
"""Commands that run until they are stopped; the first is served here, the other tried elsewhere."""


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
    for line in code.replace("\\\n", " ").splitlines():
        command = line.partition(" # ")[0].strip()
        if command and not any(last in command for last in LASTS):
            _run_command(home, command.replace(SERVED, served))


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
