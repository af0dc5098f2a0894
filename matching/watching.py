"""Which proposals the champion learned from, and which later ones it is held against."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from datetime import date

    from matching.model import Model

WATCHED_DAYS = 7
"""Days that a comparison looks back over; decisions come in meanwhile, then a day stands."""


@dataclass(frozen=True, eq=False)
class Watched:
    """Proposals of then and of now.

    Attributes:
        reference: Proposals up to the last day that the champion learned from; none for a
            champion that learned from no decision.
        current: Proposals of later days that are over.
        since: First day that was looked at.
    """

    reference: pd.DataFrame
    current: pd.DataFrame
    since: date


def split(rows: pd.DataFrame, champion: Model, *, today: date, smallest: int) -> Watched:
    """Split proposals by what the champion learned from.

    Figures of a day may be published, so a day of fewer than ``smallest`` people is left out,
    and where fewer of them decided, what they decided.

    Args:
        rows: Proposals frame.
        champion: The version in use.
        today: The first day that is not looked at, because it is not over.
        smallest: Fewest people behind any figure.
    """
    since = today - timedelta(days=WATCHED_DAYS)
    learned = np.zeros(len(rows), dtype=bool)
    days = rows["occurred_at"].dt.date.to_numpy()
    if champion.trained_until:
        last = pd.Timestamp(champion.trained_until).date()
        since = max(since, last + timedelta(days=1))
        learned = days <= last
    now = (days >= since) & (days < today)
    current = _big_enough(rows[now].reset_index(drop=True), days[now], smallest)
    return Watched(rows[learned].reset_index(drop=True), current, since)


def _big_enough(rows: pd.DataFrame, days: np.ndarray, smallest: int) -> pd.DataFrame:
    people = rows.groupby(days)["subject"].transform("nunique")
    deciding = rows["subject"].where(rows["accepted"].notna()).groupby(days).transform("nunique")
    told = rows.assign(accepted=rows["accepted"].where(deciding >= smallest))
    return told[people >= smallest].reset_index(drop=True)
