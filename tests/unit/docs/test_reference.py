"""The reference page names every command, route and setting that exists, and no other.

Run as a script, it writes the page anew.
"""

from __future__ import annotations

import re
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from cli import main
from ingest_api import create_app
from schemas.settings import CHECKOUT, Settings
from warehouse.setup import set_up_database

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = CHECKOUT / "docs" / "reference.md"
PAGES = sorted(
    path
    for path in (*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md"))
    if path.name != "CHANGELOG.md"
)
INTRODUCTION = """# Reference

Every command, route and setting. `python tests/unit/docs/test_reference.py` writes it; a test holds
it to the code.
"""


def commands(group: click.Group = main, before: str = "smartmatch") -> Iterator[tuple[str, str]]:
    """Yield every command that a person sees, with its first sentence."""
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}", _first(command.help or "")


def routes() -> Iterator[tuple[str, str, str]]:
    """Yield every route: method, path, summary."""
    for path, methods in sorted(_described()["paths"].items()):
        for method, told in sorted(methods.items()):
            yield method.upper(), path, _first(told.get("summary") or told.get("description") or "")


def variables() -> Iterator[tuple[str, str, str]]:
    """Yield every setting: variable, default, meaning."""
    for name, field in Settings.model_fields.items():
        variable = name.upper() if name in ("host", "port") else f"SMARTMATCH_{name.upper()}"
        default = field.default
        if isinstance(default, Path) or default in (None, (), ""):
            default = ""
        yield variable, str(default), str(field.description)


def page() -> str:
    """Write the page."""
    parts = [INTRODUCTION, "\n## Commands\n\n| command | what |\n|---|---|\n"]
    parts += [f"| `{name}` | {told} |\n" for name, told in commands()]
    parts.append("\n## Routes\n\n| route | what |\n|---|---|\n")
    parts += [f"| `{method} {path}` | {told} |\n" for method, path, told in routes()]
    parts.append("\n## Settings\n\n| variable | default | what |\n|---|---|---|\n")
    parts += [f"| `{name}` | {default} | {told} |\n" for name, default, told in variables()]
    return "".join(parts)


def _first(text: str) -> str:
    """Return the first sentence, on one line."""
    return " ".join(text.split()).partition(". ")[0].rstrip(".") + "."


@cache
def _described() -> dict[str, Any]:
    """Read the OpenAPI page of an empty installation."""
    with tempfile.TemporaryDirectory() as folder:
        url = SecretStr(f"sqlite:///{Path(folder) / 'reference.db'}")
        settings = Settings(home=Path(folder), database_url=url)
        set_up_database(settings)
        client = TestClient(
            create_app(settings), base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)
        )
        with client:
            found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def test_reference_is_that_of_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def calls(text: str) -> list[str]:
    """Return what follows `smartmatch` in a page: in a phrase, and on the lines of its code."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    phrases = re.findall(r"`smartmatch\s+([^`]+)`", prose)
    lines = re.findall(r"^(?:\S*/)?smartmatch +(.+)$", "\n".join(fenced), flags=re.MULTILINE)
    return phrases + [line.partition(" #")[0] for line in lines]


def unknown(call: str) -> list[str]:
    """Name the commands and options of a call that do not exist."""
    command: click.Command = main
    words = call.split()
    while words and isinstance(command, click.Group):
        names = words.pop(0).split("|")
        known = {name: one for name, one in command.commands.items() if not one.hidden}
        if missing := [name for name in names if name not in known]:
            return missing
        command = known[names[0]]
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    given = {word.partition("=")[0].strip("[],;") for word in words if word.startswith("--")}
    return sorted(given - options - {"--help"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("`smartmatch frobnicate`", ["frobnicate"]),
        ("`smartmatch keys rotatte ID`", ["rotatte"]),
        ("`smartmatch\nerase --pendingg`", ["--pendingg"]),
        ("```\n.venv/bin/smartmatch frobnicate  # why\n```\n", ["frobnicate"]),
        ("```\nsmartmatch keys create --nam x\n```\n", ["--nam"]),
        ("`smartmatch pseudonym-keys list|rotated|destroy`", ["rotated"]),
        ("`smartmatch erase --pending`, `smartmatch keys list`", []),
    ],
)
def test_a_planted_command_or_option_is_found(text: str, found: list[str]) -> None:
    assert [named for one in calls(text) for named in unknown(one)] == found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_route_and_setting_that_a_page_names_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [named for one in calls(text) for named in unknown(one)] == []
    patterns = [re.sub(r"\{\w+\}", r"[^/\\s`]+", one) for _, one, _ in routes()]
    for named in re.findall(r"(/api/[\w/{}.-]+)", text):
        asked = named.rstrip(".")
        assert any(
            re.fullmatch(one, asked) or one.startswith(asked.rstrip("/") + "/") for one in patterns
        ), named
    settings = {name for name, _, _ in variables()}
    others = {
        "SMARTMATCH_URL",
        "SMARTMATCH_API_KEY",
        "SMARTMATCH_SPOOL",
        "SMARTMATCH_DECISIONS_CSV",
    }
    for named in re.findall(r"\bSMARTMATCH_[A-Z_]+\b", text):
        assert named in settings | others or named.endswith("_"), named


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} is written\n")
