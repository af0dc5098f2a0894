"""Spools and the clock of their machine, for tests of the spool by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tracking.clock import Clock
from tracking.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.0
DAY = 86_400.0


class SetClock(Clock):
    """A machine whose clocks a test sets."""

    def __init__(self) -> None:
        self.boot, self.since_boot, self.calendar = "first", 1_000.0, NOW

    def steady(self) -> float:
        return self.since_boot

    def wall(self) -> float:
        return self.calendar

    def pass_by(self, seconds: float) -> None:
        self.since_boot += seconds
        self.calendar += seconds

    def reboot(self, boot: str, off_seconds: float, calendar: float = 0.0) -> None:
        """Be off for so long; the calendar may show anything afterwards."""
        self.boot, self.since_boot = boot, 10.0
        self.calendar = calendar or self.calendar + off_seconds


def open_spool(
    directory: Path,
    target: str = "here",
    max_bytes: int = 10_000_000,
    clock: Clock | None = None,
) -> Spool:
    place = directory / "spool.db"
    return Spool(place, target, max_bytes=max_bytes, fsync=False, clock=clock)


def claim(spool: Spool, limit: int = 100, max_bytes: int = 10**6) -> list[bytes]:
    taken = spool.claim(limit=limit, max_bytes=max_bytes, lease_seconds=60)
    return [event.body for event in taken]
