"""Seal free text under the key of a day, so that destroying the key forgets the text.

AES-256-GCM with a random 96-bit nonce a text: safe for 2^32 texts a key (NIST SP 800-38D).
The event's id is authenticated with it, so that a text cannot be moved to another event.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import SmartMatchError

NONCE_BYTES = 12
KEY_BYTES = 32


class TextUnreadable(SmartMatchError):
    """A sealed text does not open: another key, another event, or bytes that changed."""


def seal(key: bytes, plain: bytes, event_id: bytes) -> bytes:
    """Return nonce and ciphertext of a text that belongs to an event."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, event_id)


def unseal(key: bytes, sealed: bytes, event_id: bytes) -> bytes:
    """Return the text that ``seal`` was given.

    Raises:
        TextUnreadable: It does not open.
    """
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], event_id)
    except (InvalidTag, ValueError):
        raise TextUnreadable("a sealed text does not open") from None
