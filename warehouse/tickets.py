"""What waits for the writer of a server: events, other work, and what was refused."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy import Connection

    from schemas.errors import SmartMatchError
    from warehouse.staging import Arrival, Outcome

TICKET_EVENTS = 64
"""Most events in a ticket, and of long ones in a quick commit that short ones wait for."""

SHORT_EVENTS = 16
"""A ticket with more events is a long one."""

REMEMBERED_COMMITS = 8
_NEAR_SECONDS = 0.03
"""A database that commits within so much is near, also when it is busy."""
_LONG_EVENTS_A_SECOND = 10_000
"""So many events of long tickets lengthen a commit by a fraction of the time that is given."""


class Ticket:
    """Something that waits for its commit, and what became of it.

    Either ``arrivals`` to be stored, ``work``, a call with the transaction as its argument, or
    ``refused``, the rules that events broke which enter the books only.
    ``waiter`` belongs to whoever submitted it, and waits since a monotonic time, now if not given.
    """

    __slots__ = (
        "arrivals",
        "error",
        "outcomes",
        "refused",
        "result",
        "settled",
        "since",
        "waiter",
        "work",
    )

    def __init__(
        self,
        arrivals: Sequence[Arrival] = (),
        work: Callable[[Connection], Any] | None = None,
        waiter: Any = None,
        since: float | None = None,
        refused: Sequence[str] = (),
    ) -> None:
        self.arrivals = arrivals
        self.refused = refused
        self.work = work
        self.waiter = waiter
        self.since = time.monotonic() if since is None else since
        self.outcomes: Sequence[Outcome] = ()
        self.result: Any = None
        self.error: SmartMatchError | None = None
        self.settled = False


def size_of(tickets: Sequence[Ticket]) -> int:
    """Return the number of events of tickets; other work counts as one."""
    return sum([len(ticket.arrivals) or 1 for ticket in tickets])


def take(queue: deque[Ticket], most: int) -> list[Ticket]:
    """Take tickets with at most so many events from a queue, and at least one."""
    taken: list[Ticket] = []
    left = most
    while queue:
        left -= len(queue[0].arrivals) or 1
        if left < 0 and taken:
            break
        taken.append(queue.popleft())
    return taken


def most_beside_short(took: Collection[float]) -> int:
    """Return how many events of long tickets may go into a commit that short ones wait for.

    Where the database is far away a commit takes long whatever is in it: with few events in each,
    many of them would take the whole round of its statements as often. Of one that is near each
    event lengthens the commit, and what came of the last must not make the next longer.

    Args:
        took: Seconds of the last commits, ``REMEMBERED_COMMITS`` of them once so many were made.
    """
    if len(took) < REMEMBERED_COMMITS:
        return TICKET_EVENTS
    far = min(took) - _NEAR_SECONDS
    return max(TICKET_EVENTS, int(far * _LONG_EVENTS_A_SECOND))
