"""How much a purge deletes at once, and how long it rests, so that writers keep their pace. Pure.

SQLite has one writer, and who finds it busy asks again after 1, 2, 5, 10, 15, 20 and 25
milliseconds. So two things count: how long one transaction holds the lock, and how much of the
time it is free. PostgreSQL's writers wait for no row that is past its age: there a purge goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

TARGET_SECONDS = 0.008
"""What a chunk's transaction may take on SQLite."""

RESTS, RESTS_BESIDE = 2.0, 120.0
"""How many times as long the lock then stays free: where nobody else writes, and beside somebody,
of whose asks not one in a hundred may find it taken."""

LONGEST_REST_SECONDS = 1.0
FEWEST_ROWS = 100
"""Fewer would cost as much: what a transaction costs whatever it deletes."""

BRIEF_SECONDS = 0.002


@dataclass(frozen=True)
class Pace:
    """How a purge goes on.

    Attributes:
        rows: Rows of the next chunk.
        most: Rows of the largest one.
        careful: Whether writers wait for a chunk.
        rest_seconds: How long to rest before the next one.
    """

    rows: int
    most: int
    careful: bool
    rest_seconds: float = BRIEF_SECONDS

    def after(self, seconds: float, *, beside: bool = False) -> Pace:
        """Return the pace after a chunk that held the lock for so long, beside somebody or alone.

        A chunk is at most halved or doubled at once: one that waited for the disk tells little.
        """
        if not self.careful:
            return self
        fitting = int(self.rows * TARGET_SECONDS / max(seconds, 1e-6))
        rows = max(self.rows // 2, min(fitting, self.rows * 2), min(FEWEST_ROWS, self.most))
        rest = min((RESTS_BESIDE if beside else RESTS) * seconds, LONGEST_REST_SECONDS)
        return Pace(min(rows, self.most), self.most, self.careful, rest)


def first_pace(most: int, *, careful: bool) -> Pace:
    """Return the pace to begin with; a careful one begins small."""
    return Pace(min(most, FEWEST_ROWS) if careful else most, most, careful)
