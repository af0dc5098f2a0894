"""Balance the books: what was received, and what became of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import func, select

from schemas.tables import events, receipts, rejected, staged
from warehouse import accounts
from warehouse.engine import reading
from warehouse.purposes import Ground, on_ground

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine


@dataclass(frozen=True)
class Balance:
    """The books on one snapshot, in events.

    Attributes:
        received: Read from a request, whatever became of it.
        stored: Committed.
        duplicate: Stored before with the same content.
        refused: Not stored, by the rule that was broken.
        waiting: In staging.
        processed: In the analytics tables, ever.
        rejected: Broke an expectation, by the rule; less those that were sent through again.
        dropped: Left out because the consent was gone when they were processed.
        expired: Waited in staging past its retention.
        purged: Deleted by age after they were processed or rejected.
        erased: Deleted with their person, by the table that held them.
        arrivals_agree: received = stored + duplicate + refused.
        fates_agree: stored = waiting + processed + rejected + dropped + expired + erased from
            staging.
        tables_agree: What the tables hold is what the books say they hold.
    """

    received: int
    stored: int
    duplicate: int
    refused: dict[str, int]
    waiting: int
    processed: int
    rejected: dict[str, int]
    dropped: int
    expired: int
    purged: dict[str, int]
    erased: dict[str, int]
    arrivals_agree: bool
    fates_agree: bool
    tables_agree: bool

    @property
    def agrees(self) -> bool:
        """Whether every sum agrees."""
        return self.arrivals_agree and self.fates_agree and self.tables_agree


@on_ground(Ground.COUNTING)
def balance(engine: Engine) -> Balance:
    """Read the books and the tables that they speak of, on one snapshot."""
    with reading(engine, whole=[events]) as connection:
        books = accounts.read(connection)
        held = {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (staged, events, rejected)
        }
    total: Counter[str] = Counter()
    by_rule: dict[str, dict[str, int]] = {}
    for (counter, rule), value in books.items():
        total[counter] += value
        by_rule.setdefault(counter, {})[rule] = value
    purged, erased = by_rule.get(accounts.PURGED, {}), by_rule.get(accounts.ERASED, {})
    return Balance(
        received=total[accounts.RECEIVED],
        stored=total[accounts.STORED],
        duplicate=total[accounts.DUPLICATE],
        refused=by_rule.get(accounts.REFUSED, {}),
        waiting=held["staged"],
        processed=total[accounts.PROCESSED],
        rejected=by_rule.get(accounts.REJECTED, {}),
        dropped=total[accounts.DROPPED],
        expired=total[accounts.EXPIRED],
        purged=purged,
        erased=erased,
        arrivals_agree=total[accounts.RECEIVED]
        == total[accounts.STORED] + total[accounts.DUPLICATE] + total[accounts.REFUSED],
        fates_agree=accounts.waiting(books) == held["staged"],
        tables_agree=held["events"]
        == total[accounts.PROCESSED] - purged.get("events", 0) - erased.get("events", 0)
        and held["rejected"]
        == total[accounts.REJECTED] - purged.get("rejected", 0) - erased.get("rejected", 0),
    )


def stored_event_ids(engine: Engine) -> Iterator[UUID]:
    """Read the id of every event ever stored, whatever became of it, in order of the id."""
    with reading(engine) as connection:
        rows = connection.execution_options(yield_per=10_000).execute(
            select(receipts.c.event_id).order_by(receipts.c.event_id)
        )
        for event_id in rows.scalars():
            yield UUID(bytes=event_id)
