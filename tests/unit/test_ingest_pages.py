"""The dashboard route: its headers, its language, and no more of the time than its share."""

from __future__ import annotations

import queue
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ingest import pages
from ingest.pages import VALIDATION, Pages
from ingest.replies import Refused
from ingest.service import Service
from schemas.clock import micros
from tests.serving import client_of
from warehouse.keyfile import make_ring
from warehouse.validations import Checked, directory, record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.in_process import Client


@pytest.fixture
def client(settings: Settings, engine: Engine) -> Iterator[Client]:
    with client_of(settings) as called:
        yield called


@pytest.fixture
def drawn(settings: Settings, engine: Engine) -> Iterator[Pages]:
    make_ring(settings.keys, 0)
    service = Service(settings)
    yield Pages(service)
    service.close()


def test_page_is_kept_from_other_pages_caches_and_frames(client: Client) -> None:
    answer = client.get("/dashboard")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("; frame-ancestors 'none'")
    assert "unsafe" not in policy
    assert {
        name: answer.headers[name]
        for name in (
            "cache-control",
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "cross-origin-resource-policy",
        )
    } == {
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
    }
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("query", "accepted", "language"),
    [("", "fr-FR,fr;q=0.9", "fr"), ("", "de", "en"), ("?lang=fr", "en", "fr")],
)
def test_language_is_that_of_the_reader(
    client: Client, query: str, accepted: str, language: str
) -> None:
    answer = client.get(f"/dashboard{query}", headers={"accept-language": accepted})

    assert answer.headers["content-language"] == language
    assert f'<html lang="{language}">' in answer.text
    assert "Accept-Language" in answer.headers["vary"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("days=0", "days"),
        ("days=9999", "days"),
        ("days=x", "days"),
        ("days=1&days=30", "days"),
        ("lang=<b>", "lang"),
        ("lang=en&lang=fr", "lang"),
        ("day=7", "query"),
        ("lang=fr&day=7", "query"),
    ],
)
def test_what_breaks_a_rule_is_named_and_not_repeated(
    client: Client, query: str, field: str
) -> None:
    answer = client.get(f"/dashboard?{query}")

    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["detail"]] == [field]
    assert "<b>" not in answer.text


def test_page_reloaded_in_haste_is_not_drawn_again(drawn: Pages) -> None:
    def ask(days: int = 30) -> bytes:
        return bytes(drawn.show(days, "en", None, published=False).body)

    first = ask()
    drawn._held = {key: (made, page + "<!-- held -->") for key, (made, page) in drawn._held.items()}

    assert first != ask()
    assert ask().endswith(b"<!-- held -->")
    assert not ask(7).endswith(b"<!-- held -->")
    drawn._held = {key: (made - 2.1, page) for key, (made, page) in drawn._held.items()}
    assert not ask().endswith(b"<!-- held -->")


def test_exact_page_is_never_handed_to_who_may_see_published_figures(drawn: Pages) -> None:
    exact, published = (
        bytes(drawn.show(30, "en", None, published=flag).body) for flag in (False, True)
    )

    assert b"Exact figures." in exact
    assert b"Published figures." in published


def test_validation_is_told_exactly_or_rounded_and_kept_apart_from_the_dashboard(
    drawn: Pages, settings: Settings
) -> None:
    checked = Checked("staged_events", 4_321, ("rating: must be at most 5",), {})
    record(directory(settings), micros(datetime.now(UTC)), [checked])

    exact, published = (
        bytes(drawn.show(30, "en", None, published=flag, subject=VALIDATION).body)
        for flag in (False, True)
    )

    assert b"4,321" in exact
    assert b"4,321" not in published
    assert b"4,320 or more" in published
    assert b"Validation over time</h1>" not in drawn.show(30, "en", None, published=False).body


def test_drawing_leaves_most_of_the_time_to_others(drawn: Pages) -> None:
    drawn.show(30, "en", None, published=False)
    begun, used = time.monotonic(), time.thread_time()
    for days in range(1, 13):
        drawn.show(days, "en", None, published=False)

    # A thread's own time, so that a busy machine does not decide.
    assert time.thread_time() - used < (time.monotonic() - begun) * 2 * pages.SHARE


def test_crowd_of_readers_is_told_to_come_again(
    drawn: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that a busy machine does not decide: who waits is not refused for waiting long.
    monkeypatch.setattr(pages, "_PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(pages, "SHARE", 1.0)
    answers: queue.Queue[int] = queue.Queue()

    def ask(days: int) -> None:
        try:
            answers.put(drawn.show(days, "en", None, published=False).status_code)
        except Refused as refused:
            answers.put(refused.refusal.status)

    readers = [threading.Thread(target=ask, args=(days,)) for days in range(1, 11)]
    with drawn._lock:  # as if a page were being drawn
        for reader in readers:
            reader.start()
        turned_away = [answers.get(timeout=30) for _ in range(10 - pages.MOST_WAITING)]
    for reader in readers:
        reader.join()

    assert turned_away == [503] * (10 - pages.MOST_WAITING)
    assert list(answers.queue) == [200] * pages.MOST_WAITING
