"""Make an event what may be written: pseudonyms, figures and sealed texts.

Raw identifiers and texts end here; nothing that this module returns holds one.
"""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING

import msgspec

from privacy.drawing import RandomBytes
from privacy.pseudonyms import content_digest, match_key, session_key, subject_pseudonym
from privacy.sealing import Sealer
from schemas.clock import MICROS_PER_DAY, micros
from schemas.errors import ConsentRequired, InvalidInput
from schemas.events import ROUTES, StagedPayload, kind_of, texts_of, utc
from warehouse.consents import Person
from warehouse.keyfile import day_key, day_key_stamp
from warehouse.staging import UNRESOLVED, Arrival, Staged

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from schemas.events import Event
    from warehouse.keyfile import KeyRing
    from warehouse.watch import Watch

AHEAD_SECONDS = 300
"""A client's clock may be ahead of ours by so much."""

_MICROS = 1_000_000
_RANDOM_BYTES = 10
_FIGURES = {
    of: tuple(name for name in StagedPayload.__struct_fields__ if name in of.__struct_fields__)
    for of in ROUTES.values()
}
_DEFAULTS = {
    of: tuple(
        (field.name, field.default)
        for field in msgspec.structs.fields(of)
        if isinstance(field.default, float)
    )
    for of in ROUTES.values()
}
"""Figures with a default: msgspec leaves out the very object, and encodes one that equals it."""
_NEGATIVE_ZERO = re.compile(rb'(?<!\\)":-0\.0(?=[,}])')
"""As the value of a field: within a text every quotation mark has a backslash before it."""
_encode = msgspec.json.Encoder().encode
_encode_content = msgspec.json.Encoder(order="deterministic").encode


class Intake:
    """Turns events into arrivals, with the keys and the consent of now.

    Args:
        watch: What is known of consent, and the key ring.
        keys: Directory of the day keys.
        retention_days: Events are kept for so long; an older one is not taken.
    """

    def __init__(self, watch: Watch, keys: Path, retention_days: int) -> None:
        self._watch = watch
        self._keys = keys
        self._retention_days = retention_days
        self._oldest = retention_days * MICROS_PER_DAY
        self._sealer: tuple[int, tuple[int, int] | None, Sealer] | None = None
        self._ring: KeyRing | None = None
        self._secrets: list[bytes] = []
        self._key_id = ""
        self._linking = b""
        self._since = self._until = 0
        self._draw_random = RandomBytes(_RANDOM_BYTES).draw

    def arrive(self, event: Event, now: int, *, fresh: bool) -> Arrival:
        """Return what is written of an event.

        Args:
            event: As sent.
            now: Microseconds since 1970.
            fresh: Whether the consent state in memory may be used; otherwise the transaction
                looks it up.

        Raises:
            InvalidInput: It happened too long ago, or has not happened yet.
            ConsentRequired: It happened before its person was erased.
        """
        ring = self._watch.ring
        if ring is not self._ring or not self._since <= now < self._until:
            self._renew(ring, now)
        user_id = event.user_id
        candidates = tuple([subject_pseudonym(secret, user_id) for secret in self._secrets])
        # The count first: what is held after it is at least as new.
        withdrawals = self._watch.withdrawals
        subject = self._watch.consents.get(candidates[0]) if fresh and self._key_id else None
        occurred_at = now
        if event.occurred_at is not None:
            occurred_at = self._bounded(event.occurred_at, now)
            if self._watch.erased_at and self._was_erased(candidates, occurred_at):
                raise ConsentRequired("Consent required for tracking")
        linking = self._linking
        event_id = (
            event.event_id.bytes if event.event_id else new_event_id(now, self._draw_random())
        )
        texts = texts_of(event)
        sealed, day, stamp = self._seal(texts, event_id, now) if texts else (None, None, None)
        row = Staged(
            event_id,
            kind_of(event),
            subject or UNRESOLVED,
            match_key(linking, event.match_id),
            session_key(linking, event.session_id) if event.session_id is not None else None,
            occurred_at,
            now,
            _encode(payload_of(event)),
            sealed,
            day,
        )
        digest = content_digest(ring.digest_key, content_of(event))
        named_here = event.event_id is None
        return Arrival(row, digest, candidates, named_here, self._key_id, withdrawals, stamp)

    def _was_erased(self, candidates: tuple[bytes, ...], occurred_at: int) -> bool:
        """Tell whether this happened before its person was erased: a new consent is not for it."""
        erased_at, of_pseudonym = self._watch.erased_at, self._watch.witness.of_pseudonym
        return any(erased_at.get(of_pseudonym(one), -1) >= occurred_at for one in candidates)

    def _renew(self, ring: KeyRing, now: int) -> None:
        """Take over a key ring, until the next key in it begins or the clock is set back."""
        usable = ring.usable(now)
        self._secrets = [key.secret for key in usable]
        # While a key is still to begin, what is held in memory is not kept by it, nor is a row.
        self._key_id = "" if ring.changes_after(now) else usable[0].key_id
        coming = [key.since for key in ring.pseudonym_keys if key.since > now]
        self._since, self._until = now, min(coming, default=now + MICROS_PER_DAY)
        self._linking = ring.linking.secret
        self._ring = ring

    def _bounded(self, at: datetime, now: int) -> int:
        occurred_at = micros(at)
        if occurred_at > now + AHEAD_SECONDS * _MICROS:
            raise InvalidInput("occurred_at", "must not be more than 5 minutes ahead")
        if occurred_at < now - self._oldest:
            days = self._retention_days
            raise InvalidInput("occurred_at", f"must not be more than {days} days ago")
        return occurred_at

    def forget_day_key(self) -> None:
        """Look anew at the key of the day before a text is sealed: it may be another one."""
        self._sealer = None

    def _seal(
        self, texts: list[str], event_id: bytes, now: int
    ) -> tuple[bytes, int, tuple[int, int] | None]:
        day = now // MICROS_PER_DAY
        held = self._sealer
        if held is None or held[0] != day:
            day_key(self._keys, day, make=True)
            # The stamp first: of a key that is replaced meanwhile it is too old, and seen to be.
            stamp = day_key_stamp(self._keys, day)
            sealer = Sealer(day_key(self._keys, day, make=True))
            held = self._sealer = (day, stamp, sealer)
        return held[2].seal(_encode(texts), event_id), day, held[1]


def person_of(ring: KeyRing, user_id: str, now: int) -> Person:
    """Return a person as somebody at the door, by every key under which they may be known."""
    usable = ring.usable(now)
    known_as = tuple(subject_pseudonym(key.secret, user_id) for key in usable)
    return Person(usable[0].key_id, known_as, moves=not ring.changes_after(now))


def new_event_id(now: int, random: bytes) -> bytes:
    """Return a time-ordered event id, a UUID of version 7: an index takes it in quickly.

    Args:
        now: Microseconds since 1970.
        random: Ten random bytes.

    References:
        RFC 9562, section 5.7.
    """
    number = int.from_bytes(random, "big") | ((now // 1_000) << 80)
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return number.to_bytes(16, "big")


def content_of(event: Event) -> bytes:
    """Return what tells contents of one event id apart, the same for all ways to write the same.

    An instant has many offsets, zero two signs, and a default may be said or left out.
    """
    at = event.occurred_at
    if at is not None and at.tzinfo is not UTC:
        event = msgspec.structs.replace(event, occurred_at=utc(at))
    for name, default in _DEFAULTS[type(event)]:
        if getattr(event, name) == default:
            event = msgspec.structs.replace(event, **{name: default})
    content = _encode_content(event)
    return _NEGATIVE_ZERO.sub(b'":0.0', content) if b":-0.0" in content else content


def payload_of(event: Event) -> StagedPayload:
    """Return the figures of an event: its fields that ``StagedPayload`` has, where it has them."""
    named = _FIGURES[type(event)]
    return StagedPayload(
        **{name: value for name in named if (value := getattr(event, name)) is not None}
    )
