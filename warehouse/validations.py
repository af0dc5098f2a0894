"""What each validation came to, over time: counts by rule, a line a run, beside the log files.

They age as log files do, so a day has a file of its own. Rules are the words of the suites;
nothing else of a row gets here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.clock import moment
from warehouse.keyfile import replace_file
from warehouse.overview import Unit
from warehouse.whole_writes import append_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from schemas.settings import Settings

_LISTED_RUNS = 50
_RULES = "rules.json"


@dataclass(frozen=True)
class Checked:
    """What a suite found.

    Attributes:
        suite: Its name.
        rows: How many rows it looked at.
        rules: All its rules in words, in its order.
        broken: Number of rows that broke a rule, by rule; a row may break several.
    """

    suite: str
    rows: int
    rules: tuple[str, ...]
    broken: Mapping[str, int]


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run in a file; ``unusable`` is the rule by which its rows were refused as a whole."""

    at: int
    rows: int
    broken: dict[str, int] = {}
    unusable: str = ""


def directory(settings: Settings) -> Path:
    """Return where the files lie: a directory a suite, in it a file a day."""
    return settings.data / "logs" / "validation"


def add_up(checked: Iterable[Checked]) -> tuple[Checked, ...]:
    """Join what the same suite found in parts."""
    rows: Counter[str] = Counter()
    rules: dict[str, tuple[str, ...]] = {}
    broken: dict[str, Counter[str]] = {}
    for one in checked:
        rows[one.suite] += one.rows
        rules[one.suite] = one.rules
        broken.setdefault(one.suite, Counter()).update(one.broken)
    return tuple(Checked(name, rows[name], rules[name], dict(broken[name])) for name in rules)


def record(where: Path, at: int, checked: Iterable[Checked]) -> None:
    """Append what a run found; a suite that looked at no row is left out.

    Args:
        where: As ``directory`` gives it.
        at: When the run began, microseconds since 1970.
        checked: What its suites found, each at most once.

    Raises:
        ValueError: Something is counted that is no rule of its suite.
    """
    for one in checked:
        if not set(one.broken) <= set(one.rules):
            raise ValueError("broken: must be counted by the rules of the suite")
        if one.rows:
            _append(where / one.suite, _Line(at, one.rows, dict(one.broken)))
            _keep_rules(where / one.suite / _RULES, one.rules)


def record_unusable(where: Path, at: int, suite: str, rule: str) -> None:
    """Append that a run found its rows unusable as a whole.

    Args:
        where: As ``directory`` gives it.
        at: When the run began, microseconds since 1970.
        suite: Name of the suite that said so.
        rule: The rule that was broken, in words.
    """
    _append(where / suite, _Line(at, 0, unusable=rule))


def _append(folder: Path, line: _Line) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{moment(line.at).date()}.jsonl"
    append_line(path, msgspec.json.encode(line))


def _keep_rules(path: Path, rules: tuple[str, ...]) -> None:
    """Keep the rules of a suite as they are now, so that those that always held are named too."""
    if _read_rules(path) == rules:
        return
    replace_file(path, msgspec.json.encode(rules))


def _read_rules(path: Path) -> tuple[str, ...]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[str, ...])
    except (FileNotFoundError, msgspec.DecodeError):
        return ()


def read(
    where: Path, days: int, as_of: datetime, *, smallest: int, published: bool
) -> dict[str, Any]:
    """Read what was found in a window that ends now, the newest first.

    Args:
        where: As ``directory`` gives it.
        days: Length of the window, days.
        as_of: Now, aware.
        smallest: k.
        published: Round every count of rows down to a multiple of k, and list no run by itself.

    Returns:
        Ready for JSON: ``suites`` by name, each with ``days``, ``rules`` and ``runs``, and what
        they stand on.
    """
    unit = Unit(smallest if published else 1)
    first = as_of.date() - timedelta(days=days - 1)
    folders = sorted(path for path in where.iterdir() if path.is_dir()) if where.is_dir() else []
    suites = {folder.name: _suite(folder, first, unit, published=published) for folder in folders}
    return {
        "suites": {name: found for name, found in suites.items() if found["days"]},
        "unit": unit.size,
        "published": published,
        "k": smallest,
        "days": days,
        "as_of": as_of.isoformat(),
    }


def _suite(folder: Path, first: date, unit: Unit, *, published: bool) -> dict[str, Any]:
    days: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    total: Counter[str] = Counter()
    last: dict[str, str] = {}
    for path in sorted(folder.glob("????-??-??.jsonl"), reverse=True):
        if path.stem < first.isoformat():
            break
        lines = sorted(_lines(path), key=lambda line: line.at, reverse=True)
        broken: Counter[str] = Counter()
        for line in lines:
            broken.update(line.broken)
        # Sums of rounded days: no two windows differ by less than a day shows.
        shown = unit.by_rule(broken)
        total.update(shown)
        last = dict.fromkeys(shown, path.stem) | last
        rows = sum(line.rows for line in lines)
        counts = {
            "runs": len(lines),
            "unusable": sum(1 for line in lines if line.unusable),
            "rows": unit.of(rows),
            "broken": shown,
        }
        days.append({"day": path.stem, **counts})
        runs += [_run(line) for line in lines[: _LISTED_RUNS - len(runs)]]
    named = dict.fromkeys([*_read_rules(folder / _RULES), *total])
    return {
        "days": days,
        "rules": {rule: {"rows": total[rule], "last": last.get(rule)} for rule in named},
        "runs": [] if published else runs,
    }


def _run(line: _Line) -> dict[str, Any]:
    return {
        "at": moment(line.at).isoformat(),
        "rows": line.rows,
        "broken_rules": len(line.broken),
        "unusable": line.unusable,
    }


def _lines(path: Path) -> Iterator[_Line]:
    """Read a file but for a line that a crash cut short."""
    for text in path.read_bytes().splitlines():
        try:
            yield msgspec.json.decode(text, type=_Line)
        except msgspec.DecodeError:
            continue
