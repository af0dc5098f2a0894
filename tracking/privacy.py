"""What a person consented to: record it, read it, withdraw it.

Consent is refused until it was read: an absent record, an unreachable server and an
unknown purpose are refusals.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, Self, get_args

import msgspec

from schemas.errors import InvalidInput
from schemas.events import Identifier
from tracking import forking, retrying
from tracking.breaker import CircuitBreaker
from tracking.errors import ConsentNotRecorded, ConsentUnreadable, Unreachable
from tracking.transport import CONSENT_PATH, Reply, consent_of, decoded, open_transport

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

Purpose = Literal["analytics", "preferences", "improvement"]

MOST_CACHED = 50_000
"""People whose consent is remembered at once."""


@dataclass(frozen=True)
class Consent:
    """Purposes that a person allows; all refused until granted."""

    analytics: bool = False
    preferences: bool = False
    improvement: bool = False


class _Options(msgspec.Struct):
    analytics: bool
    preferences: bool
    improvement: bool


class _Body(msgspec.Struct):
    """What the server answers to a question, as far as the client reads it."""

    options: _Options


class _Recorded(_Body, kw_only=True):
    """What it answers when it has recorded a consent, and nothing else does."""

    consent_id: str
    notice_version: str
    recorded_at: str


@dataclass(frozen=True)
class _Known:
    consent: Consent | None
    read_at: float


class PrivacyManager:
    """Consents of people, at the server, remembered here for a moment.

    What was read counts for ``cache_seconds``, a refusal too. When the server cannot be asked
    after that, nothing is allowed, unless ``outage_seconds`` lets a consent that was read so
    recently stand in meanwhile. That stores nothing against anyone's will, because the server
    asks again when the event arrives, but it does keep it in the spool until then.

    Args:
        url: Address of the server; ``SMARTMATCH_URL``, or the embedded server, without.
        api_key: Key with the scope ``ingest``; ``SMARTMATCH_API_KEY`` without.
        cache_seconds: How long a consent counts that was read.
        outage_seconds: How long it counts while the server does not answer; at least as long
            as ``cache_seconds`` to have an effect.
        timeout_seconds: Longest wait for each step of a request.

    Raises:
        InvalidInput: The URL is none, or the key cannot be a header.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        cache_seconds: float = 5.0,
        outage_seconds: float = 0.0,
        timeout_seconds: float = 2.0,
    ) -> None:
        self.transport = open_transport(url, api_key)
        self._cache_seconds = cache_seconds
        self._outage_seconds = outage_seconds
        self._timeout_seconds = timeout_seconds
        self._listeners: list[weakref.WeakMethod[Callable[[str], None]]] = []
        self._pending: dict[str, Consent] = {}
        self._forget()
        forking.watch(self)

    def record_consent(
        self,
        user_id: str,
        *,
        analytics: bool = False,
        preferences: bool = False,
        improvement: bool = False,
    ) -> Consent:
        """Record what a person allows from now on; what is not named is refused.

        Without ``analytics`` their events that wait in the spool are deleted.

        Raises:
            ConsentNotRecorded: The server did not confirm it, in its own form and purpose by
                purpose. What was refused is refused here at once and until it is recorded;
                what was granted is not granted.
            InvalidInput: The user id breaks its rule, or a purpose is neither True nor False.
        """
        user_id = _checked(user_id)
        consent = Consent(analytics, preferences, improvement)
        for purpose, allowed in asdict(consent).items():
            if not isinstance(allowed, bool):
                raise InvalidInput(purpose, "must be True or False")
        with self._lock:
            self._changes += 1
            self._pending[user_id] = consent
            self._cache.pop(user_id, None)
        if not analytics:
            self._tell_withdrawn(user_id)
        self._post(user_id, consent)
        with self._lock:
            self._changes += 1
            if self._pending.get(user_id) is consent:
                del self._pending[user_id]
                self._remember(user_id, consent)
        return consent

    def withdraw(self, user_id: str) -> Consent:
        """Record that a person allows nothing any more, and delete their waiting events.

        Raises:
            ConsentNotRecorded: As ``record_consent``.
            InvalidInput: The user id breaks its rule.
        """
        return self.record_consent(user_id)

    def get_consent(self, user_id: str) -> Consent | None:
        """Read what a person allows, now and from the server; None when none is recorded.

        Raises:
            ConsentUnreadable: It cannot be read.
            InvalidInput: The user id breaks its rule.
        """
        user_id = _checked(user_id)
        return self._without_pending(user_id, self._read(user_id, self._breaker.insist))

    def has_consent(self, user_id: str, purpose: str = "analytics") -> bool:
        """Whether a person allows a purpose; False also when nobody can say."""
        try:
            return self.allows(user_id, purpose)
        except Exception:  # noqa: BLE001 - whatever kept it from being read, nobody said yes
            return False

    def allows(self, user_id: str, purpose: str = "analytics") -> bool:
        """Like ``has_consent``, for callers who tell a refusal from not knowing.

        Raises:
            ConsentUnreadable: The server cannot be asked, and nothing recent is remembered.
            InvalidInput: The user id breaks its rule.
        """
        if purpose not in get_args(Purpose):
            return False
        user_id = _checked(user_id)
        known = self._recent(user_id, self._cache_seconds)
        consent = known.consent if known else self._read_or_remember(user_id)
        allowed = self._without_pending(user_id, consent)
        return allowed is not None and bool(getattr(allowed, purpose))

    def on_withdrawal(self, listener: Callable[[str], None]) -> None:
        """Call a method with the user id whenever ``analytics`` is refused here."""
        self._listeners.append(weakref.WeakMethod(listener))

    def close(self) -> None:
        """Close the connections to the server; an embedded server stops."""
        self.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def before_fork(self) -> None:
        """Nothing: what is remembered is replaced whole in the child."""

    def after_fork_in_parent(self) -> None:
        """Nothing."""

    def after_fork_in_child(self) -> None:
        """Remember only what must not be forgotten: refusals that are not recorded yet."""
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.RLock()  # a signal handler may ask, too
        self._cache: OrderedDict[str, _Known] = OrderedDict()
        self._changes = 0
        self._breaker = CircuitBreaker()

    def _post(self, user_id: str, consent: Consent) -> None:
        body = msgspec.json.encode({"user_id": user_id, **asdict(consent)})
        try:
            reply = retrying.briefly(4 * self._timeout_seconds)(
                self._ask, self._timeout_seconds, "POST", CONSENT_PATH, body
            )
            confirmed = _confirmed(reply)
        except Unreachable as error:
            raise ConsentNotRecorded(f"consent was not recorded: {error}") from None
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing is recorded
            reason = type(error).__name__
            raise ConsentNotRecorded(f"consent was not recorded: {reason}") from None
        if confirmed != consent:
            raise ConsentNotRecorded("consent was not recorded: the reply states another one")

    def _ask(self, seconds: float, method: str, path: str, body: bytes | None = None) -> Reply:
        """Send a request; a server that is busy or broken counts as unreachable."""
        reply = self.transport.request(method, path, content=body, timeout_seconds=seconds)
        if retrying.is_temporary(reply.status):
            raise Unreachable(f"status {reply.status}", reply.retry_after)
        return reply

    def _read_or_remember(self, user_id: str) -> Consent | None:
        try:
            return self._read(user_id, self._breaker.ask)
        except ConsentUnreadable:
            remembered = self._recent(user_id, self._outage_seconds)
            if remembered is None:
                raise
            return remembered.consent

    def _read(
        self, user_id: str, ask: Callable[[Callable[[float], Reply], float], Reply]
    ) -> Consent | None:
        path = consent_of(user_id)
        with self._lock:
            changes = self._changes
        try:
            reply = ask(lambda seconds: self._ask(seconds, "GET", path), self._timeout_seconds)
            consent = _decoded(reply)
        except Unreachable as error:
            raise ConsentUnreadable(f"consent cannot be read: {error}") from None
        with self._lock:
            if changes == self._changes:
                self._remember(user_id, consent)
            elif user_id in self._cache:  # recorded while the reply was on its way
                consent = self._cache[user_id].consent
        return consent

    def _recent(self, user_id: str, seconds: float) -> _Known | None:
        with self._lock:
            known = self._cache.get(user_id)
        return known if known and time.monotonic() - known.read_at < seconds else None

    def _without_pending(self, user_id: str, consent: Consent | None) -> Consent | None:
        """Take away what is refused here and perhaps not yet at the server."""
        pending = self._pending.get(user_id)
        if consent is None or pending is None:
            return consent
        return Consent(
            consent.analytics and pending.analytics,
            consent.preferences and pending.preferences,
            consent.improvement and pending.improvement,
        )

    def _remember(self, user_id: str, consent: Consent | None) -> None:
        self._cache[user_id] = _Known(consent, time.monotonic())
        self._cache.move_to_end(user_id)
        if len(self._cache) > MOST_CACHED:
            self._cache.popitem(last=False)

    def _tell_withdrawn(self, user_id: str) -> None:
        for reference in self._listeners:
            listener = reference()
            if listener is not None:
                listener(user_id)


def _checked(user_id: str) -> str:
    """Give a user id as a plain text, or refuse what is none."""
    try:
        plain = str.__str__(user_id)  # of numpy's texts, too
        plain.encode()
        return msgspec.convert(plain, Identifier)
    except (msgspec.ValidationError, UnicodeEncodeError, TypeError):
        raise InvalidInput(
            "user_id", "must be a text of 1 to 256 characters without control characters"
        ) from None


def _confirmed(reply: Reply) -> Consent:
    """Read what the server says it recorded.

    Raises:
        Unreachable: It does not say so; a page of something in front of it says nothing.
    """
    if reply.status != HTTPStatus.OK:
        raise Unreachable(f"status {reply.status}")
    return _consent(decoded(reply.body, _Recorded))


def _decoded(reply: Reply) -> Consent | None:
    """Read a reply; whatever is not clearly a consent or its absence is unreadable."""
    if reply.status == HTTPStatus.NOT_FOUND:
        return None
    if reply.status != HTTPStatus.OK:
        raise ConsentUnreadable(f"consent cannot be read: status {reply.status}")
    try:
        return _consent(decoded(reply.body, _Body))
    except Unreachable as error:
        raise ConsentUnreadable(f"consent cannot be read: {error}") from None


def _consent(body: _Body) -> Consent:
    options = body.options
    return Consent(options.analytics, options.preferences, options.improvement)
