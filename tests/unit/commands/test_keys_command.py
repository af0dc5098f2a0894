"""``smartmatch keys``: what a person reads, and what a program does."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cli import main
from commands.shared import EXIT_FAILED
from schemas.settings import Settings
from tests.population import answer
from warehouse.engine import connect
from warehouse.setup import set_up_database

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation of its own, with one key."""
    monkeypatch.setenv("SMARTMATCH_HOME", str(tmp_path))
    set_up_database(Settings())
    call("create", "--name", "platform", "--scope", "metrics", "--scope", "ingest")


def call(*arguments: str) -> str:
    done = CliRunner().invoke(main, ["keys", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_person_reads_a_row_a_key_with_times_of_the_clock() -> None:
    (told,) = json.loads(call("list", "--json"))

    listed = call("list")

    (row,) = [line for line in listed.splitlines() if told["key_id"] in line]
    assert "platform" in row
    assert "ingest, metrics" in row
    assert str(told["created_at"]) not in listed
    assert ":" in row


def test_a_revoked_key_is_seen_to_be_revoked() -> None:
    (told,) = json.loads(call("list", "--json"))
    call("revoke", told["key_id"])

    (row,) = [line for line in call("list").splitlines() if told["key_id"] in line]

    assert row.count(":") == 2


def test_no_pseudonym_key_is_made_that_begins_in_years(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    answer(connect(Settings().url), "anybody", "analytics", at=now // 1_000)

    with monkeypatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: now + 10 * 365 * 86_400 * 10**9)
        refused = CliRunner().invoke(main, ["pseudonym-keys", "rotate"])
    done = CliRunner().invoke(main, ["pseudonym-keys", "rotate"])

    assert refused.exit_code == EXIT_FAILED
    assert "by the clock" in refused.output
    assert done.exit_code == 0, done.output
