"""``smartmatch consent show``: what a person allowed, at any moment."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING

from click.testing import CliRunner

from cli import main
from ingest import people
from schemas.settings import Settings
from tests.serving import client_of
from warehouse.setup import set_up_database

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PERSON = "person 17"


def shown(*arguments: str, person: str = PERSON) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["consent", "show", "--user-id", person, *arguments])
    return done.exit_code, done.output


def test_the_state_before_and_after_a_withdrawal_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(tmp_path))
    settings = Settings()
    set_up_database(settings)
    moments = [datetime.now(UTC)]
    with client_of(settings) as client:
        for answer in ({"analytics": True, "improvement": True}, {"analytics": True}, {}):
            body = {"user_id": PERSON, **answer}
            assert client.post("/api/tracking/consent", json=body).status_code == 200
            moments.append(datetime.now(UTC))

    told = []
    for moment in moments:
        code, output = shown("--at", moment.isoformat(), "--json")
        assert code == 0
        told.append(json.loads(output))
    code, now = shown("--json")

    purposes = ("analytics", "preferences", "improvement")
    allowed = [(True, False, True), (True, False, False), (False, False, False)]
    assert [one["at"] for one in told] == [moment.isoformat() for moment in moments]
    assert [one["options"] for one in told] == [
        None,
        *(dict(zip(purposes, answer, strict=True)) for answer in allowed),
    ]
    assert (code, json.loads(now)["options"]) == (0, told[-1]["options"])


def test_a_withdrawal_counts_though_the_clock_was_ahead_for_the_answer_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(tmp_path))
    settings = Settings()
    set_up_database(settings)
    ahead = SimpleNamespace(time_ns=lambda: time.time_ns() + 300 * 86_400 * 10**9)
    with client_of(settings) as client:
        for user, clock, allowed in (
            (PERSON, time, True),
            ("someone else", ahead, True),
            (PERSON, time, False),
        ):
            monkeypatch.setattr(people, "time", clock)
            body = {"user_id": user, "analytics": allowed}
            assert client.post("/api/tracking/consent", json=body).status_code == 200

    allowed_now = [
        json.loads(shown("--json", person=person)[1])["options"]["analytics"]
        for person in (PERSON, "someone else")
    ]

    assert allowed_now == [False, True]


def test_a_moment_without_offset_and_an_unknown_person_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(tmp_path))
    set_up_database(Settings())

    assert shown("--at", "2026-01-01T00:00:00")[0] == 2
    code, output = shown(person="nobody 4711")
    assert code == 1
    assert "nobody 4711" not in output
