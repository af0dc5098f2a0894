"""A whole platform in sixty lines: assign, propose, collect, process, retrain, look.

Run it where nothing is set up yet; it makes an installation of its own in SMARTMATCH_HOME:

    SMARTMATCH_HOME=/tmp/example .venv/bin/python examples/whole_platform.py
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from flows.process_events import process_events
from flows.retrain_model import retrain_model
from installation import set_up_model
from matching.assignment import assign
from schemas.settings import Settings
from tracking.collector import EventCollector
from tracking.privacy import PrivacyManager
from tracking.schema import MatchDecisionEvent, MatchProposedEvent
from warehouse.engine import connect
from warehouse.metrics import acceptance

PEOPLE, ROUNDS = 12, 10
chance = np.random.default_rng(1)


def run() -> dict[str, float]:
    """Let candidates and jobs be matched, decide, and be learned from."""
    version = set_up_model()
    privacy = PrivacyManager()
    for person in range(PEOPLE):
        privacy.record_consent(f"candidate-{person}", analytics=True, improvement=True)
    with EventCollector(privacy) as collector:
        for turn in range(ROUNDS):
            skills, distance = chance.random((2, PEOPLE, PEOPLE))
            scores = (skills + distance) / 2  # the platform's own matcher
            for row, column in assign(scores).pairs:
                candidate, match = f"candidate-{row}", f"turn-{turn}-job-{column}"
                proposal = MatchProposedEvent(
                    user_id=candidate,
                    match_id=match,
                    match_score=float(scores[row, column]),
                    match_parameters={"turn": float(turn)},
                    alternatives_count=PEOPLE - 1,
                    constraint_satisfaction={
                        "skills": float(skills[row, column]),
                        "distance": float(distance[row, column]),
                    },
                    model_version=version,
                )
                likes = bool(chance.random() < skills[row, column] ** 2)  # skills are what counts
                collector.collect_event(proposal)
                collector.collect_event(
                    MatchDecisionEvent(user_id=candidate, match_id=match, decision=likes)
                )
        collector.flush(30)
    process_events()
    learned = retrain_model()
    today = datetime.now(UTC)
    found = acceptance(connect(Settings().url), 30, today, published=False)
    print(f"{found['total_decided']} decisions, {found['acceptance_rate']:.0%} accepted")
    print(learned.sentence)
    return found


if __name__ == "__main__":
    run()
