"""The events that a platform sends: the very types that the server decodes."""

from __future__ import annotations

from schemas.events import (
    Event,
    MatchCompletedEvent,
    MatchDecisionEvent,
    MatchFeedbackEvent,
    MatchProposedEvent,
    MatchViewedEvent,
)

__all__ = [
    "Event",
    "MatchCompletedEvent",
    "MatchDecisionEvent",
    "MatchFeedbackEvent",
    "MatchProposedEvent",
    "MatchViewedEvent",
]
