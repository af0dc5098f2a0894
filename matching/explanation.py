"""Why a proposal got its score: what each constraint added, as it was when it was proposed.

A score is a sum in log-odds, so an explanation is its summands. It is the same as at the
time where the context that the scorer saw was sent with the proposal, and where the version
that proposed it explains it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matching import features
from matching.model import explain, score

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from matching.model import Model


@dataclass(frozen=True)
class Part:
    """What a constraint added to a score.

    Attributes:
        satisfaction: As the deciding person saw it, [0, 1]; None when it was missing.
        contribution: Log-odds: of the satisfaction beside the person's other options, of the
            person's level, and of its being missing.
    """

    satisfaction: float | None
    contribution: float


@dataclass(frozen=True)
class Explanation:
    """The score of one party's proposal and what it is made of.

    Attributes:
        side: 0 or 1; None where proposals name no side.
        version: Version that explains it.
        proposed_by: Version that the proposal names; empty for the matcher's own.
        match_score: The matcher's own score.
        p_accept: Probability that this party accepts.
        p_mutual: Probability that both do; None where the other party's row may not be read.
        constraints: Each constraint that the version knows; strongest first.
        others: Log-odds of everything else, by feature, strongest first. With those of the
            constraints they sum to the log-odds of ``p_accept``.
        context_sent: Whether the context is the one that the scorer saw.
    """

    side: int | None
    version: str
    proposed_by: str
    match_score: float
    p_accept: float
    p_mutual: float | None
    constraints: dict[str, Part]
    others: dict[str, float]
    context_sent: bool

    def to_dict(self) -> dict[str, Any]:
        """Say it in plain JSON."""
        return asdict(self)


def context_sent(frame: pd.DataFrame) -> bool:
    """Tell whether every row brought its context along."""
    return not bool(np.isnan(features.values(frame, features.OPTIONS)).any())


def explain_match(
    proposals: pd.DataFrame, match_key: int, models: Mapping[str, Model], champion: str
) -> list[Explanation]:
    """Explain each party's proposal of a match.

    Args:
        proposals: The match, and the proposals beside which it is to be seen where no
            context was sent with it.
        match_key: The match.
        models: Versions by their name, the champion among them.
        champion: Version that explains what none of ``models`` proposed.

    Returns:
        One a row of the match, in the order of the rows.
    """
    sent = ~np.isnan(features.values(proposals, features.OPTIONS))
    frame = features.with_context(proposals)
    chosen = proposals["match_key"].to_numpy() == match_key
    rows, sent = frame[chosen].reset_index(drop=True), sent[chosen]
    by = [name if name in models else champion for name in rows["model_version"]]
    scored = {name: score(models[name], rows) for name in set(by)}
    p_accept = np.array([scored[name]["p_accept"].iloc[at] for at, name in enumerate(by)])
    other = features.other_rows(rows)
    mutual = np.where(other >= 0, p_accept * p_accept[other], np.nan)
    return [
        _explained(
            rows.iloc[[at]], (name, models[name]), (p_accept[at], mutual[at]), sent=bool(sent[at])
        )
        for at, name in enumerate(by)
    ]


def _explained(
    row: pd.DataFrame, by: tuple[str, Model], p: tuple[float, float], *, sent: bool
) -> Explanation:
    version, model = by
    long = explain(model, row)
    whole = long[long["constraint"] == ""]
    added = long[long["constraint"] != ""].groupby("constraint")["contribution"].sum()
    side = features.values(row, features.SIDE)[0]
    return Explanation(
        side=None if np.isnan(side) else int(side),
        version=version,
        proposed_by=str(row["model_version"].iloc[0]),
        match_score=float(row[features.SCORE].iloc[0]),
        p_accept=float(p[0]),
        p_mutual=_known(p[1]),
        constraints={
            name: Part(_known(features.values(row, features.CONSTRAINT + name)[0]), amount)
            for name, amount in _strongest({str(n): float(v) for n, v in added.items()}).items()
        },
        others=_strongest(
            dict(zip(whole["feature"], whole["contribution"].astype("float64"), strict=True))
        ),
        context_sent=sent,
    )


def _strongest(parts: dict[str, float]) -> dict[str, float]:
    return dict(sorted(parts.items(), key=lambda entry: (-abs(entry[1]), entry[0])))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
