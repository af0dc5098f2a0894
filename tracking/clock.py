"""Time that has passed for sure, because a machine's calendar may jump.

A machine without a battery boots in 1970 and learns the time later; another is ten days behind
until somebody looks. By the calendar, what came in a moment before is days old then. Here age is
counted in seconds of a clock that nobody sets: it runs from the machine's boot, sleep included,
and is the same for all its processes. Over a boot only the calendar can say how long the machine
was off, and it is believed for ``MOST_OFF_SECONDS``.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import NamedTuple

MOST_OFF_SECONDS = 86_400.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PROCESS = secrets.token_hex(8)


class Clock:
    """The machine's clocks; ``boot`` names the run of the machine that ``steady`` counts.

    Where the system does not name its boots, each process counts as one of its own.
    """

    def __init__(self) -> None:
        self.boot = _PROCESS
        if hasattr(time, "CLOCK_BOOTTIME"):
            try:
                self.boot = _BOOT_ID.read_text().strip() or _PROCESS
            except OSError:  # a sandbox without it
                self.boot = _PROCESS

    def steady(self) -> float:
        """Seconds that nobody sets."""
        if hasattr(time, "CLOCK_BOOTTIME"):
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970 by the calendar."""
        return time.time()


class Look(NamedTuple):
    """What the clocks showed, and what time it was for those who count age."""

    boot: str
    steady: float
    wall: float
    time: float


def time_since(seen: Look | None, clock: Clock) -> float:
    """Return the time for those who count age: as of an earlier look, and what passed since.

    Without an earlier look it begins with the calendar's.
    """
    if seen is None:
        return clock.wall()
    if seen.boot == clock.boot:
        return seen.time + max(clock.steady() - seen.steady, 0.0)
    return seen.time + min(max(clock.wall() - seen.wall, 0.0), MOST_OFF_SECONDS)
