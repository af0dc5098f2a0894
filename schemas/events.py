"""What a platform may send: events, as sent.

One definition serves the server's fast path, the OpenAPI page and the client. The
range of a field is said here and nowhere else. Unknown fields are refused: nothing is
stored that has no purpose.

Limits are generous for people and small for machines: an identifier has at most
256 characters, a text 10,000, a map 64 names.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, ClassVar, TypeAlias, get_args
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

# No control character and no lone surrogate: an identifier is a key, not a text.
Identifier = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\w][\w .:/-]*\Z")]
# NUL cannot be stored by every engine; nothing else is refused in a text.
Text = Annotated[str, Meta(max_length=10_000, pattern=r"^[^\x00]*\Z")]
Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00]*\Z")]
Unit = Annotated[float, Meta(ge=0, le=1)]
# Beyond a thousandth and 10^12 a parameter says nothing about a match.
Finite = Annotated[float, Meta(ge=-1e12, le=1e12)]
Seconds = Annotated[float, Meta(ge=0, le=10_000_000)]
Stars = Annotated[int, Meta(ge=1, le=5)]

Parameters = Annotated[dict[Name, Finite], Meta(max_length=64)]
Satisfactions = Annotated[dict[Name, Unit], Meta(max_length=64)]

RULE_AWARE = "must be a time with an offset from UTC"


class _Common(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every event carries.

    What has its default is not encoded, so that an event looks the same to a server that
    knows a field more.

    ``occurred_at`` is aware; the server's clock stands in when it is absent.
    ``event_id`` is made by the server when it is absent, but only a client that makes
    it can send an event again without storing it twice.
    """

    user_id: Identifier
    match_id: Identifier
    session_id: Identifier | None = None
    event_id: UUID | None = None
    occurred_at: Annotated[datetime, Meta(tz=True)] | None = None


class MatchProposedEvent(_Common, kw_only=True, frozen=True, tag="match_proposed"):
    """A match was proposed to one of its parties.

    ``propensity`` is the probability with which the matcher proposed the pair, and
    ``model_version`` the version of our model that it used; both are for matchers that
    explore or that use our model.
    """

    match_score: Unit
    match_parameters: Parameters = msgspec.field(default_factory=dict)
    alternatives_count: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    constraint_satisfaction: Satisfactions = msgspec.field(default_factory=dict)
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None
    model_version: Annotated[str, Meta(max_length=64, pattern=r"^[\w.:-]*\Z")] | None = None


class MatchViewedEvent(_Common, kw_only=True, frozen=True, tag="match_viewed"):
    """The party looked at the proposal."""

    view_duration_seconds: Seconds
    view_complete: bool = False


class MatchDecisionEvent(_Common, kw_only=True, frozen=True, tag="match_decision"):
    """The party accepted (``decision`` true) or rejected the proposal."""

    decision: bool
    decision_time_seconds: Seconds = 0.0
    reasons: Annotated[list[Reason], Meta(max_length=20)] = msgspec.field(default_factory=list)


class MatchFeedbackEvent(_Common, kw_only=True, frozen=True, tag="match_feedback"):
    """The party rated the match, 1 (worst) to 5 (best)."""

    rating: Stars
    feedback_text: Text = ""
    specific_aspects: Annotated[dict[Name, Stars], Meta(max_length=64)] = msgspec.field(
        default_factory=dict
    )


class MatchCompletedEvent(_Common, kw_only=True, frozen=True, tag="match_completed"):
    """What the match led to: completed, or abandoned (``completed`` false)."""

    completed: bool
    duration_days: Annotated[float, Meta(ge=0, le=36_525)] = 0.0
    completion_rate: Unit = 0.0
    success_indicators: Parameters = msgspec.field(default_factory=dict)


Event: TypeAlias = (
    MatchProposedEvent
    | MatchViewedEvent
    | MatchDecisionEvent
    | MatchFeedbackEvent
    | MatchCompletedEvent
)


class EventKind:
    """Names of stored events, past tense, and the route that each request takes."""

    PROPOSED: ClassVar = "match_proposed"
    VIEWED: ClassVar = "match_viewed"
    ACCEPTED: ClassVar = "match_accepted"
    REJECTED: ClassVar = "match_rejected"
    FEEDBACK: ClassVar = "match_feedback"
    COMPLETED: ClassVar = "match_completed"
    ABANDONED: ClassVar = "match_abandoned"


EVENT_KINDS: tuple[str, ...] = tuple(
    kind for name, kind in vars(EventKind).items() if name.isupper()
)

_TAGS: dict[type[Event], str] = {of: str(of.__struct_config__.tag) for of in get_args(Event)}

ROUTES: dict[str, type[Event]] = {tag.replace("_", "-"): of for of, tag in _TAGS.items()}
"""Request type by the last part of its path under ``/api/tracking/event/``."""


def kind_of(event: Event) -> str:
    """Name the stored event that a request makes: its tag, but for one of two outcomes."""
    if isinstance(event, MatchDecisionEvent):
        return EventKind.ACCEPTED if event.decision else EventKind.REJECTED
    if isinstance(event, MatchCompletedEvent):
        return EventKind.COMPLETED if event.completed else EventKind.ABANDONED
    return _TAGS[type(event)]


def texts_of(event: Event) -> list[str]:
    """Return the free texts of an event, which are sealed apart from its figures."""
    if isinstance(event, MatchDecisionEvent):
        return event.reasons
    if isinstance(event, MatchFeedbackEvent) and event.feedback_text:
        return [event.feedback_text]
    return []


class StagedPayload(Struct, kw_only=True, omit_defaults=True):
    """The figures of a staged event: what is left without identifiers, texts and times.

    One shape for all kinds, so that a partition of mixed kinds is decoded in one pass.
    """

    match_score: float | UnsetType = UNSET
    match_parameters: dict[str, float] = msgspec.field(default_factory=dict)
    alternatives_count: int | UnsetType = UNSET
    constraint_satisfaction: dict[str, float] = msgspec.field(default_factory=dict)
    propensity: float | UnsetType = UNSET
    model_version: str = ""
    view_duration_seconds: float | UnsetType = UNSET
    view_complete: bool = False
    decision_time_seconds: float | UnsetType = UNSET
    rating: int | UnsetType = UNSET
    specific_aspects: dict[str, int] = msgspec.field(default_factory=dict)
    duration_days: float | UnsetType = UNSET
    completion_rate: float | UnsetType = UNSET
    success_indicators: dict[str, float] = msgspec.field(default_factory=dict)


def utc(moment: datetime) -> datetime:
    """Return the same moment in UTC."""
    return moment.astimezone(UTC)
