"""Rotate and destroy the keys that make pseudonyms, and say what each of them still holds.

A rotation adds a key that begins a little later, so that every server process has read it by
then. People move to it at their next contact; matches and sessions keep the oldest key that
exists, so that a proposal and its decision meet. Destroying a key cuts whoever has not moved:
their rows stay, and nobody can tell any more whose they are.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from schemas.errors import InvalidInput, SmartMatchError
from schemas.tables import subjects
from warehouse.engine import reading
from warehouse.keyfile import (
    KEY_BYTES,
    DestroyedKey,
    KeyRing,
    PseudonymKey,
    changing,
    copies_of,
    read_ring,
    replace_ring,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine

LEAD_SECONDS = 60.0
"""A new key begins so much later; servers look at the key file several times a second."""

_MICROS = 1_000_000


class KeyCopied(SmartMatchError):
    """A file beside the key file holds the key as well; nothing was destroyed."""


@dataclass(frozen=True)
class KeyPeriod:
    """A pseudonym key, without itself.

    Attributes:
        key_id: Its id.
        since: From when on it makes pseudonyms, microseconds since 1970.
        until: When the next one takes over; None for the newest.
        destroyed_at: When it was destroyed; None while it exists.
        subjects: People whose pseudonym was made by it. Of a destroyed key they are unlinkable:
            nobody can find their rows by who they are.
        links: Whether matches and sessions are linked by it.
    """

    key_id: str
    since: int
    until: int | None
    destroyed_at: int | None
    subjects: int
    links: bool

    @property
    def unlinkable(self) -> int:
        """How many people nobody can find any more."""
        return self.subjects if self.destroyed_at is not None else 0


def rotate(directory: Path, now: int, *, lead_seconds: float = LEAD_SECONDS) -> PseudonymKey:
    """Add a key that begins after a lead, and return it.

    Raises:
        KeyMissing: There is no key file.
    """
    with changing(directory):
        ring = read_ring(directory)
        since = max(now + round(lead_seconds * _MICROS), ring.current.since + 1)
        key = PseudonymKey(secrets.token_hex(4), secrets.token_bytes(KEY_BYTES), since)
        replace_ring(
            directory, KeyRing([*ring.pseudonym_keys, key], ring.digest_key, ring.destroyed)
        )
    return key


def destroy(directory: Path, key_id: str, now: int) -> DestroyedKey:
    """Destroy a key that another has taken over from, or that is to come: it is overwritten.

    Raises:
        InvalidInput: There is no such key, or new pseudonyms are still made by it.
        KeyCopied: Another file of the directory holds it.
        KeyMissing: There is no key file.
    """
    with changing(directory):
        ring = read_ring(directory)
        found = {key.key_id: key for key in ring.pseudonym_keys}.get(key_id)
        if found is None:
            raise InvalidInput("key_id", "must be the id of a pseudonym key that exists")
        left = [key for key in ring.pseudonym_keys if key is not found]
        if found is ring.usable(now)[0]:
            raise InvalidInput("key_id", "must not be the key in use; rotate first")
        if copies := copies_of(directory, found.secret):
            names = ", ".join(str(path.relative_to(directory)) for path in copies)
            raise KeyCopied(f"the key is in the key directory a second time: delete {names} first")
        gone = DestroyedKey(key_id, found.since, now)
        replace_ring(directory, KeyRing(left, ring.digest_key, [*ring.destroyed, gone]))
    return gone


def periods(engine: Engine, ring: KeyRing) -> list[KeyPeriod]:
    """List every key there ever was, oldest first, with how many people it stands for."""
    with reading(engine) as connection:
        counted = dict(
            connection.execute(select(subjects.c.key_id, func.count()).group_by(subjects.c.key_id))
            .tuples()
            .all()
        )
    gone = {key.key_id: key.destroyed_at for key in ring.destroyed}
    starts = sorted(
        [(key.since, key.key_id) for key in ring.pseudonym_keys]
        + [(key.since, key.key_id) for key in ring.destroyed]
    )
    ends = [since for since, _ in starts[1:]] + [None]
    return [
        KeyPeriod(
            key_id,
            since,
            until,
            gone.get(key_id),
            counted.get(key_id, 0),
            links=key_id == ring.linking.key_id,
        )
        for (since, key_id), until in zip(starts, ends, strict=True)
    ]


def known_by_no_key(connection: Connection, ring: KeyRing) -> int:
    """Count people by a key that the key file neither has nor says to be destroyed.

    It was set back, and nobody finds them by who they are: asked again, they would become others.
    """
    known = {key.key_id for key in ring.pseudonym_keys} | {key.key_id for key in ring.destroyed}
    lost = select(func.count()).select_from(subjects).where(subjects.c.key_id.not_in(known))
    return int(connection.execute(lost).scalar_one())
