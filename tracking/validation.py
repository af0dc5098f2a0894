"""Make an event ready to be sent, or say which field breaks which rule.

The ranges are those of ``schemas.events``: an event is encoded and decoded again, and what
the decoder refuses is refused here, before it is accepted.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from schemas.errors import InvalidInput
from schemas.events import Event, utc

_AT = re.compile(r"(?s)(.*) - at `(.*)`\Z")
_KEY_OF = re.compile(r"`?key`? in `\$\.(\w+)")


class Prepared(NamedTuple):
    """An event as it will be sent, and whose it is."""

    user_id: str
    body: bytes


def prepare(event: Event, now: datetime) -> Prepared:
    """Encode an event as it will be sent, with an id and a time where it has none.

    Objects of the caller run their own code when they are looked at; what comes out is plain.
    Numbers of numeric libraries are taken as the numbers they are. Identifiers made here
    are time-ordered (UUID version 7), because indexes grow more slowly with them.

    Args:
        event: One of the event types of ``tracking.schema``.
        now: Aware time that stands in for an absent ``occurred_at``.

    Returns:
        Its person, and the event as JSON, with ``event_id`` and ``occurred_at`` in UTC.

    Raises:
        InvalidInput: A field breaks its rule; the value is not in the message.
    """
    try:
        checked = _plain(event)
    except InvalidInput:
        raise
    except Exception:  # noqa: BLE001 - the caller's objects may raise anything, with a value in it
        raise InvalidInput(
            "event", "must hold nothing but texts, numbers, lists and maps"
        ) from None
    try:
        moment = utc(checked.occurred_at or now)
    except OverflowError:
        raise InvalidInput("occurred_at", "must be a time that exists in UTC") from None
    complete = msgspec.structs.replace(
        checked, event_id=checked.event_id or time_ordered_id(now), occurred_at=moment
    )
    return Prepared(complete.user_id, _encoder.encode(complete))


def time_ordered_id(now: datetime) -> UUID:
    """Make a UUID of version 7: milliseconds since 1970, then 74 random bits.

    References:
        RFC 9562, section 5.7.
    """
    milliseconds = int(now.timestamp() * 1000)
    number = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) | 7 << 76
    return UUID(int=number & ~(0x3 << 62) | 2 << 62)


def _plain(event: Event) -> Event:
    """Give the same event, made of nothing but what JSON can say."""
    if not isinstance(event, Event):
        raise InvalidInput("event", "must be one of the events of tracking.schema")
    checked = _round_trip(event)
    for field in checked.__struct_fields__:
        if getattr(checked, field) is None and getattr(event, field) is not None:
            raise InvalidInput(field, "must be a finite number")  # NaN became null on its way
    return checked


def _round_trip(event: Event) -> Event:
    try:
        return _decoder.decode(_encoder.encode(event))
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None
    except UnicodeEncodeError:
        raise InvalidInput("event", "must hold no lone surrogate") from None


def _refusal(message: str) -> InvalidInput:
    """Turn the decoder's sentence, which names types and limits only, into field and rule."""
    found = _AT.match(message)
    text, path = found.groups() if found else (message, "")
    rule = re.sub(r"^Expected ", "must be ", text.replace("`", ""))
    key = _KEY_OF.search(message)
    if key:
        return InvalidInput(key.group(1), rule.replace("must be", "each name must be", 1))
    field = path.removeprefix("$").removeprefix(".").replace("[...]", "[]")
    return InvalidInput(field or "event", rule)


def _plain_number(value: Any) -> Any:
    """Give the number inside a scalar of numpy, torch and the like, without importing them."""
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    raise TypeError


_encoder = msgspec.json.Encoder(enc_hook=_plain_number)
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
