"""What is sent back: JSON, small, and made once where it never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from schemas.errors import SmartMatchError

if TYPE_CHECKING:
    from schemas.errors import InvalidInput

_Headers = tuple[tuple[bytes, bytes], ...]
CLOSING = (b"connection", b"close")
_JSON = (b"content-type", b"application/json")
encode = msgspec.json.Encoder().encode


class Refusal(NamedTuple):
    """A reply that refuses a request."""

    status: int
    body: bytes
    headers: _Headers = ()


class Refused(SmartMatchError):
    """A request is refused, with this reply.

    Args:
        refusal: The reply.
        rule: That an event broke: the reply waits until it is in the books.
    """

    def __init__(self, refusal: Refusal, rule: str = "") -> None:
        super().__init__(f"refused with {refusal.status}")
        self.refusal = refusal
        self.rule = rule


def refusal(status: int, detail: str, headers: _Headers = ()) -> Refusal:
    """Return a refusal that says why in one sentence."""
    return Refusal(status, encode({"detail": detail}), headers)


def invalid(*errors: InvalidInput) -> Refusal:
    """Return a refusal that names fields and rules."""
    return Refusal(
        422, encode({"detail": [{"field": error.field, "rule": error.rule} for error in errors]})
    )


CONSENT_REQUIRED = refusal(403, "Consent required for tracking")
DIFFERS = refusal(409, "This event_id was stored with other content")
ERASING = refusal(409, "An erasure of this person is under way")
FORBIDDEN = refusal(403, "This API key does not open this route")
HEAD_TOO_LARGE = refusal(431, "The URL and headers, or trailers, are too large")
MALFORMED = refusal(400, "The request is not valid HTTP", headers=(CLOSING,))
NOT_FOUND = refusal(404, "Not Found")
OVER_MATCH = refusal(409, "More than one subject answers to this id; nothing was erased")
NOT_READY = refusal(503, "Not ready, try again", headers=((b"retry-after", b"1"),))
TOO_FAST = refusal(429, "Too many requests", headers=((b"retry-after", b"1"),))
TOO_LARGE = refusal(413, "The body is too large")
TOO_MANY = refusal(413, "The batch has too many events")
TOO_SLOW = refusal(
    408,
    "The request took too long to arrive, try again",
    headers=(CLOSING, (b"retry-after", b"1")),
)
UNAUTHORIZED = refusal(
    401,
    "A valid API key is required",
    headers=((b"www-authenticate", b'Bearer realm="SmartMatch"'),),
)
SEVERAL = refusal(409, "More than one subject answers to this id; nothing is told")
SHED = NOT_READY._replace(headers=(*NOT_READY.headers, CLOSING))
UNAUTHORIZED_PAGE = UNAUTHORIZED._replace(
    headers=((b"www-authenticate", b'Basic realm="SmartMatch", charset="UTF-8"'),)
)
UNSUPPORTED_CODING = refusal(415, "The body must not be compressed")
UNSUPPORTED_TYPE = refusal(415, "The body must be application/json")


async def reply(send: Any, status: int, body: bytes, headers: _Headers = ()) -> None:
    """Send a JSON reply."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [_JSON, (b"content-length", b"%d" % len(body)), *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})
