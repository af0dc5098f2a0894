"""Seals: what only who holds the keys can put on an entry of the ledger and on a person's row.

The hashes of the ledger chain are plain, so that whoever writes the database alone could go on with
the chain, and no entry names whose it is. So each entry carries a keyed digest of its hash, and
each row of ``subjects`` one of its number, its ledger number and its pseudonym. The key lives as
long as the installation, whatever becomes of the keys of pseudonyms. Entries of before there were
seals are covered by the first one that follows, since a hash covers all that lies before it; the
note of the newest head says from which entry on every one must have a seal.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, update

from schemas.tables import consents, subjects
from warehouse.engine import writing

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Row

    from warehouse.keyfile import KeyRing

BYTES = 16
NEWEST_ENTRIES = 10_000
"""So many are looked at where a whole check would take too long."""
_CHUNK = 10_000
_PERSON = ("subject", "ledger_id", "pseudonym", "key_id", "seal")


class Seals:
    """Makes the seals of one installation."""

    def __init__(self, ring: KeyRing) -> None:
        self._key = ring.derived("ledger-seal")

    def of_entry(self, entry_hash: bytes) -> bytes:
        """Return the seal of an entry."""
        return self._seal(b"entry\0" + entry_hash)

    def of_person(self, subject: int, ledger_id: bytes, pseudonym: bytes, key_id: str) -> bytes:
        """Return the seal of a person's row."""
        number = subject.to_bytes(8, "big")
        return self._seal(b"person\0" + number + ledger_id + pseudonym + key_id.encode())

    def fits(self, person: Row[Any]) -> bool:
        """Tell whether a person's row has the seal of what it says."""
        told = self.of_person(person.subject, person.ledger_id, person.pseudonym, person.key_id)
        return person.seal is not None and hmac.compare_digest(person.seal, told)

    def _seal(self, message: bytes) -> bytes:
        return hmac.digest(self._key, message, "sha256")[:BYTES]


@dataclass(frozen=True)
class Sealed:
    """What has to be sealed.

    Attributes:
        seals: Make the seals.
        since: The entry from which on every one and everybody's row must have one; None where
            nobody has said so yet.
    """

    seals: Seals
    since: int | None

    def holds(self, seq: int, entry_hash: bytes, seal: bytes | None) -> bool:
        """Tell whether an entry has its seal, or needs none."""
        if seal is None:
            return self.since is None or seq < self.since
        return hmac.compare_digest(seal, self.seals.of_entry(entry_hash))

    def first_broken(self, connection: Connection) -> int | None:
        """Return the first of the newest entries without a right seal; None where all have one."""
        newest = (
            select(consents.c.seq, consents.c.entry_hash, consents.c.seal)
            .order_by(consents.c.seq.desc())
            .limit(NEWEST_ENTRIES)
        )
        return min(
            (entry.seq for entry in connection.execute(newest) if not self.holds(*entry)),
            default=None,
        )

    def everybody_holds(self, connection: Connection) -> bool:
        """Tell whether everybody's row is the one that was written."""
        people = select(*(subjects.c[name] for name in _PERSON))
        rows = connection.execution_options(yield_per=5_000).execute(people)
        return all(self.seals.fits(row) for row in rows if self.since is not None or row.seal)


def seal_people(engine: Engine, seals: Seals) -> None:
    """Seal the rows of everybody who has no seal.

    Only once in an installation, and after a restore of what is older: else whoever takes a seal
    away would get it back for another row.
    """
    last: int | None = 0
    while last is not None:
        last = _seal_chunk(engine, seals, last)


def _seal_chunk(engine: Engine, seals: Seals, after: int) -> int | None:
    """Seal some rows behind a number, and return the last number; None where there are none."""
    people = (
        select(*(subjects.c[name] for name in _PERSON))
        .where(subjects.c.seal.is_(None), subjects.c.subject > after)
        .order_by(subjects.c.subject)
        .limit(_CHUNK)
    )
    sealing = (
        update(subjects)
        .where(subjects.c.subject == bindparam("number"))
        .values(seal=bindparam("made"))
    )
    with writing(engine) as connection:
        made = [
            {
                "number": row.subject,
                "made": seals.of_person(row.subject, row.ledger_id, row.pseudonym, row.key_id),
            }
            for row in connection.execute(people)
        ]
        if made:
            connection.execute(sealing, made)
    return made[-1]["number"] if made else None
