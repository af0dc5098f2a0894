"""Requests at a turnstile of which somebody notes what becomes of them."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any

from ingest.turnstile import Line, Turn, Turnstile
from schemas.errors import QueueFull

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

MOST_INSIDE = 48
NONE = -1.0
"""Whoever waits has then seen too many go in."""


class Guest:
    """A request that notes what becomes of it."""

    def __init__(self, book: list[str], name: str) -> None:
        self.name = name
        self._book = book

    def proceed(self) -> None:
        self._book.append(self.name)

    def turn_back(self, _error: QueueFull) -> None:
        self._book.append(f"{self.name} turned back")


class Crowd:
    """A turnstile, and who went in, in order."""

    def __init__(self, most_passed: float = inf) -> None:
        self.turnstile = Turnstile(MOST_INSIDE, most_passed)
        self.inside: list[str] = []
        self.turns: dict[str, Turn] = {}
        self.lines: dict[str, Line] = {}

    def send(self, name: str) -> None:
        """Send a request; a name is ``caller connection``."""
        line = self.lines.setdefault(name.split(maxsplit=1)[0], Line())
        turn = self.turns.setdefault(name, Turn())
        try:
            self.turnstile.enter(Guest(self.inside, name), line, turn)
        except QueueFull:
            self.inside.append(f"{name} turned back")

    async def finish(self, requests: int) -> list[str]:
        """End requests that are inside, and return who went in meanwhile."""
        before = len(self.inside)
        for _ in range(requests):
            self.turnstile.leave()
        for _ in range(requests + 2):
            await asyncio.sleep(0)
        return self.inside[before:]

    async def told(self) -> list[str]:
        """Wait until all who wait or are late were told, and return who was."""
        before = len(self.inside)
        while self.turnstile.waiting:
            await asyncio.sleep(0.001)
        return self.inside[before:]


def run(trial: Callable[[Crowd], Coroutine[Any, Any, None]], most_passed: float = inf) -> None:
    async def within() -> None:
        await trial(Crowd(most_passed))

    asyncio.run(within())


def flood(crowd: Crowd, caller: str, requests: int) -> None:
    for number in range(requests):
        crowd.send(f"{caller} {number}")
