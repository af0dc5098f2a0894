"""API keys: shown once, stored hashed, revoked within a second.

A key reads ``sm_ID_SECRET``: the id finds the row, the secret has 256 random bits, so that a
plain SHA-256 of it tells nothing. Two keys of one name may be valid at once, which is what a
rotation needs.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from schemas.clock import micros
from schemas.errors import InvalidInput, SmartMatchError
from schemas.tables import api_keys, versions
from warehouse.engine import add_to, reading, writing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Engine

CHANGES = "api_keys"
"""Row of ``versions`` that every change of a key counts up."""

_NAME = re.compile(r"[\w][\w .:-]{0,63}")
_KEY = re.compile(rb"sm_([0-9a-f]{12})_([\w-]{43})")
_MOST_VALID = 2


class Scope(StrEnum):
    """What a key opens."""

    INGEST = "ingest"
    """Record consent and send events."""
    METRICS = "metrics"
    """Read published figures and weights."""
    ADMIN = "admin"
    """Start runs and read exact figures; includes ``metrics``."""
    PRIVACY = "privacy"
    """Erase and export a person."""


class NoSuchKey(SmartMatchError):
    """No API key that is valid has this id or name."""


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key; never the key."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    created_at: int
    revoked_at: int | None


class KeyHash:
    """A valid key as the door holds it in memory."""

    __slots__ = ("digest", "scopes")

    def __init__(self, digest: bytes, scopes: frozenset[Scope]) -> None:
        self.digest = digest
        self.scopes = scopes


_NOBODY = KeyHash(bytes(32), frozenset())


def create(
    engine: Engine, name: str, scopes: Collection[Scope], now: datetime
) -> tuple[ApiKey, str]:
    """Make a key.

    Args:
        engine: The database.
        name: Whose key it is, for the list.
        scopes: What it opens; at least one.
        now: The time, aware.

    Returns:
        What is stored, and the key itself: it cannot be shown again.

    Raises:
        InvalidInput: The name or the scopes cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput("name", "must be 1 to 64 letters, digits, spaces or . : - _")
    if not scopes:
        raise InvalidInput("scopes", "must name at least one scope")
    with writing(engine) as connection:
        return _create(connection, name, frozenset(scopes), now)


def _create(
    connection: Connection, name: str, scopes: frozenset[Scope], now: datetime
) -> tuple[ApiKey, str]:
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    connection.execute(
        api_keys.insert().values(
            key_id=key_id,
            name=name,
            scopes=",".join(sorted(scopes)),
            hash=hashlib.sha256(secret.encode()).digest(),
            created_at=micros(now),
        )
    )
    _count_up(connection)
    return ApiKey(key_id, name, scopes, micros(now), None), f"sm_{key_id}_{secret}"


def read_keys(engine: Engine) -> list[ApiKey]:
    """List every key that was ever made, oldest first, revoked ones too."""
    with reading(engine) as connection:
        return _read(connection)


def revoke(engine: Engine, key_id: str, now: datetime) -> None:
    """Revoke a key: servers refuse it within a second.

    Raises:
        NoSuchKey: No valid key has this id.
    """
    with writing(engine) as connection:
        _revoke(connection, key_id, now)


def rotate(engine: Engine, key_id: str, now: datetime) -> tuple[ApiKey, str]:
    """Make a second key like one that is valid, which stays valid until it is revoked.

    Where two keys of that name are valid already, the older is revoked.

    Raises:
        NoSuchKey: No valid key has this id.
    """
    with writing(engine) as connection:
        valid = [key for key in _read(connection) if key.revoked_at is None]
        like = next((key for key in valid if key.key_id == key_id), None)
        if like is None:
            raise NoSuchKey("no valid key has this id")
        same = [key for key in valid if (key.name, key.scopes) == (like.name, like.scopes)]
        for key in same[: len(same) - _MOST_VALID + 1]:
            _revoke(connection, key.key_id, now)
        return _create(connection, like.name, like.scopes, now)


def read_hashes(connection: Connection) -> dict[bytes, KeyHash] | None:
    """Read the valid keys by id, for ``match``.

    Returns:
        None when no key was ever made. Where all are revoked the answer is empty, not None:
        revoking the last key must not open the door.
    """
    columns = (api_keys.c.key_id, api_keys.c.hash, api_keys.c.scopes, api_keys.c.revoked_at)
    rows = connection.execute(select(*columns)).all()
    if not rows:
        return None
    return {
        key_id.encode(): KeyHash(digest, _scopes(scopes))
        for key_id, digest, scopes, revoked_at in rows
        if revoked_at is None
    }


def match(hashes: Mapping[bytes, KeyHash], presented: bytes) -> KeyHash | None:
    """Return the valid key that was presented, or None; the time tells nothing about why."""
    parts = _KEY.fullmatch(presented)
    key_id, secret = parts.groups() if parts else (b"", b"")
    known = hashes.get(key_id, _NOBODY)
    same = hmac.compare_digest(known.digest, hashlib.sha256(secret).digest())
    return known if same and known is not _NOBODY else None


def _read(connection: Connection) -> list[ApiKey]:
    columns = (
        api_keys.c.key_id,
        api_keys.c.name,
        api_keys.c.scopes,
        api_keys.c.created_at,
        api_keys.c.revoked_at,
    )
    order = (api_keys.c.created_at, api_keys.c.key_id)
    return [
        ApiKey(key_id, name, _scopes(scopes), created_at, revoked_at)
        for key_id, name, scopes, created_at, revoked_at in connection.execute(
            select(*columns).order_by(*order)
        )
    ]


def _revoke(connection: Connection, key_id: str, now: datetime) -> None:
    revoked = connection.execute(
        update(api_keys)
        .where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=micros(now))
    )
    if revoked.rowcount == 0:
        raise NoSuchKey("no valid key has this id")
    _count_up(connection)


def _count_up(connection: Connection) -> None:
    connection.execute(add_to(connection, versions, ["name"]), [{"name": CHANGES, "value": 1}])


def _scopes(listed: str) -> frozenset[Scope]:
    return frozenset(Scope(name) for name in listed.split(",") if name)
