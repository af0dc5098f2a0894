"""A fair way in when more arrives than can be made durable: whoever took least goes first.

Without it a request waits behind all that arrived before, so that one sender of very much
makes everybody slow. Here few requests are under way at a time; the others wait in a line that
is bounded in number and in time, and whoever has had less than their share passes by it. Shares
are counted by API key, and within a key by connection: each is served once a round, and one
that left turns out has some saved up. A new connection begins at the end of a round with none,
so that opening many gains nothing. A request that costs as much as many takes as many turns, but
never all of the room: nobody else could go in for as long as it is under way.

A line is good for a burst. Where it does not empty, more comes than can be taken, and all who wait
in it would only be served late. Then whoever saw enough others go in is passed over, so that
those who are served are served in time, and told at the end of its patience: who is told at once
comes back at once.

References:
    Goyal, P., Vin, H. M., & Cheng, H. (1997). Start-time fair queueing. IEEE/ACM Transactions on
    Networking 5(5), 690-704. doi:10.1109/90.649569

    Nichols, K., & Jacobson, V. (2012). Controlling queue delay. ACM Queue 10(5), 20-34.
    doi:10.1145/2208917.2209336
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left, insort
from collections import deque
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING, NamedTuple, Protocol

from schemas.errors import QueueFull

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

SAVED_ROUNDS = 20
"""So many turns that it did not take may a connection take later, without waiting."""

MOST_TURNS = 8_192
"""Connections of one line whose turns are remembered."""

MOST_WAITING = 2_000
PATIENCE_SECONDS = 0.5
"""So long may a request wait in the line; then its sender is asked to come back."""
BURST_SECONDS = 0.05
"""A line that did not empty for so long is no burst."""

_LITTLE = 4
"""Whoever let so many turns pass takes little."""
_REMEMBER_SECONDS = 0.25
"""Where such a request came, another may come so soon."""
_TOGETHER = 8
"""So many are let in before the loop looks at its sockets again."""
_SWEEP_SECONDS = 0.05


class Passenger(Protocol):
    """A request at the turnstile."""

    def proceed(self) -> None:
        """Go on; ``Turnstile.leave`` is called when the request is over."""

    def turn_back(self, error: QueueFull) -> None:
        """Reply that there is no room; it never went in."""


class Turn:
    """Whose requests follow one another: a connection, or what stands for several.

    ``due`` is the round in which the next request has its turn, negative before the first.
    """

    __slots__ = ("due",)

    def __init__(self) -> None:
        self.due = -1.0


class Line:
    """The requests of one caller that wait.

    ``round`` is the one that is served among its connections, ``due`` the one among callers in
    which it is served next.
    """

    __slots__ = ("_turns", "due", "round", "waiting")

    def __init__(self) -> None:
        self.due = 0.0
        self.round = 0.0
        self.waiting: list[_Place] = []
        self._turns: dict[Hashable, Turn] = {}

    def turn_of(self, connection: Hashable) -> Turn:
        """Return the turn of a connection that is known by its address."""
        turn = self._turns.get(connection)
        if turn is None:
            if len(self._turns) >= MOST_TURNS:
                self._turns.clear()
            turn = self._turns[connection] = Turn()
        return turn

    def count(self, turn: Turn, cost: float) -> float:
        """Count a request of a connection and return the round in which it is due."""
        due = self.round + 1 if turn.due < 0 else max(turn.due, self.round - SAVED_ROUNDS)
        turn.due = due + cost
        return due


class _Place(NamedTuple):
    """In a line: the round in which it is due, when it came, who, and what it costs.

    ``since`` is that time by the clock, ``passed`` by the turns that had been taken.
    """

    due: float
    number: int
    passenger: Passenger
    cost: float
    since: float
    passed: float
    line: Line
    turn: Turn


class Turnstile:
    """Lets requests through. It belongs to one event loop.

    Args:
        most_inside: Turns of the requests under way, beyond which the next one waits, or half
            as many beside somebody who takes little; whoever passes by the line may take as
            many again.
        most_passed: Whoever saw more turns being taken is passed over, where the line does not
            empty.
    """

    def __init__(self, most_inside: int, most_passed: float = inf) -> None:
        self._most_inside = most_inside
        self._most_passed = most_passed
        self._inside = 0.0
        self._passed = 0.0
        self._round = 0.0
        self._number = 0
        self._lines: list[Line] = []
        self._arrived: deque[_Place] = deque()
        self._waiting = 0
        self._waited_since = 0.0
        self._late: dict[int, _Place] = {}
        self._called = False
        self._half_until = 0.0
        self._sweeping = False

    @property
    def waiting(self) -> int:
        """Number of requests that neither went in nor were told."""
        return self._waiting + len(self._late)

    def enter(self, passenger: Passenger, line: Line, turn: Turn, cost: float = 1.0) -> None:
        """Let a request in: now, or when it is due.

        Args:
            passenger: The request.
            line: Its caller's.
            turn: Its connection's.
            cost: Turns that it takes, at least 1.

        Raises:
            QueueFull: All lines are full, and everybody in them goes before it.
        """
        due = line.count(turn, cost)
        if not self._waiting and self._has_room():
            self._let_in(passenger, line, due, cost)
            return
        if self._goes_first(line, due):
            if min(due - line.round, line.due - self._round) <= -_LITTLE:
                self._half_until = time.monotonic() + _REMEMBER_SECONDS
            self._let_in(passenger, line, due, cost)
            return
        self._number += 1
        since = time.monotonic()
        self._wait(_Place(due, self._number, passenger, cost, since, self._passed, line, turn))

    def leave(self, cost: float = 1.0) -> None:
        """Say that a request that was let in is over."""
        self._inside -= self._room_of(cost)
        if self._waiting and not self._called:
            self._called = True
            asyncio.get_running_loop().call_soon(self._call_in)

    def _room_of(self, cost: float) -> float:
        """Return the room that a request takes: however large it is, another goes in beside it."""
        return min(cost, self._most_inside - 1)

    def _has_room(self) -> bool:
        if self._inside < self._most_inside // 2:
            return True
        return self._inside < self._most_inside and time.monotonic() >= self._half_until

    def _goes_first(self, line: Line, due: float) -> bool:
        """Tell whether a request has had less than its share, so that it need not wait."""
        if self._inside >= 2 * self._most_inside:
            return False
        others = [other.due for other in self._lines if other is not line]
        if others and min(others) <= line.due:
            return False
        return due < line.round or bool(others and not line.waiting)

    def _let_in(self, passenger: Passenger, line: Line, due: float, cost: float) -> None:
        line.round = max(line.round, due)
        self._round = max(self._round, line.due)
        line.due = self._round + cost
        self._inside += self._room_of(cost)
        self._passed += cost
        passenger.proceed()

    def _call_in(self) -> None:
        """Let those in who are due, some at a time, so that the loop sees who passes by."""
        self._called = False
        let_in = 0
        while self._waiting and self._has_room():
            if let_in == _TOGETHER:
                self._called = True
                asyncio.get_running_loop().call_soon(self._call_in)
                return
            line = min(self._lines, key=_due)
            place = line.waiting[0]
            self._take_out(line, 0)
            if self._is_late(place):
                self._late[place.number] = place
            else:
                self._let_in(place.passenger, line, place.due, place.cost)
                let_in += 1

    def _is_late(self, place: _Place) -> bool:
        """Tell whether to pass somebody over, where more than two rounds of requests are here."""
        if self._inside + self.waiting < 2 * self._most_inside:
            return False
        if self._passed - place.passed <= self._most_passed:
            return False
        # Passing over empties the line at times; while somebody is late there is no end of it.
        return bool(self._late) or time.monotonic() - self._waited_since > BURST_SECONDS

    def _wait(self, place: _Place) -> None:
        line = place.line
        if self.waiting >= MOST_WAITING:
            self._make_room(place)
        if not self._waiting:
            self._waited_since = place.since
        if not line.waiting:
            # Who did not come for a while has saved nothing up.
            line.due = max(line.due, self._round)
            self._lines.append(line)
        insort(line.waiting, place)
        self._waiting += 1
        self._arrived.append(place)
        if not self._sweeping:
            self._sweeping = True
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def _make_room(self, place: _Place) -> None:
        """Turn back who is late, the last of the longest line, or who has just come."""
        if self._late:
            self._tell(next(iter(self._late)), _no_room())
            return
        longest = max(self._lines, key=lambda one: len(one.waiting))
        last = longest.waiting[-1]
        if longest is place.line and last < place:
            raise _no_room()
        self._take_out(longest, -1)
        last.passenger.turn_back(_no_room())

    def _tell(self, number: int, error: QueueFull) -> None:
        """Turn back who is late; they have saved up no turns meanwhile, as who sends little has."""
        place = self._late.pop(number)
        place.turn.due = max(place.turn.due, place.line.round)
        place.passenger.turn_back(error)

    def _take_out(self, line: Line, position: int) -> None:
        del line.waiting[position]
        self._waiting -= 1
        if not line.waiting:
            self._lines.remove(line)

    def _sweep(self) -> None:
        """Turn back who has waited for too long."""
        limit = time.monotonic() - PATIENCE_SECONDS
        while self._arrived:
            place = self._arrived[0]
            waits = _position(place.line, place)
            if (waits >= 0 or place.number in self._late) and place.since >= limit:
                break
            self._arrived.popleft()
            if waits >= 0:
                self._take_out(place.line, waits)
                self._late[place.number] = place
            if place.number in self._late:
                self._tell(place.number, QueueFull("it waited too long"))
        self._sweeping = bool(self._arrived)
        if self._sweeping:
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)


class _Visit:
    """A passenger that is awaited."""

    def __init__(self, turnstile: Turnstile, cost: float) -> None:
        self._turnstile = turnstile
        self._cost = cost
        self.inside = asyncio.get_running_loop().create_future()

    def proceed(self) -> None:
        if self.inside.done():
            self._turnstile.leave(self._cost)  # cancelled meanwhile
        else:
            self.inside.set_result(None)

    @property
    def is_inside(self) -> bool:
        return (
            self.inside.done() and not self.inside.cancelled() and self.inside.exception() is None
        )

    def turn_back(self, error: QueueFull) -> None:
        if not self.inside.done():
            self.inside.set_exception(error)


@asynccontextmanager
async def passing(
    turnstile: Turnstile, line: Line, turn: Turn, cost: float = 1.0
) -> AsyncIterator[None]:
    """Go in when it is due, and leave at the end.

    Raises:
        QueueFull: There was no room, or not in time.
    """
    visit = _Visit(turnstile, cost)
    turnstile.enter(visit, line, turn, cost)
    try:
        await visit.inside
    except asyncio.CancelledError:
        if visit.is_inside:  # let in, and cancelled before it knew
            turnstile.leave(cost)
        raise
    try:
        yield
    finally:
        turnstile.leave(cost)


def _no_room() -> QueueFull:
    return QueueFull("more was sent than can be made durable now")


def _due(line: Line) -> float:
    return line.due


def _position(line: Line, place: _Place) -> int:
    """Return where somebody stands in a line, -1 when they do not any more."""
    position = bisect_left(line.waiting, place)
    found = position < len(line.waiting) and line.waiting[position] is place
    return position if found else -1
