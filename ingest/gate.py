"""Who may come in: keys with scopes, or direct loopback clients while no key was ever made."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from ingest.replies import (
    FORBIDDEN,
    NOT_READY,
    TOO_FAST,
    UNAUTHORIZED,
    UNAUTHORIZED_PAGE,
    Refused,
)
from ingest.turnstile import Line
from warehouse.api_keys import KeyHash, Scope, match

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from warehouse.watch import Watch

CALLER = "smartmatch.caller"
"""Key of the ASGI scope under which the door leaves who calls."""

EVERYTHING = frozenset(Scope)
_FORWARDED = re.compile(
    rb"forward|proxy|cdn|client-?ip|user-?ip|remote-?(addr|ip)|original|originating"
    rb"|(^|-)(via|real|cluster|coming|edge|hop|lb)(-|$)"
    rb"|^(x-)?(akamai|ali|amz|amzn|appengine|arr|azure|cf|cloud|cloudflare|cloudfront|envoy|fastly"
    rb"|fd|fly|gfe|google|goog|heroku|incap|istio|netlify|nf|ngrok|railway|render|sucuri|tailscale"
    rb"|traefik|varnish|vercel|wl)-"
)
"""Names of headers that whoever hands a request on adds; SECURITY.md tells them."""
_HOST = re.compile(rb"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]*)?", re.IGNORECASE)
_CROSS_SITE = frozenset({b"cross-site", b"same-site"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Caller:
    """Who sent a request: what it may do, and how fast.

    A bucket of tokens is refilled continuously and holds one second's worth. Its requests have
    lines of their own at the turnstiles.

    Attributes:
        digest: Of its key; empty without one.
        seen_in: The valid keys as they were when it was last found among them.
    """

    __slots__ = (
        "_at",
        "_rate",
        "_tokens",
        "batches",
        "digest",
        "others",
        "pages",
        "scopes",
        "seen_in",
        "singles",
    )

    def __init__(self, scopes: frozenset[Scope], rate: int, digest: bytes = b"") -> None:
        self.scopes = scopes
        self.digest = digest
        self.seen_in: Mapping[bytes, KeyHash] | None = None
        self.singles = Line()
        self.batches = Line()
        self.pages = Line()
        self.others = Line()
        self._rate = rate
        self._tokens = float(rate)
        self._at = time.monotonic()

    def spend(self) -> None:
        """Take one request from the bucket.

        Raises:
            Refused: It is empty.
        """
        now = time.monotonic()
        self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            raise Refused(TOO_FAST)
        self._tokens -= 1


class Gate:
    """Finds out who sent a request.

    Args:
        watch: The valid keys.
        rate: Requests a second and caller.
        origins: Origins whose pages may call.
    """

    def __init__(self, watch: Watch, rate: int, origins: tuple[str, ...]) -> None:
        self._watch = watch
        self._rate = rate
        self._origins = frozenset(origin.encode() for origin in origins)
        self._loopback = Caller(EVERYTHING, rate)
        self._callers: dict[bytes, Caller] = {}

    def admit(self, scope: Mapping[str, Any], *, page: bool = False) -> Caller:
        """Return who sent a request, and count it.

        Args:
            scope: Of ASGI.
            page: Whether a browser's own window for keys may be asked for.

        Raises:
            Refused: Nobody we know, or too fast.
        """
        if not self._watch.has_fresh_keys():
            raise Refused(NOT_READY)
        keys = self._watch.api_keys
        caller: Caller | None
        if keys is None:
            caller = self._loopback if self._is_direct(scope) else None
        else:
            caller = self._known(keys, _presented(scope))
        if caller is None:
            raise Refused(UNAUTHORIZED_PAGE if page else UNAUTHORIZED)
        caller.spend()
        return caller

    def confirm(self, caller: Caller) -> None:
        """Check that who was let in may still come in: a body may have taken its time.

        Raises:
            Refused: Its key was revoked, or the first key was made.
        """
        if not self._watch.has_fresh_keys():
            raise Refused(NOT_READY)
        keys = self._watch.api_keys
        if keys is caller.seen_in:
            return
        if keys is None or all(key.digest != caller.digest for key in keys.values()):
            raise Refused(UNAUTHORIZED)
        caller.seen_in = keys

    def _allows(self, origin: bytes) -> bool:
        return origin in self._origins or b"*" in self._origins

    def _known(self, keys: Mapping[bytes, KeyHash], presented: bytes) -> Caller | None:
        found = match(keys, presented)
        if found is None:
            return None
        caller = self._callers.get(found.digest)
        if caller is None or caller.scopes != found.scopes:
            if len(self._callers) >= len(keys):
                valid = {key.digest for key in keys.values()}
                self._callers = {key: held for key, held in self._callers.items() if key in valid}
            caller = self._callers[found.digest] = Caller(found.scopes, self._rate, found.digest)
        caller.seen_in = keys
        return caller

    def _is_direct(self, scope: Mapping[str, Any]) -> bool:
        """Tell whether a program on this machine calls, not a proxy and no foreign page."""
        client = scope.get("client")
        if not client or not _is_loopback(client[0]):
            return False
        for name, value in scope["headers"]:
            if _tells_of_forwarding(name):
                return False
            if name == b"host" and not _is_local_name(value):
                # A foreign name that resolves to this machine: a page that was rebound.
                return False
            if name == b"origin" and not (self._allows(value) or _is_own(value, scope)):
                return False
            if name == b"sec-fetch-site" and value in _CROSS_SITE and not self._origins:
                return False
        return True


def _presented(scope: Mapping[str, Any]) -> bytes:
    """Return the key that a request presents: as bearer, as X-API-Key or as a password.

    Several that differ are none: which of them would count is nothing to guess. A browser adds
    the password that it holds to whatever any page makes it send, so there it counts for
    reading alone.
    """
    presented: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            key = _authorized(value)
            if value[:6].lower() == b"basic " and _is_made_elsewhere(scope):
                key = b""
        elif name == b"x-api-key":
            key = value.strip()
        else:
            continue
        if presented not in (None, key):
            return b""
        presented = key
    return presented or b""


def _is_made_elsewhere(scope: Mapping[str, Any]) -> bool:
    """Tell whether a page of another origin made a request that changes something.

    Hosts are compared without the scheme, which a proxy in front may have changed.
    """
    if scope.get("method", "POST") in _READING:
        return False
    headers = scope["headers"]
    host = next((value for name, value in headers if name == b"host"), b"")
    return any(
        (name == b"sec-fetch-site" and value in _CROSS_SITE)
        or (name == b"origin" and value.partition(b"://")[2] != host)
        for name, value in headers
    )


def _authorized(value: bytes) -> bytes:
    method, _, credentials = value.partition(b" ")
    if method.lower() == b"bearer":
        return credentials.strip()
    return _password(credentials) if method.lower() == b"basic" else b""


def _password(credentials: bytes) -> bytes:
    try:
        return base64.b64decode(credentials, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""


@lru_cache(1_024)
def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


@lru_cache(256)
def _is_local_name(host: bytes) -> bool:
    """Tell whether a Host header names this machine, so that no other name can lead here."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = (found[1] or found[2]).decode().lower()
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


@lru_cache(256)
def _tells_of_forwarding(name: bytes) -> bool:
    return _FORWARDED.search(name.replace(b"_", b"-")) is not None


def _is_own(origin: bytes, scope: Mapping[str, Any]) -> bool:
    """Tell whether a page of this server calls."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return bool(host) and origin == b"%s://%s" % (scope.get("scheme", "http").encode(), host)


def demand(caller: Caller, scope: Scope) -> None:
    """Check that a caller may use what a scope opens.

    Raises:
        Refused: It may not.
    """
    if scope not in caller.scopes and not (scope is Scope.METRICS and Scope.ADMIN in caller.scopes):
        raise Refused(FORBIDDEN)
