"""What a person consented to: record it, read it, withdraw it.

Consent is refused until it was read: an absent record, an unreachable server and an
unknown purpose are refusals.
"""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, Self, get_args

import msgspec

from schemas.errors import InvalidInput
from schemas.events import Identifier
from tracking import forking, retrying
from tracking.breaker import CircuitBreaker
from tracking.errors import ConsentNotRecorded, ConsentUnreadable, Unreachable
from tracking.remembered import Consent, remembered_of
from tracking.transport import (
    CONSENT_PATH,
    Reply,
    consent_of,
    decoded,
    open_transport,
    says_why,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

Purpose = Literal["analytics", "preferences", "improvement"]


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
        self._remembered = remembered_of(self.transport.target)
        self._breaker = CircuitBreaker()
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

        Without ``analytics`` their events that wait in the spool are deleted. Answers of one
        person reach the server one after the other; one that has to be repeated is not, once
        another thread has brought a newer one.

        Raises:
            ConsentNotRecorded: The server did not confirm it, in its own form and purpose by
                purpose, or a newer answer came meanwhile. What was refused is refused here at
                once and until a newer answer is recorded; what was granted is not granted.
            InvalidInput: The user id breaks its rule, or a purpose is neither True nor False.
        """
        user_id = _checked(user_id)
        consent = Consent(analytics, preferences, improvement)
        for purpose, allowed in asdict(consent).items():
            if not isinstance(allowed, bool):
                raise InvalidInput(purpose, "must be True or False")
        self._remembered.answer(user_id, consent)
        self._post(user_id, consent)
        self._remembered.confirm(user_id, consent)
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
        consent = self._read(user_id, self._breaker.insist)
        return self._remembered.without_refused(user_id, consent)

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
        known = self._remembered.recent(user_id, self._cache_seconds)
        consent = known.consent if known else self._read_or_remember(user_id)
        allowed = self._remembered.without_refused(user_id, consent)
        return allowed is not None and bool(getattr(allowed, purpose))

    def on_withdrawal(self, listener: Callable[[str], None]) -> None:
        """Call a method with the user id whenever ``analytics`` is refused here."""
        self._remembered.on_withdrawal(listener)

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
        """Nothing."""

    def after_fork_in_parent(self) -> None:
        """Nothing."""

    def after_fork_in_child(self) -> None:
        """Find out anew whether the server answers."""
        self._breaker = CircuitBreaker()

    def _post(self, user_id: str, consent: Consent) -> None:
        body = msgspec.json.encode({"user_id": user_id, **asdict(consent)})

        def attempt() -> Reply:
            with self._remembered.turn(user_id, consent) as newest:
                if not newest:
                    raise ConsentNotRecorded("consent was not recorded: another answer followed")
                return self._ask(self._timeout_seconds, "POST", CONSENT_PATH, body)

        try:
            confirmed = _confirmed(retrying.briefly(4 * self._timeout_seconds)(attempt))
        except ConsentNotRecorded:
            raise
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
            remembered = self._remembered.recent(user_id, self._outage_seconds)
            if remembered is None:
                raise
            return remembered.consent

    def _read(
        self, user_id: str, ask: Callable[[Callable[[float], Reply], float], Reply]
    ) -> Consent | None:
        path = consent_of(user_id)
        changes = self._remembered.changes
        try:
            reply = ask(lambda seconds: self._ask(seconds, "GET", path), self._timeout_seconds)
            consent = _decoded(reply)
        except Unreachable as error:
            raise ConsentUnreadable(f"consent cannot be read: {error}") from None
        return self._remembered.learn(user_id, consent, changes)


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
    if reply.status == HTTPStatus.NOT_FOUND and says_why(reply):
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
