"""A writer that is kept at work for as long as a test wants."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from warehouse.tickets import Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warehouse.committer import Committer


@contextmanager
def held_up(committer: Committer) -> Iterator[None]:
    """Keep a writer at work, so that what is submitted meanwhile comes to wait together."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_connection: object) -> None:
        begun.set()
        assert go_on.wait(60)

    committer.submit(Ticket(work=hold))
    assert begun.wait(60)
    try:
        yield
    finally:
        go_on.set()
