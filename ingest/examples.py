"""An example for every body, for the OpenAPI page; made up, and valid."""

from __future__ import annotations

from typing import Any

from ingest.hot import BatchReply
from schemas.consents import ConsentRequest, ExportRequest, PersonRequest
from schemas.events import (
    MatchCompletedEvent,
    MatchDecisionEvent,
    MatchFeedbackEvent,
    MatchProposedEvent,
    MatchViewedEvent,
)

_WHO: dict[str, Any] = {"user_id": "candidate-17", "match_id": "match-2041"}
_PROPOSED = {
    **_WHO,
    "event_id": "01936f3e-7c1a-7d52-9b1e-4f6a0c2d8e11",
    "session_id": "session-5",
    "match_score": 0.82,
    "match_parameters": {"side": 0, "distance_km": 12.5},
    "alternatives_count": 4,
    "constraint_satisfaction": {"skills": 0.9, "location": 0.7},
}
_DECIDED = {
    **_WHO,
    "decision": True,
    "decision_time_seconds": 41.5,
    "reasons": ["close to home"],
}

EXAMPLES: dict[Any, Any] = {
    ConsentRequest: {
        "user_id": "candidate-17",
        "analytics": True,
        "preferences": False,
        "improvement": True,
    },
    PersonRequest: {"user_id": "candidate-17"},
    ExportRequest: {"user_id": "candidate-17", "format": "json"},
    MatchProposedEvent: _PROPOSED,
    MatchViewedEvent: {**_WHO, "view_duration_seconds": 12.5, "view_complete": True},
    MatchDecisionEvent: _DECIDED,
    MatchFeedbackEvent: {
        **_WHO,
        "rating": 4,
        "feedback_text": "A good conversation.",
        "specific_aspects": {"communication": 5, "relevance": 4},
    },
    MatchCompletedEvent: {
        **_WHO,
        "completed": True,
        "duration_days": 90,
        "completion_rate": 1.0,
        "success_indicators": {"goals_reached": 3},
    },
    BatchReply: [
        {"type": "match_proposed", **_PROPOSED},
        {"type": "match_decision", **_DECIDED},
    ],
}
