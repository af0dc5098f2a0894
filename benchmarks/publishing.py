"""What every benchmark does with its figures: a table, a plot, and the machine they are from.

A benchmark asks for its size with ``add_size``, and hands its rows to ``publish``, which prints
them and writes ``benchmarks/results/<name>.md`` and ``.png`` (``<name>-small`` for the small size).
Machines are noisy: figures of one file were taken in one run, and only they may be compared.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes

    Draw = Callable[[Axes], None]

Cell = str | int | float | None
Size = Literal["small", "full"]
SIZES: tuple[Size, ...] = ("small", "full")
RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("pandas", "numpy")
BEFORE = os.getloadavg()[0]
"""The load before anything was measured: what neighbours took."""


@dataclass(frozen=True)
class Rows:
    """Rows of one kind.

    Attributes:
        rows: Each maps a column's name to its cell; all have the columns of the first.
        caption: What stands above it; none without it.
    """

    rows: Sequence[Mapping[str, Cell]]
    caption: str = ""


@dataclass(frozen=True)
class Result:
    """What one benchmark found.

    Attributes:
        name: Of its files.
        title: A line: what is measured.
        size: With which it ran.
        tables: The figures.
        draw: Draws the plot.
        notes: Sentences below the tables: ratios, and what they mean.
        packages: Distributions whose versions matter to it.
    """

    name: str
    title: str
    size: Size
    tables: Sequence[Rows]
    draw: Draw
    notes: Sequence[str] = field(default=())
    packages: Sequence[str] = PACKAGES


def add_size(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark be asked for its size, as all of them are."""
    parser.add_argument("--size", choices=SIZES, default="full", help="small: a minute or less")


def publish(result: Result, folder: Path = RESULTS) -> Path:
    """Print what was found, and write it with its plot; return the Markdown's path."""
    name = result.name if result.size == "full" else f"{result.name}-{result.size}"
    folder.mkdir(parents=True, exist_ok=True)
    _plot(result, folder / f"{name}.png")
    text = markdown(result, f"{name}.png")
    print(text)
    path = folder / f"{name}.md"
    path.write_text(text, encoding="utf-8")
    return path


def markdown(result: Result, picture: str) -> str:
    """Write a page: title, machine, tables, notes, plot."""
    parts = [f"# {result.title}", machine(result.packages) + f" Size: {result.size}."]
    for table in result.tables:
        parts += [table.caption] if table.caption else []
        parts.append(rows_as_markdown(table.rows))
    if result.notes:
        parts.append("\n".join(f"* {note}" for note in result.notes))
    parts.append(f"![{result.title}]({picture})")
    return "\n\n".join(parts) + "\n"


def machine(packages: Sequence[str]) -> str:
    """Say when and on what: date, processor, cores, load before and after, versions."""
    versions = [f"{name} {version(name)}" for name in packages]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {_processor()}, {os.cpu_count()} cores, load "
        f"{BEFORE:.1f} before and {os.getloadavg()[0]:.1f} after; {platform.system()}, Python "
        f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}, {', '.join(versions)}."
    )


def rows_as_markdown(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Lay rows out as a Markdown table; columns whose cells are numbers stand to the right."""
    names = list(rows[0])
    numeric = {name for name in names if all(not isinstance(row[name], str) for row in rows)}
    lines = [names, ["---:" if name in numeric else "---" for name in names]]
    lines += [[_written(row[name]) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def bars(
    values: Mapping[str, float], unit: str, *, reach: float | None = None, log: bool = False
) -> Draw:
    """Draw a bar for each value, the first on top, and a line at what is to be reached."""

    def draw(axes: Axes) -> None:
        names = list(values)[::-1]
        drawn = axes.barh(names, [values[name] for name in names], color="#4878a8")
        axes.bar_label(drawn, [_written(values[name]) for name in names], padding=3, fontsize=8)
        axes.margins(x=0.15)
        axes.set_xlabel(unit)
        if log:
            axes.set_xscale("log")
        if reach is not None:
            axes.axvline(reach, color="#b04030", linestyle="--", label=f"to reach: {reach:g}")
            axes.legend(fontsize=8)

    return draw


def _plot(result: Result, path: Path) -> None:
    from matplotlib.figure import Figure  # costs a second that no measurement should wait for

    drawing = Figure(figsize=(8, 4.5), layout="constrained")
    axes = drawing.subplots()
    result.draw(axes)
    axes.set_title(result.title, fontsize=10, loc="left")
    drawing.savefig(path, dpi=90)


def _processor() -> str:
    """Name the processor; its architecture where the system does not say more."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()


def _written(cell: Cell) -> str:
    """Write a cell: whole numbers whole, others with three digits that count."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    digits = f"{cell:#.3g}"
    return f"{cell:.6f}" if "e" in digits else digits.rstrip(".")
