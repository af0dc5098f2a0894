"""The reference page names every command, route and setting that exists, and no other.

Run as a script, it writes the page anew.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from pydantic import AliasChoices

from cli import main
from schemas.settings import CHECKOUT, Settings
from tests.unit.docs.routes import bounds, first_sentence, paths, tables

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = CHECKOUT / "docs" / "reference.md"
PAGES = sorted(
    path
    for path in (*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md"))
    if path.name != "CHANGELOG.md"
)
INTRODUCTION = """# Reference

Every command, route and setting. `python -m tests.unit.docs.test_reference` writes it; a test
holds it to the code.
"""
OTHERS_HEAD = """
## Other variables

Read beside the settings, from the environment alone (not from `.env`). `schemas/environment.py` has
the variables of Prefect, MLflow and Great Expectations that are set where you have not set them: no
telemetry, one home.

| variable | what |
|---|---|
"""
OTHERS = {
    "SMARTMATCH_URL": "Server that the client sends to; the embedded one when empty.",
    "SMARTMATCH_API_KEY": "Key of scope `ingest` that the client presents.",
    "SMARTMATCH_SPOOL": "File or directory of the client's spool; in the home, or in the user's "
    "state, when empty.",
    "XDG_STATE_HOME": "The user's state, where the spool lies without a home; `~/.local/state` "
    "when empty.",
    "PREFECT_API_URL": "API of the Prefect server that flows are registered with and run on; that "
    "of `smartmatch up`, or one for each command, when empty.",
    "PREFECT_API_AUTH_STRING": "`user:password`, where that server asks for one.",
    "PREFECT_HOME": "Directory of Prefect's own database; data/prefect when empty.",
    "PREFECT_API_DATABASE_CONNECTION_URL": "Prefect's own database, where it lies elsewhere.",
}
READ = re.compile(r"""environ(?:\.get\(|\[)\s*["']([A-Z_]+)["']""")


def commands(group: click.Group = main, before: str = "smartmatch") -> Iterator[tuple[str, str]]:
    """Yield every command that a person sees, with its first sentence."""
    for name, command in sorted(group.commands.items()):
        if command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}", first_sentence(command.help or "")


def variables() -> Iterator[tuple[list[str], str, str]]:
    """Yield every setting: its variables, default, meaning."""
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        names = alias.choices if isinstance(alias, AliasChoices) else [f"SMARTMATCH_{name.upper()}"]
        default = field.default
        if isinstance(default, Path) or default in (None, (), ""):
            default = ""
        yield [str(one) for one in names], str(default), str(field.description)


def page() -> str:
    """Write the page."""
    parts = [INTRODUCTION, "\n## Commands\n\n| command | what |\n|---|---|\n"]
    parts += [f"| `{name}` | {told} |\n" for name, told in commands()]
    parts.append(tables())
    parts.append("\n## Settings\n\n| variable | default | what |\n|---|---|---|\n")
    parts += [
        f"| {' or '.join(f'`{name}`' for name in names)} | {default} | {told} |\n"
        for names, default, told in variables()
    ]
    parts.append(OTHERS_HEAD)
    parts += [f"| `{name}` | {told} |\n" for name, told in OTHERS.items()]
    return "".join(parts)


def test_reference_is_that_of_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_contributors_are_told_the_command_that_writes_it() -> None:
    told = re.search(r"`python (-m [\w.]+)` writes it", INTRODUCTION)

    assert told is not None
    assert told[1] == f"-m {Path(__file__).relative_to(CHECKOUT).with_suffix('')}".replace("/", ".")
    assert told[1] in (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def variables_read() -> set[str]:
    """Return the variables that the code asks the environment for."""
    files = [*CHECKOUT.glob("*.py"), *CHECKOUT.glob("[!.]*/**/*.py")]
    read = [
        READ.findall(path.read_text(encoding="utf-8"))
        for path in files
        if path.relative_to(CHECKOUT).parts[0] not in {"tests", "benchmarks", "build"}
    ]
    return {name for names in read for name in names}


def test_every_variable_that_is_read_is_a_setting_or_named_and_no_other() -> None:
    settings = {name for names, _, _ in variables() for name in names}

    assert variables_read() - settings == set(OTHERS)


def test_host_and_port_are_known_by_both_of_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {name for names, _, _ in variables() for name in names}
    for name in ("HOST", "PORT"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(f"SMARTMATCH_{name}", "8123")
        assert {name, f"SMARTMATCH_{name}"} <= told
        assert str(getattr(Settings(), name.lower())) == "8123"


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 5}, "whole number from 1 to 5"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "number above 0, to 1"),
        (
            {"type": "string", "minLength": 1, "maxLength": 2048, "pattern": "^a$"},
            "text of 1 to 2,048 characters, `^a$`",
        ),
        ({"anyOf": [{"enum": ["en", "fr"]}, {"type": "null"}]}, "`en` or `fr`, or null"),
        ({"type": "array", "maxItems": 20, "items": {"$ref": "#/a/B"}}, "list of at most 20: `B`"),
    ],
)
def test_bounds_of_a_field_are_said(schema: dict[str, Any], said: str) -> None:
    assert bounds(schema) == said


def test_a_route_is_there_with_its_scope_its_fields_and_its_replies() -> None:
    text = PAGE.read_text(encoding="utf-8")

    for line in (
        "| `POST /api/privacy/export` | body | `format` | `csv` or `json` | json |",
        "| `GET /api/metrics/drift` | query | `days` | whole number from 1 to 760 | 30 |",
        "| `GET /openapi.json` | any | The same for programs: the OpenAPI document. | 200 |",
    ):
        assert f"\n{line}\n" in text
    assert re.search(
        r"\| `POST /api/privacy/erasure` \| `privacy` \| .* \| 202 `ErasureReply`,", text
    )


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
    patterns = [re.sub(r"\{\w+\}", r"[^/\\s`]+", one) for one in paths()]
    for named in re.findall(r"(/api/[\w/{}.-]+)", text):
        asked = named.rstrip(".")
        assert any(
            re.fullmatch(one, asked) or one.startswith(asked.rstrip("/") + "/") for one in patterns
        ), named
    known = {name for names, _, _ in variables() for name in names}
    known |= {*OTHERS, "SMARTMATCH_DECISIONS_CSV"}
    for named in re.findall(r"\bSMARTMATCH_[A-Z_]+\b", text):
        assert named in known or named.endswith("_"), named


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} is written\n")
