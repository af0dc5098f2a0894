"""Add up what each promise came to, and keep it beside what earlier runs of a campaign found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from schemas.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    Row = dict[str, Any]

FOUND = CHECKOUT / "build" / "faults.json"
HEADINGS = ("promise", "trials", "failures", "mutants caught", "seconds")


def add(told: Iterable[list[Any]], file: Path = FOUND) -> str:
    """Add the tests of a run to what is kept of the campaign, and return its table.

    Args:
        told: Promise, trials, failures, whether a mutant was caught, and seconds, a test each.
        file: Where it is kept; a promise that is tried again replaces itself.
    """
    rows: dict[str, Row] = {}
    for promise, trials, failures, caught, seconds in told:
        row = rows.setdefault(
            promise, {"trials": 0, "failures": 0, "planted": 0, "caught": 0, "seconds": 0.0}
        )
        row["trials"] += trials
        row["failures"] += failures
        row["planted"] += caught is not None
        row["caught"] += caught is True
        row["seconds"] += seconds
    kept = json.loads(file.read_text()) if file.exists() else {}
    kept |= rows
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(kept, indent=1) + "\n")
    table = _table(kept)
    file.with_suffix(".md").write_text(table + "\n")
    return table


def _table(rows: dict[str, Row]) -> str:
    lines = [f"| {' | '.join(HEADINGS)} |", "|---|---:|---:|---|---:|"]
    for promise, row in sorted(rows.items()):
        mutants = f"{row['caught']} of {row['planted']}" if row["planted"] else "none planted"
        lines.append(
            f"| {promise} | {row['trials']:,} | {row['failures']} | {mutants}"
            f" | {row['seconds']:.0f} |"
        )
    return "\n".join(lines)
