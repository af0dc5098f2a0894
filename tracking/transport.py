"""Talk to the server over HTTP, or to the embedded one in this process.

httpx is imported with the first request: it would double the time to import ``tracking``.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from schemas.errors import InvalidInput
from tracking import forking
from tracking.errors import Unreachable
from tracking.logs import logger_of
from tracking.patience import bound, patience

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

EVENTS_PATH = "/api/tracking/events"
CONSENT_PATH = "/api/tracking/consent"
CONNECT_SECONDS = 5.0
LONGEST_RETRY_AFTER = 600.0
"""A server may ask for so much patience, seconds; more is taken for a mistake."""
MOST_REPLY_BYTES = 4 * 1024 * 1024
"""Longest reply, unpacked; the server's own are a hundredth of it."""

_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@")
_Form = TypeVar("_Form")


@dataclass(frozen=True)
class Reply:
    """What the server answered; ``retry_after`` in seconds, where it asked for patience."""

    status: int
    body: bytes
    retry_after: float | None


class Transport(Protocol):
    """A way to one server; ``target`` names it without telling where it is."""

    target: str

    def request(
        self, method: str, path: str, *, content: bytes | None = None, timeout_seconds: float
    ) -> Reply:
        """Send one request; each step of it (connect, write, read) may take the time given.

        Raises:
            Unreachable: There was no answer.
        """

    def close(self) -> None:
        """Let go of connections; a later request opens them again."""


def consent_of(user_id: str) -> str:
    """Path of a person's consent; every byte that could end or climb a path is encoded."""
    return f"{CONSENT_PATH}/{quote(user_id, safe='').replace('.', '%2E')}"


def open_transport(url: str | None, api_key: str | None) -> Transport:
    """Choose the server: the URL given, ``SMARTMATCH_URL``, or the embedded one.

    Raises:
        InvalidInput: The URL is none, or the key cannot be a header.
    """
    from tracking.embedded import EmbeddedTransport  # it needs this module

    url = url or os.environ.get("SMARTMATCH_URL") or None
    api_key = api_key or os.environ.get("SMARTMATCH_API_KEY") or None
    return HttpTransport(url, api_key) if url else EmbeddedTransport(api_key)


class HttpTransport:
    """Keep-alive connections to a server, shared by all threads of this process.

    Args:
        url: ``http://`` or ``https://``, with a path where the API lies under one.
        api_key: Sent as a bearer token.

    Raises:
        InvalidInput: The URL is none, or the key cannot be a header.
    """

    def __init__(self, url: str, api_key: str | None) -> None:
        self._url = _checked(url)
        self._headers = authorization(api_key)
        self.target = hashlib.sha256(self._url.encode()).hexdigest()[:16]
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._inherited: list[httpx.Client] = []
        forking.watch(self)

    def request(
        self, method: str, path: str, *, content: bytes | None = None, timeout_seconds: float
    ) -> Reply:
        """Send one request and read the whole reply."""
        try:
            connect = min(timeout_seconds, CONNECT_SECONDS)
            timeout = connect, timeout_seconds, timeout_seconds, timeout_seconds
            with (
                patience(timeout_seconds) as reading,
                self._open().stream(
                    method, self._url + path, content=content, timeout=timeout
                ) as response,
            ):
                reading.renew()
                body = _body(response)
            return reply(response.status_code, body, response.headers)
        except Unreachable:
            raise
        except Exception as error:  # noqa: BLE001 - others' bytes, proxies and certificates
            raise Unreachable(type(error).__name__) from None

    def close(self) -> None:
        """Close idle and open connections."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def before_fork(self) -> None:
        """Let no other thread open a client while the process forks."""
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on as before."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Leave the parent's connections alone: their bytes are the parent's."""
        if self._client is not None:
            self._inherited.append(self._client)  # kept, because collecting it would close it
        self._client = None
        self._lock = threading.Lock()

    def _open(self) -> httpx.Client:
        with forking.imports:
            import encodings.idna  # noqa: F401 - the first connection would import it

            import httpx  # see the module's docstring

        with self._lock:
            if self._client is None:
                hide_identifiers()
                self._client = bound(httpx.Client(headers=self._headers))
            return self._client


def _body(response: httpx.Response) -> bytes:
    """Read a whole reply, within a size.

    Raises:
        Unreachable: It does not end.
    """
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > MOST_REPLY_BYTES:
            raise Unreachable("the reply does not end")
    return bytes(body)


def reply(status: int, body: bytes, headers: Mapping[str, str]) -> Reply:
    """Make a reply of what a library gave."""
    return Reply(status, body, _seconds(headers.get("retry-after")))


def decoded(body: bytes, form: type[_Form]) -> _Form:
    """Read a reply's body.

    Raises:
        Unreachable: It has another form: it is not the server's, or not whole.
    """
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.MsgspecError, ValueError, RecursionError, MemoryError):
        raise Unreachable("the reply has another form") from None


class _Said(msgspec.Struct):
    detail: str


def says_why(reply: Reply) -> bool:
    """Tell the server's own refusal from a page of something in front of it."""
    try:
        decoded(reply.body, _Said)
    except Unreachable:
        return False
    return True


def authorization(api_key: str | None) -> dict[str, str]:
    """Headers of every request.

    Raises:
        InvalidInput: The key cannot be a header.
    """
    headers = {"content-type": "application/json"}
    if api_key:
        if not (api_key.isascii() and api_key.isprintable()):
            raise InvalidInput("api_key", "must be printable ASCII")
        headers["authorization"] = f"Bearer {api_key}"
    return headers


def hide_identifiers() -> None:
    """Keep whose consent was read, and a key in the URL, out of httpx's lines at level INFO."""
    logging.getLogger("httpx").addFilter(_without_identifiers)
    logger_of("httpx")


def _without_identifiers(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(_redacted(argument) for argument in record.args)
    return True


def _redacted(argument: Any) -> Any:
    text = str(argument)
    before, found, _ = _USERINFO.sub("", text).partition(CONSENT_PATH + "/")
    shown = f"{before}{found}..." if found else before
    return argument if shown == text else shown


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment:
        raise InvalidInput("url", "must be http:// or https:// with a host, and no query")
    return url.rstrip("/")


def _seconds(header: str | None) -> float | None:
    """Read ``Retry-After``: seconds, or a date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            moment = parsedate_to_datetime(header)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            seconds = aware.timestamp() - time.time()
        except (ValueError, TypeError, IndexError, OverflowError, OSError):
            return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
