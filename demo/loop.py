"""One turn of the loop: assign a round with the champion, send what happens, learn from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from flows.aggregate_metrics import aggregate_metrics
from flows.process_events import process_events
from flows.retrain_model import retrain_model
from flows.watch_drift import watch_drift
from matching.assignment import Constraints, propose
from matching.features import with_context
from matching.model import Model, first_champion, score
from matching.pairing import Pairing, read_pairing
from matching.registry import Registry
from replay import events_of
from schemas.errors import NotReady
from tracking.collector import EventCollector
from tracking.privacy import PrivacyManager
from tracking.schema import MatchDecisionEvent, MatchProposedEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pandas as pd
    from numpy.typing import NDArray

    from matching.rounds import Round
    from schemas.settings import Settings

    Matrix = NDArray[np.float64]

PROPOSALS = 3
"""Partners that each person of a round is proposed, one assignment after another."""
FLUSH_SECONDS = 60.0


@dataclass(frozen=True)
class Turn:
    """What a turn came to.

    Attributes:
        name: The round.
        version: Champion that assigned it.
        proposed: Proposals that were collected.
        decided: Those with a decision.
        accepted: Those that were accepted.
        mutual: Pairs of the first assignment in which both accept.
        own: What the matcher's own weights would have had in the same round.
        possible: What somebody who knows every decision would have had.
        promoted: Whether the retrain after it made a new champion.
        sentence: Why, or why not.
    """

    name: str
    version: str
    proposed: int
    decided: int
    accepted: int
    mutual: int
    own: int
    possible: int
    promoted: bool
    sentence: str


class Loop:
    """The loop around a matcher.

    Args:
        demo: Settings of the demo's home.
        url: Address of the running server.
        today: The last turn takes place the day before.
        consents: What people of the simulated market allow; others allow all but preferences.
    """

    def __init__(
        self, demo: Settings, url: str, today: date, consents: dict[str, dict[str, bool]]
    ) -> None:
        self.registry = Registry(demo.tracking_uri, str(demo.artifacts), demo.model_name)
        self._first = first_champion()
        self._privacy = PrivacyManager(url, cache_seconds=600.0)
        spool = demo.data / "spool.db"
        self._collector = EventCollector(self._privacy, spool=spool, strict=True)
        self._today = today
        self._consents = consents
        self._asked: set[str] = set()

    def run(self, held: list[Round], progress: Callable[[int, int, str], None]) -> list[Turn]:
        """Run every turn, and close the client."""
        turns = []
        with self._collector, self._privacy:
            for number, round_ in enumerate(held):
                day = self._today - timedelta(days=len(held) - number)

                def step(part: int, label: str, number: int = number) -> None:
                    progress(3 * number + part, 3 * len(held), f"{number + 1}, {label}")

                turns.append(self._turn(round_, day, step))
        return turns

    def close_day(self) -> None:
        """Run what a night runs: seal the metrics of whole days, count consents, watch drift."""
        aggregate_metrics()
        watch_drift()

    def _turn(self, round_: Round, day: date, step: Callable[[int, str], None]) -> Turn:
        step(0, "collecting")
        champion, version = self.registry.champion()
        self._ask_for_consent(round_.pairs["user_id"])
        pairs = with_context(round_.pairs)
        pairing = read_pairing(pairs)
        proposed, decided, accepted = self._send(
            pairs.iloc[_proposals(pairing, _mutual(champion, pairs, pairing))],
            round_.name,
            day,
            version,
        )
        step(1, "processing")
        process_events()
        step(2, "learning")
        learned = retrain_model()

        truth = _both_accept(pairs, pairing)
        return Turn(
            name=round_.name,
            version=version,
            proposed=proposed,
            decided=decided,
            accepted=accepted,
            mutual=_won(_mutual(champion, pairs, pairing), truth),
            own=_won(_mutual(self._first, pairs, pairing), truth),
            possible=_won(truth, truth),
            promoted=learned.promoted,
            sentence=learned.sentence,
        )

    def _ask_for_consent(self, people: Iterable[str]) -> None:
        for person in sorted(set(people) - self._asked):
            answer = self._consents.get(person, {"analytics": True, "improvement": True})
            self._privacy.record_consent(person, **answer)
            self._asked.add(person)

    def _send(
        self, proposed: pd.DataFrame, name: str, day: date, version: str
    ) -> tuple[int, int, int]:
        """Send the events of proposed pairs, and count those that consent let through."""
        counts = np.zeros(3, dtype=int)
        for event in events_of(proposed, name=name, day=day, model_version=version):
            if not self._collector.collect_event(event):
                continue
            decision = isinstance(event, MatchDecisionEvent)
            counts += (
                isinstance(event, MatchProposedEvent),
                decision,
                isinstance(event, MatchDecisionEvent) and event.decision,
            )
        if not self._collector.flush(FLUSH_SECONDS):
            raise NotReady("the server did not take the events in time")
        return int(counts[0]), int(counts[1]), int(counts[2])


def _mutual(model: Model, pairs: pd.DataFrame, pairing: Pairing) -> Matrix:
    """Lay out the probability that both accept as a matrix of pairs."""
    return pairing.matrix(score(model, pairs)["p_mutual"])


def _proposals(pairing: Pairing, utilities: Matrix) -> NDArray[np.intp]:
    """Find the rows of several disjoint assignments, each the best that the others leave."""
    found = propose(utilities, PROPOSALS, Constraints(unassigned_cost=0.0))
    return np.sort(np.concatenate([pairing.positions(one) for one in found]))


def _both_accept(pairs: pd.DataFrame, pairing: Pairing) -> Matrix:
    """Say of each pair whether both accept: 1 or 0; NaN where the pair is not feasible."""
    each = pairs["accepted"].astype(float)
    if "shows_up" in pairs:
        each = each * pairs["shows_up"]
    mean = pairing.matrix(each)
    return np.where(np.isnan(mean), np.nan, (mean == 1.0).astype(float))


def _won(utilities: Matrix, truth: Matrix) -> int:
    """Count the pairs of the best assignment in which both accept."""
    (found,) = propose(utilities, 1, Constraints(unassigned_cost=0.0))
    return int(np.nansum(truth[found.rows, found.columns]))
