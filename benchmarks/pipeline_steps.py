"""How the processor time of ``process_events`` divides among its steps.

Each is timed by its own thread's clock, so that a thread that waits for another, or for the
database, adds nothing. What PostgreSQL takes is in no step.
"""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from benchmarks.publishing import Cell

READ, EXPECT, STORE = "read as columns", "expectations", "all else in the transaction"
_INSIDE = {
    "move_events": "events moved",
    "read_matches": "matches read",
    "merge": "events folded into matches",
    "change": "sums from matches",
    "add_to_sums": "sums written",
    "write_matches": "matches written",
}
"""Functions that a commit calls, in their order."""


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Time the steps of every partition inside the block; give their CPU seconds at its end."""
    from expectations import staged_events
    from warehouse import batches

    found: dict[str, list[float]] = defaultdict(list)
    spent: dict[str, float] = {}
    steps: list[tuple[Any, str, str]] = [
        (batches, "read", READ),
        (staged_events, "broken_events", EXPECT),
        *((batches, name, step) for name, step in _INSIDE.items()),
        (batches, "commit", STORE),
    ]
    plain = [getattr(module, name) for module, name, _ in steps]
    for (module, name, step), function in zip(steps, plain, strict=True):
        setattr(module, name, _timed(function, found[step]))
    try:
        yield spent
    finally:
        for (module, name, _), function in zip(steps, plain, strict=True):
            setattr(module, name, function)
    spent.update({step: sum(seconds) for step, seconds in found.items()})
    spent[STORE] -= sum(spent[step] for step in _INSIDE.values())


def _timed(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    @wraps(function)
    def timed_function(*arguments: Any, **more: Any) -> Any:
        begun = time.thread_time()
        try:
            return function(*arguments, **more)
        finally:
            seconds.append(time.thread_time() - begun)

    return timed_function


def rows(measured: Iterable[Mapping[str, Any]]) -> list[dict[str, Cell]]:
    """Return each step's share of the processor time of its run, in percent."""
    return [
        {"engine": one["engine"], "events": one["events"], "days": one["days"]}
        | {step: 100 * seconds / one["cpu_seconds"] for step, seconds in one["steps"].items()}
        for one in measured
    ]
