"""The calls that users of the first module wrote, unchanged, and what they lead to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from tests.e2e.conftest import Home


def consent(url: str, user_id: str, *, analytics: bool = True) -> dict[str, Any]:
    answer = requests.post(
        f"{url}/api/tracking/consent",
        params={
            "user_id": user_id,
            "analytics": analytics,
            "preferences": False,
            "improvement": True,
        },
        timeout=10,
    )
    assert answer.status_code == 200, answer.text
    reply: dict[str, Any] = answer.json()
    return reply


def post(url: str, name: str, params: dict[str, Any], body: Any = None) -> requests.Response:
    return requests.post(f"{url}/api/tracking/event/{name}", params=params, json=body, timeout=10)


def propose(url: str, user_id: str, match_id: str, fit: float) -> requests.Response:
    return post(
        url,
        "match-proposed",
        {
            "user_id": user_id,
            "match_id": match_id,
            "match_score": 0.8,
            "alternatives_count": 4,
            "session_id": "s1",
        },
        {"match_parameters": {"w_skills": 0.6}, "constraint_satisfaction": {"skills": fit}},
    )


def decide(url: str, user_id: str, match_id: str, *, decision: bool) -> requests.Response:
    return post(
        url,
        "match-decision",
        {
            "user_id": user_id,
            "match_id": match_id,
            "decision": decision,
            "decision_time_seconds": 12.5,
        },
        {"reasons": ["trop loin"]},
    )


def rate(url: str, user_id: str, match_id: str, rating: int) -> requests.Response:
    return post(
        url,
        "match-feedback",
        {
            "user_id": user_id,
            "match_id": match_id,
            "rating": rating,
            "feedback_text": "Très bon échange, merci",
        },
        {"specific_aspects": {"communication": 5}},
    )


def metric(url: str, name: str) -> dict[str, Any]:
    answer = requests.get(f"{url}/api/metrics/{name}", params={"days": 30}, timeout=10)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_first_modules_calls_lead_to_metrics_that_are_right_to_the_unit(home: Home) -> None:
    for script in ("setup_db.py", "init_model.py"):
        finished = home.run(script)
        assert finished.returncode == 0, finished.stderr
    with home.serving("tracking_server.py") as url:
        granted = consent(url, "alice")
        consent(url, "bob")
        consent(url, "carol", analytics=False)
        replies = [
            propose(url, "alice", "m1", 0.9),
            propose(url, "bob", "m1", 0.7),
            propose(url, "alice", "m2", 0.2),
            decide(url, "alice", "m1", decision=True),
            decide(url, "bob", "m1", decision=True),
            decide(url, "alice", "m2", decision=False),
            rate(url, "alice", "m1", 5),
            rate(url, "bob", "m1", 4),
        ]
        forbidden = propose(url, "carol", "m3", 0.5)
        unknown = propose(url, "dave", "m3", 0.5)

        processed = home.smartmatch("process", "--json")

        assert granted["status"] == "success"
        assert granted["consent_id"]
        assert granted["options"] == {"analytics": True, "preferences": False, "improvement": True}
        assert [reply.status_code for reply in replies] == [200] * 8
        assert all(reply.json()["event_id"] for reply in replies)
        assert [forbidden.status_code, unknown.status_code] == [403, 403]
        assert "Consent required for tracking" in forbidden.text
        assert processed.returncode == 0, processed.stderr
        acceptance = metric(url, "acceptance")
        satisfaction = metric(url, "satisfaction")
        constraints = metric(url, "constraints")

    assert acceptance["total_proposed"] == 3
    assert acceptance["total_accepted"] == 2
    assert acceptance["acceptance_rate"] == 2 / 3
    assert satisfaction["avg_rating"] == 4.5
    assert satisfaction["total_feedbacks"] == 2
    assert {k: v for k, v in satisfaction["rating_counts"].items() if v} == {"4": 1, "5": 1}
    assert constraints["total_matches"] == 3
    skills = constraints["constraints"]["skills"]
    assert skills["sample_size"] == 3
    assert skills["avg_satisfaction"] == 0.6


def test_a_retrain_and_a_purge_asked_for_over_http_can_be_followed(home: Home) -> None:
    assert home.smartmatch("init").returncode == 0
    with home.serving() as url:
        for path in ("/api/ml/update", "/api/privacy/cleanup"):
            asked = requests.post(f"{url}{path}", timeout=10)

            assert asked.status_code == 202
            assert follow(url, asked.json()["run"])["state"] == "completed"
        weights = requests.get(f"{url}/api/ml/weights", timeout=10).json()
    assert weights["version"] == "1"


def follow(url: str, run: str) -> dict[str, Any]:
    import time

    for _ in range(240):
        state: dict[str, Any] = requests.get(f"{url}/api/runs/{run}", timeout=10).json()
        if state["state"] in {"completed", "failed"}:
            return state
        time.sleep(0.5)
    raise AssertionError(json.dumps(state))


def test_exit_codes_tell_a_script_what_to_do(home: Home) -> None:
    before_init = home.smartmatch("metrics", "acceptance")
    wrong = home.smartmatch("metrics", "happiness")

    assert before_init.returncode == 75
    assert "smartmatch init" in before_init.stderr
    assert wrong.returncode == 2
