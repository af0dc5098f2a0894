"""People whose proposals are stored when a version has read past them already.

Partitions are stored side by side, so one may come behind a later one that a version has read.
By the ledger and the numbers of events its people then look like some whom the version learned
from (``lineage.py``). They did allow it, and must not look like rows without consent: the books
of the version cover them, here by who stores a partition and by who keeps the books.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exists, or_, select, text, update

from schemas.tables import consents, subjects, training_sets
from warehouse.engine import is_postgres
from warehouse.lineage import consent_sum, named_by

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Connection

_MODULUS = 1 << 256
_MOVING_LOCK = 0x5341_4D35
"""PostgreSQL's advisory lock: shared by whoever stores a partition, alone for who waits for them.
Not the one of the books, behind which those who withdraw would wait for partitions."""


def expect(connection: Connection, seq: NDArray[np.int64]) -> dict[str, set[int]]:
    """Return whom the ledger names, before a partition is stored, for versions that read past it.

    Call it first of all, and ``cover`` with each answer when the partition is stored. Nobody else
    changes the books of these versions meanwhile, and who keeps the books of others waits.

    Args:
        connection: The transaction that stores the partition.
        seq: Numbers of its events, ascending.
    """
    _lock(connection, shared=True)
    if not seq.size:
        return {}
    past = (
        select(training_sets.c.version)
        .where(training_sets.c.event_seq >= int(seq[0]))
        .order_by(training_sets.c.as_of)
        .with_for_update()
    )
    return {
        version: {subject for subject, _ in named_by(connection, version)}
        for version in connection.execute(past).scalars().all()
    }


def wait_for_moving(connection: Connection) -> None:
    """Wait for whoever is storing a partition, and keep others from it until the end."""
    _lock(connection, shared=False)


def cover(connection: Connection, version: str, covered: Collection[int]) -> None:
    """Let the books of a version cover whom the ledger names beside those that they cover.

    Whose erasure was under way when it read, and whose event was not stored yet, had allowed it
    all the same. Who seems to have allowed it by an entry that their row contradicts is not
    covered: an entry that was changed afterwards is to show.
    """
    books = training_sets.c.version == version
    columns = (training_sets.c.consent_digest, training_sets.c.consent_seq)
    kept, read = connection.execute(select(*columns).where(books)).one()
    later = consents.alias()
    since = exists().where(later.c.ledger_id == subjects.c.ledger_id, later.c.seq > read)
    named = named_by(connection, version, or_(subjects.c.improvement, since))
    others = [entry_hash for subject, entry_hash in named if subject not in covered]
    digest = (int(kept, 16) + int(consent_sum(others), 16)) % _MODULUS
    many = training_sets.c.subjects + len(others)
    statement = update(training_sets).where(books)
    connection.execute(statement.values(subjects=many, consent_digest=f"{digest:064x}"))


def _lock(connection: Connection, *, shared: bool) -> None:
    # On SQLite there is one writer anyway.
    if is_postgres(connection):
        kind = "_shared" if shared else ""
        connection.execute(text(f"SELECT pg_advisory_xact_lock{kind}({_MOVING_LOCK})"))
