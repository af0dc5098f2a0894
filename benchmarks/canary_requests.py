"""Requests that carry canaries in every place where a sender can put a text, right and wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

if TYPE_CHECKING:
    from collections.abc import Iterator

CONSENT, EVENT = "/api/tracking/consent", "/api/tracking/event"
JSON = {"content-type": "application/json"}
_ROOT = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")

VALUES = {
    "phone": "06 39 98 41 27",
    "phone, abroad": "+44 20 7946 0958",
    "iban": "FR14 2004 1010 0505 0001 3M02 606",
    "card": "4970 1012 3456 7893",
    "nir": "2 84 05 75 123 456 29",
    "born": "né le 17/03/1984",
    "address": "27 bis rue des Lilas Bleus, 44300 Nantes",
    "person": "Wenceslas Kergoat-Delalande",
}
"""Personal data in texts, the same for all subjects; each is looked for as it is written."""


@dataclass(frozen=True)
class Call:
    """One request: method, path with query, body, headers."""

    method: str
    url: str
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Campaign:
    """What is sent about some subjects, each with marks of its own that share one token.

    Args:
        token: Ten or so letters and digits that occur nowhere else.
        subjects: How many people.
    """

    def __init__(self, token: str, subjects: int) -> None:
        self.token = token
        self.subjects = subjects

    @property
    def canaries(self) -> dict[str, str]:
        """What must be found nowhere afterwards, by kind; every other mark holds the token."""
        packed = {
            f"{kind}, packed": value.replace(" ", "")
            for kind, value in VALUES.items()
            if kind in {"phone", "iban", "card", "nir"}
        }
        return {"token": self.token, **VALUES, **packed}

    def user(self, number: int) -> str:
        """Name a subject as the platform does."""
        return f"{self.token}-user-{number}"

    def text(self, number: int) -> str:
        """Write a feedback with personal data of every kind."""
        v, mark = VALUES, f"{self.token}{number}"
        return (
            f"Bonjour, je m'appelle {v['person']} et je suis {v['born']}. J'habite {v['address']}."
            f" Mon numéro est le {v['phone']}, ou {v['phone, abroad']} quand je voyage. Vous pouvez"
            f" m'écrire à {mark}@example.fr, voir https://{mark}.example.org/moi?x={mark} ou"
            f" chercher @{mark} sur Instagram. Mon IBAN est {v['iban']}, ma carte {v['card']} et ma"
            f" sécurité sociale {v['nir']}. Le mentor était ponctuel et très à l'écoute."
        )

    def calls(self) -> Iterator[Call]:
        """Yield every request of every subject, the good ones first."""
        for number in range(self.subjects):
            yield from self.good(number)
        for number in range(self.subjects):
            yield from self.bad(number)

    def _fields(self, number: int, kind: str) -> dict[str, Any]:
        at = datetime.now(UTC) - timedelta(days=4, seconds=number)
        return {
            "user_id": self.user(number),
            "match_id": f"{self.token}/match é/{number // 2}",
            "session_id": f"{self.token}:session:{number}",
            "event_id": str(uuid5(_ROOT, f"{self.token} {number} {kind}")),
            "occurred_at": at.isoformat(),
        }

    def good(self, number: int) -> Iterator[Call]:
        """Yield what is sent about a subject that is right, in its order."""
        user, text = self.user(number), self.text(number)
        options = {"analytics": True, "improvement": True, "preferences": number % 2 == 0}
        if number % 2:
            query = "&".join(f"{name}={value}".lower() for name, value in options.items())
            yield Call("POST", f"{CONSENT}?user_id={user}&{query}")
        else:
            yield _json(CONSENT, {"user_id": user, **options})
        yield Call("GET", f"{CONSENT}/{user}", headers={"user-agent": user, "referer": user})
        events: dict[str, dict[str, Any]] = {
            "match-proposed": {
                "match_score": 0.5,
                "constraint_satisfaction": {"skills": 0.4, "distance": 0.9},
            },
            "match-viewed": {"view_duration_seconds": 4, "view_complete": True},
            "match-decision": {"decision": number % 3 > 0, "reasons": [text[:480], "trop loin"]},
            "match-feedback": {"rating": 1 + number % 5, "feedback_text": text},
            "match-completed": {"completed": True, "duration_days": 3, "completion_rate": 1},
        }
        for route, more in events.items():
            yield _json(f"{EVENT}/{route}", {**self._fields(number, route), **more})
        # Sent again: the same, and with other content.
        again = {**self._fields(number, "match-feedback"), "rating": 2, "feedback_text": text}
        yield _json(f"{EVENT}/match-feedback", again)
        batch = [
            {
                "event_type": "match_feedback",
                **self._fields(number, f"batch-{place}"),
                "rating": rating,
                "feedback_text": text,
            }
            for place, rating in enumerate((4, 99))
        ]
        yield Call("POST", "/api/tracking/events", json.dumps(batch).encode(), JSON)
        lines = "\n".join(json.dumps(one, ensure_ascii=False) for one in batch)
        kind = {"content-type": "application/x-ndjson"}
        yield Call("POST", "/api/tracking/events", lines.encode(), kind)

    def bad(self, number: int) -> Iterator[Call]:
        """Yield what is sent about a subject that is wrong."""
        user, text, mark = self.user(number), self.text(number), f"{self.token}{number}"
        feedback, decision = f"{EVENT}/match-feedback", f"{EVENT}/match-decision"
        base = self._fields(number, "bad")
        stranger = {**base, "user_id": f"{mark}-stranger", "event_id": None}
        yield _json(feedback, {**stranger, "rating": 3, "feedback_text": text})
        for wrong in (
            {"rating": text},
            {"rating": 3, mark: text},
            {"rating": 3, "event_id": mark},
            {"rating": 3, "occurred_at": mark},
            {"rating": 3, "feedback_text": [text]},
            {"rating": 3, "specific_aspects": {mark: mark}},
            {"rating": 3, "user_id": mark + "\x00"},
            {"rating": 3, "session_id": {"id": mark}},
            {"rating": 3, "feedback_text": text * 99},
        ):
            yield _json(feedback, {**base, **wrong})
        yield _json(decision, {**base, "decision": mark, "reasons": [text * 9]})
        yield Call("POST", feedback, f'{{"user_id": "{mark}", "text": "{mark}'.encode(), JSON)
        yield Call("POST", feedback, mark.encode("utf-16"), JSON)
        yield Call("POST", feedback, b"\xff\xfe" + mark.encode(), {"content-type": mark})
        yield Call("POST", f"{feedback}?rating={mark}&{mark}=1", b"", JSON)
        yield Call("GET", f"/api/{mark}/{mark}?{mark}={mark}", headers={"x-forwarded-for": mark})
        yield Call("GET", f"{CONSENT}/{mark}-nobody", headers={"cookie": f"session={mark}"})
        yield Call("GET", f"/api/metrics/acceptance?days={mark}")
        yield Call("GET", f"/api/runs/{mark}", headers={"authorization": f"Bearer {mark}"})
        yield Call("POST", f"/api/privacy/export?user_id={user}&format={mark}")
        yield _json("/api/privacy/export", {"user_id": user})
        yield _json("/api/privacy/export", {"user_id": f"{mark}-nobody"})
        yield _json("/api/privacy/erasure", {"user_id": f"{mark}-nobody", mark: mark})
        yield Call("GET", f"/api/privacy/erasure/{mark}")
        yield Call("PUT", f"{CONSENT}/{mark}", mark.encode(), {"x-api-key": mark})


def _json(url: str, body: dict[str, Any]) -> Call:
    kept = {name: value for name, value in body.items() if value is not None}
    return Call("POST", url, json.dumps(kept, ensure_ascii=False).encode(), JSON)
