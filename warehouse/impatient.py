"""Connections to PostgreSQL that give up where no reply comes; loads its driver.

A connection can be lost without a word: a balancer, a firewall or a host between the two forgets
it, and goes on to answer whatever asks whether it is there. Who waits for its reply waits for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from psycopg.abc import PQGen

REPLY_SECONDS = 5.0
"""Longer than any statement of a server may take."""


class Impatient(psycopg.Connection[Any]):
    """Is closed where a reply takes longer than ``REPLY_SECONDS``."""

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for a reply; see ``psycopg.Connection.wait``."""
        if timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, REPLY_SECONDS)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001  # it has no other name
            self.close()
            raise psycopg.OperationalError("no reply came") from None
