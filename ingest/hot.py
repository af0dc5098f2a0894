"""The hot routes: one event a request, and batches; straight from bytes to the writer.

Each is documented in OpenAPI from the same types that read it here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from ingest.decoding import QUERY, RULE_UNKNOWN, Form, decode_any, explain, is_whole_float
from ingest.replies import (
    CONSENT_REQUIRED,
    DIFFERS,
    TOO_MANY,
    Refusal,
    Refused,
    encode,
    invalid,
)
from schemas.errors import ConsentRequired, InvalidInput
from schemas.events import ROUTES, Event
from warehouse.staging import RULE_CONSENT, Outcome

if TYPE_CHECKING:
    from ingest.service import Service
    from warehouse.staging import Arrival

EVENT_PATH = "/api/tracking/event/"
BATCH_PATH = "/api/tracking/events"
CONSENT_PATH = "/api/tracking/consent"
BARE = {"match-decision": "reasons", "match-feedback": "specific_aspects"}
"""Fields that the first module sent as the whole body."""

NDJSON = (b"application/x-ndjson", b"application/ndjson", b"application/jsonl")
_BREATH_EVENTS = 64
"""A batch lets other requests pass after so many events."""
_REST_SECONDS = 0.001
"""Beside single events it rests for so long, about twice what those events took it: with less the
writer waits for the interpreter after each of its statements."""

_MOST_COMMAS = 32
"""With more of them an event, a batch is looked through before it is cut."""
_MOST_LINES = 4
"""Of a batch with a line an event so many lines an event may be empty, or be beyond the limit."""


class _Typed(msgspec.Struct):
    """What any event is at least."""

    type: str


_decode_event = msgspec.json.Decoder(Event).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_typed = msgspec.json.Decoder(list[_Typed]).decode


class RefusedEvent(msgspec.Struct, frozen=True):
    """An event of a batch that was not stored, by its place in the batch."""

    index: int
    status: Literal[403, 409, 422]
    field: str
    rule: str


class BatchReply(msgspec.Struct, frozen=True):
    """What became of a batch: received = stored + duplicate + refused."""

    status: Literal["success", "partial"]
    received: int
    stored: int
    duplicate: int
    refused: list[RefusedEvent]


class EventRoute:
    """Stores one event.

    Args:
        service: What is behind the routes.
        name: Last part of the path.
    """

    def __init__(self, service: Service, name: str) -> None:
        self._service = service
        self._form: Form[Any] = Form(ROUTES[name], BARE.get(name, ""))

    async def handle(self, query: bytes, body: bytes, _content_type: bytes) -> bytes:
        """Return the reply to an event that was stored.

        Raises:
            Refused: It was not; the reply says why.
            NotReady: It may not have been.
        """
        try:
            event, arrival = self.prepare(query, body)
        except Refused as refused:
            await self._service.refuse([refused.rule])
            raise
        arrivals = [arrival]
        outcomes = await self._service.store(arrivals, lambda _place: self._service.arrive(event))
        return answer(outcomes[0], arrivals[0])

    def prepare(self, query: bytes, body: bytes) -> tuple[Event, Arrival]:
        """Read an event and return it with what is written of it.

        Raises:
            Refused: It breaks a rule, or its person does not allow it.
        """
        service = self._service
        try:
            event = self._form.read(query, body)
            return event, service.arrive(event)
        except InvalidInput as error:
            raise Refused(invalid(error), str(error)) from None
        except ConsentRequired:
            raise Refused(CONSENT_REQUIRED, RULE_CONSENT) from None


def answer(outcome: Outcome, arrival: Arrival) -> bytes:
    """Return the reply to an event of which it is known what became of it.

    Raises:
        Refused: It was not stored.
    """
    if outcome > Outcome.DUPLICATE:
        raise Refused(_REFUSALS[outcome])
    return b'{"status":"success","event_id":"%b"}' % _text(arrival.row.event_id)


class _Batch(NamedTuple):
    """A batch that was read: what may be stored with its places in it, and what is refused."""

    parts: list[Any]
    arrivals: list[Arrival]
    places: list[int]
    refused: list[RefusedEvent]


class BatchRoute:
    """Stores many events; each that is refused is refused by itself.

    Args:
        service: What is behind the routes.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None
        self._desk = asyncio.Lock()

    async def handle(self, query: bytes, body: bytes, content_type: bytes) -> bytes:
        """Return the reply to a batch: how many were stored, and what was wrong with the rest.

        Raises:
            Refused: The batch as a whole cannot be read.
            NotReady: Whether it was stored is unknown; sending it again is safe.
        """
        if query:
            raise Refused(invalid(InvalidInput(QUERY, RULE_UNKNOWN)))
        async with self._desk_of(asyncio.get_running_loop()):
            batch = await self._prepare(body, content_type)
        outcomes = await self._store(batch)
        return _verdict(batch, outcomes)

    def _desk_of(self, loop: asyncio.AbstractEventLoop) -> asyncio.Lock:
        """Return where a loop prepares one batch at a time.

        Between two pieces of it the loop does only what others need. A lock belongs to the first
        loop in which somebody waited for it.
        """
        if loop is not self._loop:
            self._loop, self._desk = loop, asyncio.Lock()
        return self._desk

    async def _prepare(self, body: bytes, content_type: bytes) -> _Batch:
        parts = _split(body, content_type, self._service.settings.max_batch_events)
        batch = _Batch(parts, [], [], [])
        arrive = self._service.arriving()
        for index, part in enumerate(parts):
            if index % _BREATH_EVENTS == _BREATH_EVENTS - 1:
                rest = _REST_SECONDS if self._service.committer.serves_short else 0
                await asyncio.sleep(rest)
                arrive = self._service.arriving()
            try:
                arrival = arrive(_decode(part))
            except InvalidInput as error:
                batch.refused.append(RefusedEvent(index, 422, error.field, error.rule))
            except ConsentRequired:
                batch.refused.append(_forbidden(index))
            else:
                batch.places.append(index)
                batch.arrivals.append(arrival)
        return batch

    async def _store(self, batch: _Batch) -> list[Outcome]:
        arrive = self._service.arrive
        outcomes = await self._service.store(
            batch.arrivals, lambda place: arrive(_decode(batch.parts[batch.places[place]]))
        )
        # In the books only now: a batch that is sent again is not refused twice.
        await self._service.refuse(
            [
                RULE_CONSENT if one.status == _CONSENT else f"{one.field}: {one.rule}"
                for one in batch.refused
            ]
        )
        return outcomes


_CONSENT = 403


def _forbidden(index: int) -> RefusedEvent:
    return RefusedEvent(index, 403, "user_id", "Consent required for tracking")


_REFUSALS: dict[Outcome, Refusal] = {
    Outcome.DIFFERS: DIFFERS,
    Outcome.FORBIDDEN: CONSENT_REQUIRED,
}


def _split(body: bytes, content_type: bytes, most: int) -> list[Any]:
    """Cut a batch into its events, each still JSON; millions of pieces are never made."""
    if content_type.partition(b";")[0].strip().lower() in NDJSON:
        lines = body.split(b"\n", _MOST_LINES * most)
        parts = [line for line in lines if line.strip()]
        is_cut = len(lines) > _MOST_LINES * most
    else:
        parts = _cut(body, most)
        is_cut = False
    if is_cut or len(parts) > most:
        raise Refused(TOO_MANY)
    return parts


def _cut(body: bytes, most: int) -> list[Any]:
    commas = _MOST_COMMAS * most
    try:
        if (
            len(body) > 2 * commas
            and body.count(b",") > commas
            and len(_decode_typed(body)) > most  # raises at the first that is no event
        ):
            raise Refused(TOO_MANY)
        return _decode_array(body)
    except (ValueError, RecursionError) as error:
        raise Refused(invalid(explain(error))) from None


def _decode(part: Any) -> Event:
    try:
        event: Event = _decode_event(part)
    except (ValueError, RecursionError) as error:
        return _decode_again(part, error)
    return event


def _decode_again(part: Any, error: ValueError | RecursionError) -> Event:
    """Read an event whose whole numbers may be written as ``1.0``."""
    if not isinstance(error, msgspec.ValidationError) or not is_whole_float(error):
        raise explain(error) from None
    try:
        event: Event = msgspec.convert(decode_any(part), Event)
    except (ValueError, RecursionError) as second:
        raise explain(second) from None
    return event


def _verdict(batch: _Batch, outcomes: list[Outcome]) -> bytes:
    refused = batch.refused
    for index, outcome in zip(batch.places, outcomes, strict=True):
        if outcome is Outcome.DIFFERS:
            rule = "was stored with other content"
            refused.append(RefusedEvent(index, 409, "event_id", rule))
        elif outcome is Outcome.FORBIDDEN:
            refused.append(_forbidden(index))
    refused.sort(key=lambda one: one.index)
    return encode(
        BatchReply(
            status="partial" if refused else "success",
            received=len(batch.parts),
            stored=outcomes.count(Outcome.STORED),
            duplicate=outcomes.count(Outcome.DUPLICATE),
            refused=refused,
        )
    )


def _text(event_id: bytes) -> bytes:
    digits = event_id.hex()
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return "-".join(parts).encode()
