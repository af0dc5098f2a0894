"""API keys: shown once, stored hashed, revoked within a second.

A key reads ``sm_ID_SECRET``: the id finds the row, the secret has 256 random bits, so that a
plain SHA-256 of it tells nothing. Two keys of one name may be valid at once, which is what a
rotation needs. Each key that is made or revoked is witnessed beside the pseudonym keys first, so
that a database that is put back asks for the same keys as before.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from schemas.clock import micros
from schemas.errors import InvalidInput, SmartMatchError
from schemas.tables import api_keys, versions
from warehouse import consents, marks
from warehouse.engine import add_to, insert_ignore, reading, writing
from warehouse.witness import KEY_MADE, KEY_REVOKED, Witness

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from warehouse.witness import Testimony

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
    engine: Engine, directory: Path, name: str, scopes: Collection[Scope], now: datetime
) -> tuple[ApiKey, str]:
    """Make a key.

    Args:
        engine: The database.
        directory: Where the pseudonym keys lie, and the witness.
        name: Whose key it is, for the list.
        scopes: What it opens; at least one.
        now: The time, aware.

    Returns:
        What is stored, and the key itself: it cannot be shown again.

    Raises:
        InvalidInput: The name or the scopes cannot be used.
        KeyMissing: There is no key file, and so no witness.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput("name", "must be 1 to 64 letters, digits, spaces or . : - _")
    if not scopes:
        raise InvalidInput("scopes", "must name at least one scope")
    with _changing(engine, directory) as (connection, witness):
        return _create(connection, witness, name, frozenset(scopes), now)


def _create(
    connection: Connection,
    witness: Witness,
    name: str,
    scopes: frozenset[Scope],
    now: datetime,
) -> tuple[ApiKey, str]:
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    body = {
        "key_id": key_id,
        "name": name,
        "scopes": ",".join(sorted(scopes)),
        "hash": hashlib.sha256(secret.encode()).hexdigest(),
    }
    _note(connection, witness, [witness.append(KEY_MADE, body, micros(now))])
    return ApiKey(key_id, name, scopes, micros(now), None), f"sm_{key_id}_{secret}"


def read_keys(engine: Engine) -> list[ApiKey]:
    """List every key that was ever made, oldest first, revoked ones too."""
    with reading(engine) as connection:
        return _read(connection)


def revoke(engine: Engine, directory: Path, key_id: str, now: datetime) -> None:
    """Revoke a key: servers refuse it within a second.

    Raises:
        KeyMissing: There is no key file, and so no witness.
        NoSuchKey: No valid key has this id.
    """
    with _changing(engine, directory) as (connection, witness):
        if key_id not in {key.key_id for key in _read(connection) if key.revoked_at is None}:
            raise NoSuchKey("no valid key has this id")
        _revoke(connection, witness, key_id, now)


def rotate(engine: Engine, directory: Path, key_id: str, now: datetime) -> tuple[ApiKey, str]:
    """Make a second key like one that is valid, which stays valid until it is revoked.

    Where two keys of that name are valid already, the older is revoked.

    Raises:
        KeyMissing: There is no key file, and so no witness.
        NoSuchKey: No valid key has this id.
    """
    with _changing(engine, directory) as (connection, witness):
        valid = [key for key in _read(connection) if key.revoked_at is None]
        like = next((key for key in valid if key.key_id == key_id), None)
        if like is None:
            raise NoSuchKey("no valid key has this id")
        same = [key for key in valid if (key.name, key.scopes) == (like.name, like.scopes)]
        for key in same[: len(same) - _MOST_VALID + 1]:
            _revoke(connection, witness, key.key_id, now)
        return _create(connection, witness, like.name, like.scopes, now)


def follow(connection: Connection, entries: Iterable[Testimony]) -> None:
    """Carry out what the witness knows of keys and this database may not."""
    for entry in entries:
        if entry.kind == KEY_MADE:
            row = entry.body | {"hash": bytes.fromhex(entry.body["hash"]), "created_at": entry.at}
            connection.execute(insert_ignore(connection, api_keys).values(**row))
        elif entry.kind == KEY_REVOKED:
            connection.execute(
                update(api_keys)
                .where(api_keys.c.key_id == entry.body["key_id"], api_keys.c.revoked_at.is_(None))
                .values(revoked_at=entry.at)
            )
        else:
            continue
        _count_up(connection)


def _note(connection: Connection, witness: Witness, entries: Iterable[Testimony]) -> None:
    """Carry out what the witness was told of keys just now, and follow it so far."""
    told = list(entries)
    follow(connection, told)
    for entry in told:
        marks.follow(connection, marks.passable(connection, witness, entry.marks))


def testify(engine: Engine, directory: Path) -> None:
    """Let the witness know of keys that were made or revoked before it was told of any, once."""
    with reading(engine) as connection:
        if marks.keys_are_witnessed(connection) or not _read(connection):
            return
    with _changing(engine, directory):
        pass


@contextmanager
def _changing(engine: Engine, directory: Path) -> Iterator[tuple[Connection, Witness]]:
    """Open a transaction that makes marks of keys, one after the other as all marks are made."""
    witness = Witness(directory)
    with writing(engine) as connection:
        # As answers and erasures do first of all: marks are committed in the order of the witness.
        row = {"name": consents.CHANGES, "value": 0}
        connection.execute(add_to(connection, versions, ["name"]), [row])
        if not marks.keys_are_witnessed(connection):
            _note(connection, witness, _testified(connection, witness))
            marks.set_keys_witnessed(connection)
        yield connection, witness


def _testified(connection: Connection, witness: Witness) -> Iterator[Testimony]:
    known = {(entry.kind, entry.body.get("key_id")) for entry in witness.entries()}
    columns = (api_keys.c.key_id, api_keys.c.name, api_keys.c.scopes, api_keys.c.hash)
    times = (api_keys.c.created_at, api_keys.c.revoked_at)
    rows = connection.execute(select(*columns, *times).order_by(api_keys.c.created_at)).all()
    for key_id, name, scopes, digest, created_at, revoked_at in rows:
        body = {"key_id": key_id, "name": name, "scopes": scopes, "hash": digest.hex()}
        if (KEY_MADE, key_id) not in known:
            yield witness.append(KEY_MADE, body, created_at)
        if revoked_at is not None and (KEY_REVOKED, key_id) not in known:
            yield witness.append(KEY_REVOKED, {"key_id": key_id}, revoked_at)


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


def _revoke(connection: Connection, witness: Witness, key_id: str, now: datetime) -> None:
    _note(connection, witness, [witness.append(KEY_REVOKED, {"key_id": key_id}, micros(now))])


def _count_up(connection: Connection) -> None:
    connection.execute(add_to(connection, versions, ["name"]), [{"name": CHANGES, "value": 1}])


def _scopes(listed: str) -> frozenset[Scope]:
    return frozenset(Scope(name) for name in listed.split(",") if name)
