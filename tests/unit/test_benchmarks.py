"""A benchmark's page says what was measured, where and when, and has its plot beside it."""

from __future__ import annotations

import argparse
import os
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import pipeline_steps
from benchmarks.publishing import Result, Rows, add_size, bars, markdown, publish, rows_as_markdown
from expectations import staged_events
from schemas.settings import CHECKOUT
from tests.engines import on_sqlite
from tests.histories import admit, history, process, stage
from warehouse import batches

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from benchmarks.publishing import Cell, Size


def a_result(size: Size = "full") -> Result:
    return Result(
        name="loop",
        title="Turns of a loop",
        size=size,
        tables=[Rows([{"what": "empty", "turns": 12_345}, {"what": "busy", "turns": None}])],
        draw=bars({"empty": 12_345, "busy": 2}, "turns a second", reach=10_000, log=True),
        notes=["Empty turns more."],
    )


def test_rows_become_a_table_whose_numbers_can_be_compared() -> None:
    rows: list[dict[str, Cell]] = [
        {"what": "a", "n": 1_234.5, "share": 0.98765},
        {"what": "b", "n": 999.6, "share": 2e-5},
    ]

    assert rows_as_markdown(rows).splitlines() == [
        "| what | n | share |",
        "| --- | ---: | ---: |",
        "| a | 1,234 | 0.988 |",
        "| b | 1,000 | 0.000020 |",
    ]


def test_page_says_on_which_machine_and_with_which_versions() -> None:
    page = markdown(a_result(), "loop.png")

    assert f"{os.cpu_count()} cores, load " in page
    assert f"pandas {version('pandas')}" in page
    assert f"{datetime.now(UTC):%Y-%m-%d}" in page
    assert "* Empty turns more." in page
    assert "![Turns of a loop](loop.png)" in page


def test_small_figures_do_not_take_the_place_of_those_at_size(tmp_path: Path) -> None:
    for size in ("small", "full"):
        publish(a_result(size), tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "loop-small.md",
        "loop-small.png",
        "loop.md",
        "loop.png",
    ]
    assert (tmp_path / "loop.png").read_bytes().startswith(b"\x89PNG")


def test_size_is_one_of_two() -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_size(parser)

    assert parser.parse_args([]).size == "full"
    with pytest.raises(argparse.ArgumentError, match="invalid choice"):
        parser.parse_args(["--size", "medium"])


def test_every_benchmark_is_in_make_bench_and_asks_for_its_size() -> None:
    recipes = (CHECKOUT / "Makefile").read_text()
    asking = {
        path.stem
        for path in (CHECKOUT / "benchmarks").glob("*.py")
        if "add_size(parser)" in path.read_text()
    }

    made = {
        line.partition("-m benchmarks.")[2].removesuffix(" --size $(SIZE)")
        for line in recipes.splitlines()
        if "-m benchmarks." in line
    }
    assert asking == made
    targets = recipes.partition("BENCHES := ")[2].partition("\n\n")[0].replace("\\\n", " ").split()
    called = [line.partition(":")[0] for line in recipes.splitlines() if line.startswith("bench-")]
    assert sorted(targets) == sorted(set(called) - {"bench-full"})


@on_sqlite
def test_each_step_of_the_pipeline_is_timed_and_none_twice(engine: Engine) -> None:
    admit(engine, range(1, 6))
    stage(engine, history(3, length=4_000, subjects=5, matches=400))
    plain = batches.commit, staged_events.broken_events
    begun = time.process_time()
    with pipeline_steps.timed() as spent:
        process(engine)
    used = time.process_time() - begun

    assert (batches.commit, staged_events.broken_events) == plain
    assert min(spent.values()) > 0
    assert used / 2 < sum(spent.values()) <= used
    one = {"engine": "sqlite", "events": 4_000, "days": 1, "cpu_seconds": used, "steps": spent}
    (row,) = pipeline_steps.rows([one])
    assert row[pipeline_steps.READ] == pytest.approx(100 * spent[pipeline_steps.READ] / used)
