"""What each validation came to: kept as counts, told by day, rounded where it is published."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.clock import micros
from schemas.errors import BatchUnusable
from tasks import validation
from warehouse.old_files import delete_old_files
from warehouse.validations import Checked, add_up, read, record, record_unusable

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
RULES = ("rating: must be at most 5", "kind: must be one that events have")
RATING, KIND = RULES


def found(rows: int, **broken: int) -> Checked:
    names = {"rating": RATING, "kind": KIND}
    return Checked("staged_events", rows, RULES, {names[name]: n for name, n in broken.items()})


def told(where: Path, *, days: int = 30, published: bool = False) -> dict[str, Any]:
    figures = read(where, days, NOW, smallest=10, published=published)
    suites: dict[str, Any] = figures["suites"]
    return suites


def note(where: Path, days_ago: float, *checked: Checked) -> None:
    record(where, micros(NOW - timedelta(days=days_ago)), checked)


def test_runs_are_told_by_day_newest_first_and_rules_that_held_are_named(tmp_path: Path) -> None:
    note(tmp_path, 1, found(100, rating=3))
    note(tmp_path, 0.2, found(50))
    note(tmp_path, 0.1, found(70, rating=2))

    suite = told(tmp_path)["staged_events"]

    assert suite["days"] == [
        {"day": "2026-11-25", "runs": 2, "unusable": 0, "rows": 120, "broken": {RATING: 2}},
        {"day": "2026-11-24", "runs": 1, "unusable": 0, "rows": 100, "broken": {RATING: 3}},
    ]
    assert suite["rules"] == {
        RATING: {"rows": 5, "last": "2026-11-25"},
        KIND: {"rows": 0, "last": None},
    }
    assert [(run["rows"], run["broken_rules"]) for run in suite["runs"]] == [
        (70, 1),
        (50, 0),
        (100, 1),
    ]


def test_what_is_published_is_rounded_and_lists_no_run(tmp_path: Path) -> None:
    note(tmp_path, 0, found(57, rating=23, kind=9))

    suite = told(tmp_path, published=True)["staged_events"]

    assert suite == {
        "days": [
            {"day": "2026-11-25", "runs": 1, "unusable": 0, "rows": 50, "broken": {RATING: 20}}
        ],
        "rules": {RATING: {"rows": 20, "last": "2026-11-25"}, KIND: {"rows": 0, "last": None}},
        "runs": [],
    }


def test_days_of_few_are_published_neither_in_the_sum_nor_as_the_last(tmp_path: Path) -> None:
    note(tmp_path, 2, found(40, rating=19))
    note(tmp_path, 1, found(40, rating=9))
    note(tmp_path, 0, found(40, rating=1))

    exact, shown = (
        told(tmp_path, published=flag)["staged_events"]["rules"][RATING] for flag in (False, True)
    )

    assert exact == {"rows": 29, "last": "2026-11-25"}
    assert shown == {"rows": 10, "last": "2026-11-23"}


def test_window_leaves_out_older_days(tmp_path: Path) -> None:
    note(tmp_path, 7, found(10, kind=1))
    assert told(tmp_path, days=7) == {}
    assert told(tmp_path, days=8)["staged_events"]["rules"][KIND]["rows"] == 1


def test_suite_that_looked_at_nothing_leaves_no_line(tmp_path: Path) -> None:
    note(tmp_path, 0, found(0))
    assert list(tmp_path.iterdir()) == []
    assert told(tmp_path / "nowhere") == {}


def test_run_that_was_refused_as_a_whole_is_told(tmp_path: Path) -> None:
    record_unusable(tmp_path, micros(NOW), "training_set", "accepted: must be there")
    suite = told(tmp_path)["training_set"]
    assert suite["days"][0]["unusable"] == 1
    assert suite["runs"][0]["unusable"] == "accepted: must be there"


def test_parts_of_a_run_add_up() -> None:
    texts = Checked("anonymised_events", 4, (KIND,), {})
    assert add_up([found(10, rating=1), texts, found(20, rating=2, kind=1)]) == (
        found(30, rating=3, kind=1),
        texts,
    )


def test_what_is_no_rule_is_not_written(tmp_path: Path) -> None:
    strange = Checked("staged_events", 5, RULES, {"camille@example.org": 1})
    with pytest.raises(ValueError, match="must be counted by the rules") as refused:
        note(tmp_path, 0, strange)
    assert "camille" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_line_that_a_crash_cut_short_hides_no_other(tmp_path: Path) -> None:
    note(tmp_path, 0, found(10, kind=1))
    with (tmp_path / "staged_events" / "2026-11-25.jsonl").open("ab") as file:
        file.write(b'{"at":17641')
    assert told(tmp_path)["staged_events"]["days"][0]["rows"] == 10


def test_lines_go_with_the_log_files(tmp_path: Path) -> None:
    note(tmp_path, 1, found(10))
    note(tmp_path, 0, found(20))
    old = tmp_path / "staged_events" / "2026-11-24.jsonl"
    at = (NOW - timedelta(days=1)).timestamp()
    os.utime(old, (at, at))

    assert delete_old_files(tmp_path, NOW - timedelta(hours=1)) == 1

    assert [day["day"] for day in told(tmp_path)["staged_events"]["days"]] == ["2026-11-25"]


def test_a_log_file_that_cannot_go_keeps_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.touch()
    unlink = Path.unlink

    def refuse(path: Path, *, missing_ok: bool = False) -> None:
        if path.name == "a":
            raise PermissionError(errno.EACCES, "Permission denied")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(PermissionError):
        delete_old_files(tmp_path, datetime.now(UTC) + timedelta(hours=1))

    assert [file.name for file in files if file.exists()] == ["a"]


def test_disk_that_takes_no_line_costs_the_line_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").write_text("a file where a directory should be")

    validation.record.fn(tmp_path / "logs", micros(NOW), (found(100, rating=3),))
    assert "could not be noted" in caplog.text

    with (
        pytest.raises(BatchUnusable),
        validation.noting_unusable(tmp_path / "logs", micros(NOW)),
    ):
        raise BatchUnusable("staged_events", RATING)
