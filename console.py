"""What a person sees on a terminal: progress, tables, and errors as one line.

Everything goes to standard error, but for results, so that output can be piped.
"""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from schemas.errors import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

POLL_SECONDS = 0.5
ESTIMATE = ("value", "lower", "upper", "count")
"""What a mapping names that is a figure with its interval and how many it stands on."""
ROUNDED_FROM = 1_000
"""Figures from here on are written without decimals."""


def say(line: str) -> None:
    """Write one line for the person at the terminal."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201  # the one place that does


def result(value: object, *, as_json: bool, absent: str = "none") -> None:
    """Write a result: a mapping as lines of name and value, or as JSON for a program.

    ``absent`` is what lines say for None.
    """
    if as_json or not isinstance(value, dict):
        import msgspec  # costs a tenth of the time that --help may take

        text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str)).decode()
    else:
        text = "\n".join(_lines(value, "", absent))
    print(text, flush=True)  # noqa: T201


def _lines(value: Mapping[str, Any], prefix: str, absent: str) -> Iterator[str]:
    for name, entry in value.items():
        label = f"{prefix}{name or '(none)'}"
        if isinstance(entry, dict) and not _is_estimate(entry):
            yield from _lines(entry, f"{label}.", absent)
        elif isinstance(entry, list | tuple) and any(isinstance(one, dict) for one in entry):
            yield f"{label}:"
            yield from (f"  {_readable(one, absent)}" for one in entry)
        else:
            yield f"{label}: {_readable(entry, absent)}"


def _readable(value: object, absent: str) -> str:
    """Return a value for a person to read: four digits of a figure, words for what is none."""
    match value:
        case None | [] | ():
            return absent if value is None else "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}" if abs(value) < ROUNDED_FROM else f"{value:.0f}"
        case list() | tuple():
            return ", ".join(_readable(one, absent) for one in value)
        case dict():
            return _one_line(value, absent)
    return str(value)


def _one_line(value: dict[str, object], absent: str) -> str:
    shown = {name: _readable(one, absent) for name, one in value.items()}
    if _is_estimate(value):
        return "{value} ({lower} to {upper}) of {count}".format(**shown)
    return ", ".join(f"{name} {one}" for name, one in shown.items())


def _is_estimate(value: dict[str, object]) -> bool:
    return tuple(value) == ESTIMATE


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table."""
    from rich.box import SIMPLE  # a command line should not wait for it
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for name in header:
        first = name == header[0]
        drawn.add_column(name, justify="left" if first else "right", no_wrap=first)
    for row in rows:
        # As text, so that a name in brackets is no markup.
        drawn.add_row(*(Text(str(cell)) for cell in row))
    Console().print(drawn)


@contextmanager
def working(what: str, remaining: Callable[[], int] | None = None) -> Iterator[None]:
    """Show that something is at work: a bar where what remains can be counted, else a clock.

    Args:
        what: What is being done.
        remaining: Counts what is left to do; asked every half second on a thread.
    """
    from rich.console import Console  # a command line should not wait for it
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    total = remaining() if remaining else None
    columns = [SpinnerColumn(), TextColumn(what), BarColumn(), TimeElapsedColumn()]
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    with ending_in_order(), shown as progress:
        bar = progress.add_task(what, total=total)
        finished = threading.Event()

        def watch() -> None:
            while remaining and not finished.wait(POLL_SECONDS):
                with suppress(NotReady):  # the bar may stand still; the work says what is wrong
                    progress.update(bar, completed=(total or 0) - remaining())

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this process as an exit does, so that what it started ends too.

    Only the main thread may say so; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _exit) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


@contextmanager
def steps(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar that is moved on by calling ``(done, total, label)``."""
    from rich.console import Console  # a command line should not wait for it
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(what, total=None)

        def move(done: int, total: int, label: str) -> None:
            progress.update(bar, completed=done, total=total, description=f"{what}: {label}")

        yield move
