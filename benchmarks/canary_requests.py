"""Requests that carry canaries in every place where a sender can put a text, right and wrong."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID, uuid5

from benchmarks import canary_kinds
from benchmarks.canary_kinds import VALUES, foreign, french

if TYPE_CHECKING:
    from collections.abc import Iterator

CONSENT, EVENT = "/api/tracking/consent", "/api/tracking/event"
JSON = {"content-type": "application/json"}
_ROOT = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


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
        """What must be found nowhere afterwards, by kind."""
        return canary_kinds.canaries(self.token)

    def user(self, number: int) -> str:
        """Name a subject as the platform does."""
        return f"{self.token}-user-{number}"

    def text(self, number: int) -> str:
        """Write a feedback with personal data of every kind."""
        return french(f"{self.token}{number}")

    def mark(self, place: str) -> str:
        """Return what is put in a place that is no field of ours."""
        return canary_kinds.mark(self.token, place)

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
        yield Call("GET", f"{CONSENT}/{user}", headers=self._headers())
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
        yield _json(
            f"{EVENT}/match-feedback",
            {**self._fields(number, "foreign"), "rating": 3, "feedback_text": foreign(number)},
        )
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
        yield from self._unread(number)
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

    def starts(self) -> Iterator[Call]:
        """Yield what starts flows, with something in every place that they do not read."""
        aside = {name: self.mark("run") for name in ("request", "training_days", "as_of")}
        for route in ("/api/ml/update", "/api/privacy/cleanup"):
            query = "&".join(f"{name}={value}" for name, value in aside.items())
            body = json.dumps({**aside, "parameters": aside}).encode()
            yield Call("POST", f"{route}?{query}", body, {**self._headers(), **JSON})

    def _headers(self) -> dict[str, str]:
        """Say who calls, from where and for what, in the headers of clients and proxies."""
        address = VALUES["ip address"]
        return {
            "cookie": f"session={self.mark('cookie')}; email={quote(VALUES['e-mail'])}",
            "user-agent": f"Mozilla/5.0 ({self.mark('user agent')})",
            "referer": f"{VALUES['url']}?{self.mark('referer')}",
            "x-forwarded-for": f"{address}, {VALUES['ip address, version 6']}",
            "forwarded": f'for={address};by="[{VALUES["ip address, version 6"]}]"',
            "x-real-ip": address,
            "idempotency-key": self.mark("idempotency key"),
            "traceparent": self.mark("trace"),
            "tracestate": f"user={self.mark('trace')}",
            "baggage": f"user={self.mark('trace')}",
            "x-request-id": self.mark("trace"),
        }

    def _unread(self, number: int) -> Iterator[Call]:
        """Yield what our routes do not take: other bodies, other paths, other answers."""
        feedback, mark = f"{EVENT}/match-feedback", self.mark
        base = {**self._fields(number, "unread"), "rating": 3}
        yield Call(
            "POST",
            feedback,
            f"user_id={mark('form')}&feedback_text={quote(self.text(number))}".encode(),
            {"content-type": "application/x-www-form-urlencoded"},
        )
        name = f"{mark('upload')} {VALUES['person']}.pdf"
        part = f'--b\r\nContent-Disposition: form-data; name="cv"; filename="{name}"\r\n\r\n'
        upload = f"{part}{self.text(number)}\r\n--b--\r\n".encode()
        yield Call("POST", feedback, upload, {"content-type": "multipart/form-data; boundary=b"})
        packed = json.dumps({**base, "feedback_text": mark("packed body")}).encode()
        for url in (feedback, "/api/tracking/events"):
            headers = {**JSON, "content-encoding": "gzip"}
            yield Call("POST", url, gzip.compress(packed), headers)
        for more in (
            {"channel": f"{mark('channel')} {VALUES['e-mail']}"},
            {"notice_version": f"{mark('channel')}/{VALUES['person']}"},
            {"notice_version": mark("channel")},
            {"analytics": VALUES["person"]},
        ):
            yield _json(CONSENT, {"user_id": self.user(number), "analytics": True, **more})
        path = f"{mark('path')}/{quote(VALUES['person'])}/{quote(VALUES['e-mail'], safe='')}"
        for method in ("GET", "POST", "DELETE"):
            yield Call(method, f"/{path}", headers=self._headers())
            yield Call(method, f"/api/tracking/{path}", headers=self._headers())
        query = "&".join(f"{quote(kind)}={quote(value)}" for kind, value in VALUES.items())
        every_byte = "".join(f"%{byte:02X}" for byte in mark("query").encode())
        yield Call("GET", f"/api/metrics/funnel?days={every_byte}&{query}")
        yield Call("POST", f"{feedback}?user_id={every_byte}&feedback_text={every_byte}", b"")
        yield Call("GET", "/dashboard", headers=self._headers())
        wrong = {"authorization": f"Bearer {mark('authorization')}"}
        yield Call("GET", f"/dashboard?lang={mark('query')}&{query}", headers=wrong)
        yield Call("GET", "/metrics", headers={"x-api-key": mark("authorization")})


def _json(url: str, body: dict[str, Any]) -> Call:
    kept = {name: value for name, value in body.items() if value is not None}
    return Call("POST", url, json.dumps(kept, ensure_ascii=False).encode(), JSON)
