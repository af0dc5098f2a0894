"""What candidates would have predicted, had they been fitted before each round.

Rounds are kept whole and in order: a round is predicted by a fit of the rounds before it,
never of its own rows or of later ones. The champion is judged on rounds that it has not
learned from, and so is everything that is compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit

from matching import features
from matching.candidates import Fitting
from matching.model import log_odds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from matching.candidates import Candidate
    from matching.model import Prior

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

BLOCKS = 5
"""Stretches of rounds that are predicted one after the other; each costs a fit."""


PAST_ROWS = 200_000
"""Rows that a step learns from at most, evenly thinned: fewer rows never favour a candidate."""
FOLDS = 10
"""Parts of the people of a single round."""


@dataclass(frozen=True, eq=False)
class Split:
    """One step forward in time: learn from the past, predict what comes next."""

    past: Mask
    future: Mask


def canonical(training: pd.DataFrame) -> pd.DataFrame:
    """Put rows in the order of their content, with their context.

    Pseudonyms and subject numbers are left out of the order, for they are drawn anew when
    the same history is told again. So any order of the same rows gives the same sums, bit
    for bit, and forgetting a person gives the model that never saw them.

    Args:
        training: Proposals frame; rows without a decision are context.

    Returns:
        The decided rows with their context, index from 0.
    """
    content = training.drop(columns=["match_key", "subject"], errors="ignore")
    content = content[sorted(content.columns)]
    for column in content.columns:
        if pd.api.types.is_numeric_dtype(content[column]):
            content[column] = features.values(content, column)
    keys = pd.util.hash_pandas_object(content, index=False).to_numpy()
    ordered = training.iloc[np.argsort(keys, kind="stable")].reset_index(drop=True)
    rows = features.with_context(ordered)
    return rows[rows["accepted"].notna()].reset_index(drop=True)


def splits(rows: pd.DataFrame, since: str) -> list[Split]:
    """Cut the rounds that are new into steps forward in time.

    Where there is a single round and nothing before it, a tenth of its people after the
    other is left out instead, so that nobody is predicted from their own decisions.

    Args:
        rows: Decided rows in canonical order.
        since: Latest proposal the champion learned from, ISO; empty for none.

    Returns:
        The steps, oldest first; none when no round is new.
    """
    begun = rows.groupby("group")["occurred_at"].min().sort_values(kind="stable")
    order = sorted(begun.index.astype(str), key=lambda group: (begun[group], group))
    fresh = [group for group in order if not since or begun[group] > pd.Timestamp(since)]
    if not fresh:
        return []
    group = rows["group"].astype(str).to_numpy()
    if len(order) == 1:
        return list(_people_in_folds(rows))
    place = pd.Series({name: index for index, name in enumerate(order)})
    position = place.reindex(group).to_numpy()
    steps = [
        Split(
            position < place[block[0]],
            (position >= place[block[0]]) & (position <= place[block[-1]]),
        )
        for block in _blocks(fresh, pd.Series(group).value_counts())
    ]
    return [step for step in steps if step.past.any()]


def forward(
    rows: pd.DataFrame, steps: list[Split], prior: Prior, offered: Sequence[Candidate]
) -> list[Floats]:
    """Predict the future of each step by fits of its past.

    Returns:
        For each candidate the probability of acceptance a row, NaN where no step predicts it.
    """
    predicted = [np.full(len(rows), np.nan) for _ in offered]
    for step in steps:
        known = rows[step.past]
        past = Fitting(known.iloc[:: -(-len(known) // PAST_ROWS)], prior)
        future = rows[step.future]
        for candidate, probability in zip(offered, predicted, strict=True):
            probability[step.future] = expit(log_odds(candidate.fit(past), future))
    return predicted


def _blocks(groups: list[str], sizes: pd.Series) -> list[list[str]]:
    """Cut rounds into at most ``BLOCKS`` stretches of about the same number of rows."""
    counts = sizes.reindex(groups).to_numpy(dtype="float64")
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    stretch = (middle * BLOCKS).astype("int64")
    return [
        [group for group, place in zip(groups, stretch, strict=True) if place == wanted]
        for wanted in np.unique(stretch)
    ]


def _people_in_folds(rows: pd.DataFrame) -> Iterator[Split]:
    """Leave out people, a tenth at a time, dealt by what they were offered and not by number."""
    person = features.People.of(rows).subject
    weight = np.bincount(person, features.values(rows, features.SCORE))
    fold = (np.argsort(np.argsort(weight, kind="stable"), kind="stable") % FOLDS)[person]
    for left_out in np.unique(fold) if len(weight) > 1 else ():
        yield Split(fold != left_out, fold == left_out)
