"""Keyed pseudonyms: what an identifier becomes at the door.

HMAC-SHA256 under a secret key, with a label that keeps the spaces of users, matches and
sessions apart. A pseudonym is not anonymous: whoever holds the key can test a guess.
Without the key ten million ids are as good as random.

References:
    RFC 2104 (HMAC); EDPB Guidelines 01/2025 on pseudonymisation.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash

_BLOCK_BYTES = 64
_MASK = (1 << 63) - 1


def subject_pseudonym(key: bytes, user_id: str) -> bytes:
    """Return the 32-byte pseudonym of a user."""
    return _hmac(key, b"user\0" + user_id.encode())


def match_key(key: bytes, match_id: str) -> int:
    """Return the 63-bit pseudonym of a match.

    Two of ten million matches share one with a probability of 5e-6; a mixed-up row would
    need the same subject as well.
    """
    return _short(key, b"match\0", match_id)


def session_key(key: bytes, session_id: str) -> int:
    """Return the 63-bit pseudonym of a session."""
    return _short(key, b"session\0", session_id)


def address_hash(key: bytes, user_id: str, address: str) -> bytes:
    """Return the 16-byte keyed hash of a user's network address, for the consent ledger.

    Of another user at the same address it is another one, so that nobody's entry joins theirs.
    """
    return _hmac(key, b"address\0" + subject_pseudonym(key, user_id) + address.encode())[:16]


def content_digest(key: bytes, content: bytes) -> bytes:
    """Return the 16-byte keyed digest that tells two contents of one event id apart."""
    return hashlib.blake2b(content, digest_size=16, key=key).digest()


def _short(key: bytes, label: bytes, identifier: str) -> int:
    return int.from_bytes(_hmac(key, label + identifier.encode())[:8], "big") & _MASK


def _hmac(key: bytes, message: bytes) -> bytes:
    """Return HMAC-SHA256, from states that already hold the key: three times as fast.

    An endpoint makes three of them an event; OpenSSL sets each up anew.
    """
    keyed = _keyed(key)
    inner, outer = keyed[0].copy(), keyed[1].copy()
    inner.update(message)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(64)
def _keyed(key: bytes) -> tuple[_Hash, _Hash]:
    if len(key) > _BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    block = key.ljust(_BLOCK_BYTES, b"\0")
    inner, outer = (bytes(byte ^ pad for byte in block) for pad in (0x36, 0x5C))
    return hashlib.sha256(inner), hashlib.sha256(outer)
