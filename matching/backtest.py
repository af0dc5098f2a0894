"""What would have happened, evening after evening, had this system been in use.

Each round is scored by the model that existed before it, assigned, and its outcome read
from what everybody really decided. Then its decisions are revealed, all of them or those of
the proposed pairs, and the flow's own functions learn from everything revealed so far.

Two learners are followed on the same history. ``learned`` uses the newest candidate after
every round, which shows how much there is to learn; ``champion`` uses only what the gate
let through, which is what a platform would have had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from matching import couples, features
from matching.calibration import Quality, quality
from matching.candidates import Fitting
from matching.couples import Couples
from matching.evaluation import canonical
from matching.model import Model, first_champion, score
from matching.rounds import proposals as as_proposals
from matching.training import retrain
from schemas.errors import InvalidInput, NotEnoughDecisions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from matching.evidence import Limits
    from matching.rounds import Round

    Floats = NDArray[np.float64]

Reveal = Literal["all", "proposed"]
POLICIES = ("random", "static", "champion", "learned", "oracle")


@dataclass(frozen=True, eq=False)
class Backtest:
    """What came of each policy.

    Attributes:
        evenings: One row a round: ``round``, ``day``, ``pairs`` (proposed),
            ``decisions``, mutual matches of each of ``POLICIES``, log loss, AUC and
            calibration error of ``learned`` and ``champion``, ``champion_version`` and
            ``promoted`` (whether the round's retraining was).
        totals: The same over all rounds.
        out_of_fold: Log loss, AUC and calibration error of the linear model when each round
            is predicted by a fit of all others, and its mutual matches.
        model: The last candidate.
        reveal: Which decisions were learned from.
        proposals: Disjoint proposals a person and round.
    """

    evenings: pd.DataFrame
    totals: dict[str, float]
    out_of_fold: dict[str, float]
    model: Model
    reveal: Reveal
    proposals: int

    def to_dict(self) -> dict[str, Any]:
        """Say it in plain JSON; what does not exist is null."""
        rows = self.evenings.assign(day=self.evenings["day"].astype(str)).to_dict("records")
        return {
            "reveal": self.reveal,
            "proposals": self.proposals,
            "totals": _plain(self.totals),
            "out_of_fold": _plain(self.out_of_fold),
            "evenings": [_plain({str(key): value for key, value in row.items()}) for row in rows],
        }


def backtest(
    rounds: Sequence[Round],
    *,
    reveal: Reveal,
    proposals: int = 1,
    seed: int = 0,
    limits: Limits | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Backtest:
    """Replay rounds with complete outcomes.

    Args:
        rounds: In order of time.
        reveal: ``all``: after a round every decision is learned from; ``proposed``: those
            of the pairs that ``learned`` proposed.
        proposals: Disjoint proposals a person and round.
        seed: Of the retrainings.
        limits: Of the gate.
        progress: Called before each round with its place, the number of rounds and its name.

    Raises:
        InvalidInput: There is no round, fewer than one proposal, or another ``reveal``.
    """
    if not rounds:
        raise InvalidInput("rounds", "must be at least one")
    if proposals < 1:
        raise InvalidInput("proposals", "must be at least 1")
    if reveal not in ("all", "proposed"):
        raise InvalidInput("reveal", "must be all or proposed")
    replay = _Replay(first_champion(), proposals, seed, limits)
    for index, one in enumerate(rounds):
        if progress is not None:
            progress(index, len(rounds), one.name)
        replay.play(one, reveal)
    return Backtest(
        evenings=pd.DataFrame(replay.evenings),
        totals=replay.totals(),
        out_of_fold=out_of_fold(rounds, proposals),
        model=replay.learned,
        reveal=reveal,
        proposals=proposals,
    )


def out_of_fold(rounds: Sequence[Round], proposals: int = 1) -> dict[str, float]:
    """Predict each round by a linear fit of all others, and assign by it.

    Returns:
        ``log_loss``, ``auc``, ``calibration_error`` and ``matches``; empty for one round.
    """
    if len(rounds) < 2:  # noqa: PLR2004 - one to learn from, one to predict
        return {}
    frames = [features.with_context(as_proposals(one.pairs)) for one in rounds]
    predicted, matches = [], 0
    for index, frame in enumerate(frames):
        others = pd.concat(frames[:index] + frames[index + 1 :], ignore_index=True)
        model = Fitting(canonical(others), first_champion().prior).linear
        probability = score(model, frame)["p_accept"].to_numpy()
        board = _Board.of(frame)
        matches += board.matches(board.value(probability), proposals)
        predicted.append(probability)
    accepted = pd.concat(frames)["accepted"].to_numpy(dtype="float64")
    return _named("", quality(accepted, np.concatenate(predicted))) | {"matches": float(matches)}


class _Replay:
    """The two learners and what they have seen."""

    def __init__(self, first: Model, proposals: int, seed: int, limits: Limits | None) -> None:
        self.champion = self.learned = first
        self.version = 1
        self.proposals = proposals
        self.seed = seed
        self.limits = limits
        self.revealed: list[pd.DataFrame] = []
        self.evenings: list[dict[str, Any]] = []
        self.predictions: list[tuple[Floats, Floats, Floats]] = []

    def play(self, one: Round, reveal: Reveal) -> None:
        frame = features.with_context(as_proposals(one.pairs, str(self.version)))
        accepted = frame["accepted"].to_numpy(dtype="float64")
        learned = score(self.learned, frame)["p_accept"].to_numpy()
        champion = score(self.champion, frame)["p_accept"].to_numpy()
        board = _Board.of(frame)
        chosen = couples.choose(board.matchings, board.value(learned), self.proposals)
        evening = {
            "round": one.name,
            "day": one.day,
            "pairs": int(chosen.sum()),
            "decisions": len(frame),
            "random": float(chosen.sum() * board.mutual.mean()),
            "static": board.matches(board.static(frame), self.proposals),
            "champion": board.matches(board.value(champion), self.proposals),
            "learned": int(board.mutual[chosen].sum()),
            "oracle": board.matches(board.mutual, self.proposals),
            "champion_version": self.version,
        }
        evening |= _named("", quality(accepted, learned))
        evening |= _named("champion_", quality(accepted, champion))
        self.predictions.append((accepted, learned, champion))
        self.revealed.append(frame if reveal == "all" else frame[board.rows(chosen, len(frame))])
        self.evenings.append(evening | {"promoted": self._learn()})

    def totals(self) -> dict[str, float]:
        table = pd.DataFrame(self.evenings)
        counted = ("pairs", "decisions", *POLICIES)
        sums = {name: float(table[name].sum()) for name in counted}
        accepted, learned, champion = (
            np.concatenate(parts) for parts in zip(*self.predictions, strict=True)
        )
        worth = _named("", quality(accepted, learned))
        worth |= _named("champion_", quality(accepted, champion))
        return sums | worth | {"promotions": float(table["promoted"].sum())}

    def _learn(self) -> bool:
        training = pd.concat(self.revealed, ignore_index=True)
        try:
            found = retrain(training, self.champion, seed=self.seed, limits=self.limits)
        except NotEnoughDecisions:
            return False
        self.learned = found.model
        if found.verdict.promote:
            self.champion = found.model
            self.version += 1
        return found.verdict.promote


@dataclass(frozen=True, eq=False)
class _Board:
    """The pairs of a round, each once, and whether both would accept."""

    matchings: Couples
    mutual: Floats

    @classmethod
    def of(cls, frame: pd.DataFrame) -> _Board:
        found = Couples.of(frame)
        return cls(found, couples.mutual(found, frame["accepted"].to_numpy(dtype="float64")))

    def value(self, probability: Floats) -> Floats:
        return couples.mutual(self.matchings, probability)

    def static(self, frame: pd.DataFrame) -> Floats:
        """What the matcher itself maximises: the sum of both scores."""
        own = frame[features.SCORE].to_numpy(dtype="float64")
        return np.asarray(own[self.matchings.here] + own[self.matchings.there])

    def matches(self, value: Floats, proposals: int) -> int:
        return int(self.mutual[couples.choose(self.matchings, value, proposals)].sum())

    def rows(self, chosen: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
        """Rows of the chosen pairs, both directions."""
        taken = np.zeros(size, dtype=bool)
        taken[self.matchings.here[chosen]] = True
        taken[self.matchings.there[chosen]] = True
        return taken


def _named(prefix: str, worth: Quality) -> dict[str, float]:
    return {
        f"{prefix}log_loss": worth.log_loss,
        f"{prefix}auc": worth.auc,
        f"{prefix}calibration_error": worth.calibration_error,
    }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and np.isnan(value) else value
        for name, value in values.items()
    }
