"""How much a purge deletes at once, and how long it rests, so that writers keep their pace. Pure.

SQLite has one writer, and who finds it busy asks again after 1, 2, 5, 10, 15, 20 and 25
milliseconds. So two things count: how long one transaction holds the lock, and how much of the
time it is free. PostgreSQL's writers wait for no row that is past its age, but for the processor
and the log on the disk: a purge goes on until somebody writes beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_REST_SECONDS = 1.0
FEWEST_ROWS = 100
"""Fewer would cost as much: what a transaction costs whatever it deletes."""


@dataclass(frozen=True)
class Manners:
    """How a purge minds those who write: where nobody else does, and beside somebody.

    Attributes:
        targets: What a chunk's transaction may take, seconds.
        rests: How many times as long as it took the purge then rests.
    """

    targets: tuple[float, float]
    rests: tuple[float, float]


SQLITE = Manners((0.008, 0.008), (2.0, 120.0))
"""Beside somebody not one of a hundred asks may find the lock taken."""

POSTGRESQL = Manners((0.050, 0.004), (0.1, 4.0))


@dataclass(frozen=True)
class Pace:
    """How a purge goes on.

    Attributes:
        rows: Rows of the next chunk.
        most: Rows of the largest one.
        manners: Of the database.
        rest_seconds: How long to rest before the next one.
    """

    rows: int
    most: int
    manners: Manners
    rest_seconds: float = 0.0

    def after(self, seconds: float, *, beside: bool = False) -> Pace:
        """Return the pace after a chunk that took so long, beside somebody or alone.

        A chunk is at most halved or doubled at once: one that waited for the disk tells little.
        """
        fitting = int(self.rows * self.manners.targets[beside] / max(seconds, 1e-6))
        rows = max(self.rows // 2, min(fitting, self.rows * 2), min(FEWEST_ROWS, self.most))
        rest = min(self.manners.rests[beside] * seconds, LONGEST_REST_SECONDS)
        return Pace(min(rows, self.most), self.most, self.manners, rest)


def first_pace(most: int, manners: Manners) -> Pace:
    """Return the pace to begin with, a small one."""
    return Pace(min(most, FEWEST_ROWS), most, manners)
