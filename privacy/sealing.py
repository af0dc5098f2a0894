"""Seal free text under the key of a day, so that destroying the key forgets the text.

AES-256-GCM with a random 96-bit nonce a text: safe for 2^32 texts a key (NIST SP 800-38D).
The event's id is authenticated with it, so that a text cannot be moved to another event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.drawing import RandomBytes
from schemas.errors import KeyMissing, SmartMatchError

if TYPE_CHECKING:
    from collections.abc import Callable

NONCE_BYTES = 12
KEY_BYTES = 32
_decode = msgspec.json.Decoder(list[str]).decode


class TextUnreadable(SmartMatchError):
    """A sealed text does not open: another key, another event, or bytes that changed."""


class Sealer:
    """Seals texts under one key, which is made ready once.

    Args:
        key: Of ``KEY_BYTES``.
    """

    def __init__(self, key: bytes) -> None:
        self._encrypt = AESGCM(key).encrypt
        self._draw_nonce = RandomBytes(NONCE_BYTES).draw

    def seal(self, plain: bytes, event_id: bytes) -> bytes:
        """Return nonce and ciphertext of a text that belongs to an event."""
        nonce = self._draw_nonce()
        return nonce + self._encrypt(nonce, plain, event_id)


def unseal(key: bytes, sealed: bytes, event_id: bytes) -> bytes:
    """Return the text that a ``Sealer`` was given.

    Raises:
        TextUnreadable: It does not open.
    """
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], event_id)
    except (InvalidTag, ValueError):
        raise TextUnreadable("a sealed text does not open") from None


def open_texts(
    key_of: Callable[[int], bytes], sealed: bytes, event_id: bytes, day: int
) -> list[str] | None:
    """Return the texts that were sealed with an event; None where they cannot be opened.

    Args:
        key_of: The key of a day; raises ``KeyMissing`` where it was destroyed.
        sealed: What a ``Sealer`` returned.
        event_id: The event's id.
        day: Day of the key, days since 1970.
    """
    try:
        return _decode(unseal(key_of(day), sealed, event_id))
    except (KeyMissing, TextUnreadable, msgspec.MsgspecError, UnicodeDecodeError):
        return None
