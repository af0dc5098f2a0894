"""The books: how many events were received, stored, refused, processed, and what became of them.

Every count is written in the transaction that does what it counts, so that the books balance
after any crash:

* received = stored + duplicate + refused
* stored = waiting + processed + rejected + dropped + expired + erased, where waiting is read
  from staging
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import select

from schemas.tables import accounts
from warehouse.columns import add_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

RECEIVED = "received"
STORED = "stored"
DUPLICATE = "duplicate"
REFUSED = "refused"
PROCESSED = "processed"
REJECTED = "rejected"
DROPPED = "dropped"
EXPIRED = "expired"
PURGED = "purged"
ERASED = "erased"
DECIDED = "decided"
"""Of the processed ones, those that are decisions; how much there is to learn from."""
_FATES = (PROCESSED, REJECTED, DROPPED, EXPIRED)


def refusals(rules: Iterable[str]) -> Counter[tuple[str, str]]:
    """Return what to enter of events that broke a rule each, by (counter, rule)."""
    entries = Counter((REFUSED, rule[:96]) for rule in rules)
    entries[RECEIVED, ""] = entries.total()
    return entries


def add(connection: Connection, counts: Mapping[tuple[str, str], int]) -> None:
    """Add to the books.

    Args:
        connection: The transaction that does what is counted.
        counts: Number of events by (counter, rule); the rule is empty where there is one only.
    """
    rows = [(*entry, value) for entry, value in sorted(counts.items()) if value]
    add_rows(connection, accounts, ("counter", "rule", "value"), rows)


def read(connection: Connection) -> dict[tuple[str, str], int]:
    """Read every count by (counter, rule)."""
    rows = connection.execute(select(accounts.c.counter, accounts.c.rule, accounts.c.value))
    return {(counter, rule): value for counter, rule, value in rows}


def waiting(books: Mapping[tuple[str, str], int]) -> int:
    """Return how many stored events met no fate yet: as many as wait in staging.

    Args:
        books: As ``read`` returns them.
    """
    gone = sum(value for (counter, _), value in books.items() if counter in _FATES)
    return books.get((STORED, ""), 0) - gone - books.get((ERASED, "staged"), 0)
