"""The terminal: results to standard output, all else beside it, progress that cannot fail."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime

import msgspec
import pytest

import console
from schemas.errors import NotReady


def test_what_is_said_stays_out_of_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("Ready.")

    assert capsys.readouterr() == ("", "Ready.\n")


def test_a_mapping_is_written_as_lines_of_name_and_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.result({"read": 3, "rejected": {"a": 1, "b": {"c": 2}}, "none": None}, as_json=False)

    assert capsys.readouterr().out == "read: 3\nrejected.a: 1\nrejected.b.c: 2\nnone: none\n"


def test_what_is_absent_is_called_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"count": None, "none": [], "bands": [{"decided": None}]}
    console.result(value, as_json=False, absent="masked")

    assert capsys.readouterr().out == "count: masked\nnone: none\nbands:\n  decided masked\n"


def test_a_person_reads_figures_not_digits(capsys: pytest.CaptureFixture[str]) -> None:
    rate = {"value": 0.20654931437723745, "lower": 0.1, "upper": 1.0, "count": 17}
    band = {"from": 0.0, "decided": 2, "rate": None}

    console.result(
        {
            "score": 0.7016014406183979,
            "bytes": 123456.7,
            "rate": rate,
            "interval": (0.123456, 1.0),
            "bands": [band, {**band, "rate": rate}],
            "found": [],
            "agree": True,
            "models": {"": {"proposed": 2}},
        },
        as_json=False,
    )

    assert capsys.readouterr().out.splitlines() == [
        "score: 0.7016",
        "bytes: 123457",
        "rate: 0.2065 (0.1 to 1) of 17",
        "interval: 0.1235, 1",
        "bands:",
        "  from 0, decided 2, rate none",
        "  from 0, decided 2, rate 0.2065 (0.1 to 1) of 17",
        "found: none",
        "agree: yes",
        "models.(none).proposed: 2",
    ]


@pytest.mark.parametrize("value", [{"a": {"b": [1, 2.5, None]}}, [{"a": 1}], []])
def test_a_program_gets_the_same_value_as_json(
    value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    console.result(value, as_json=True)

    assert msgspec.json.decode(capsys.readouterr().out) == value


def test_a_list_is_json_for_people_too(capsys: pytest.CaptureFixture[str]) -> None:
    console.result([{"version": "1"}], as_json=False)

    assert msgspec.json.decode(capsys.readouterr().out) == [{"version": "1"}]


def test_a_time_is_written_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    console.result({"at": datetime(2026, 1, 1, tzinfo=UTC)}, as_json=True)

    assert msgspec.json.decode(capsys.readouterr().out)["at"].startswith("2026-01-01")


def test_a_table_shows_title_header_and_every_cell_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.table("Turns", ["turn", "accepted"], [[1, "[bold]12[/bold]"], ["[/x]", 0.5]])

    shown = capsys.readouterr().out
    for text in ("Turns", "turn", "accepted", "[bold]12[/bold]", "[/x]", "0.5"):
        assert text in shown


def test_the_bar_asks_what_remains_and_stops_asking_when_the_work_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "POLL_SECONDS", 0.01)
    asked: list[float] = []

    def remaining() -> int:
        asked.append(time.monotonic())
        return 5

    with console.working("processing", remaining):
        deadline = time.monotonic() + 60
        while len(asked) < 3 and time.monotonic() < deadline:
            time.sleep(0.005)
    number = len(asked)
    time.sleep(0.05)

    assert number >= 3
    assert len(asked) == number
    assert capsys.readouterr().out == ""


def test_a_store_that_cannot_be_asked_does_not_disturb_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(console, "POLL_SECONDS", 0.01)
    asked: list[int] = []

    def remaining() -> int:
        asked.append(1)
        if len(asked) == 2:
            raise NotReady("the database did not answer")
        return 1

    with console.working("processing", remaining):
        deadline = time.monotonic() + 60
        while len(asked) < 4 and time.monotonic() < deadline:
            time.sleep(0.005)

    assert len(asked) >= 4


def test_an_error_of_the_work_comes_through_and_ends_the_bar() -> None:
    before = set(threading.enumerate())

    with pytest.raises(NotReady), console.working("processing", lambda: 1):
        raise NotReady("locked")

    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_steps_are_moved_on_by_hand_and_leave_nothing_in_a_pipe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.steps("replaying") as move:
        for done in range(3):
            move(done, 3, f"evening {done}")

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_work_that_is_told_to_end_cleans_up_and_exits(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    ended = []

    def work() -> None:
        with console.working("processing"), ExitStack() as started:
            started.callback(ended.append, number)
            os.kill(os.getpid(), number)
            time.sleep(5)

    with pytest.raises(SystemExit) as told:
        work()

    assert (told.value.code, ended) == (128 + number, [number])
    assert signal.getsignal(number) is before
