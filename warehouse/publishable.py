"""Choose the sums of a block that may be published, model version by model version.

Every figure counts the rows of one label of a division (decided: accepted or rejected); what
stands on the same rows, such as a sum of times, is told with it. What is left of the proposals
(the undecided ones) is a label as well, because whoever subtracts has it. Divisions are tried in
the order of their use to a reader; one that would let a small group be computed is told more
coarsely or not at all. No total over versions is kept, so nothing can be subtracted from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd

from warehouse import measures as m
from warehouse.disclosure import UNTOLD, Telling
from warehouse.matches import ABSENT, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Labels = NDArray[np.int64]
    Kept = dict[tuple[str, str], int]

_decode = msgspec.json.Decoder(dict[str, float]).decode

# What is told with each division: measures of the same rows.
_DECIDED = (m.DECIDED, m.ACCEPTED, m.REJECTED)
_ORPHANS = (m.ORPHAN_VIEWED, m.ORPHAN_DECIDED, m.ORPHAN_RATED, m.ORPHAN_COMPLETED)
_NAMED = (m.SATISFACTION_PROPOSED, m.SATISFACTION_SUM)
_NAMED_DECIDED = (m.DECIDED_SUM, m.DECIDED_SQUARES, m.ACCEPTED_SUM)

_SOLVED_VALUES = 3
"""Of so many values, number, sum and sum of squares tell how many rows have which."""

_SUM, _SQUARES = 1, 2
"""A sum less so many times its number leaves out who has one value; with squares, one of two."""

_SHARE = 0.1
"""Whoever knows their own value must not tell another's from a sum more closely than that."""

_LEFT = 2
"""Label of the proposals that a step leaves, where it counts them as 0 and 1."""


def publishable(rows: pd.DataFrame, sums: pd.DataFrame, smallest: int) -> tuple[pd.DataFrame, int]:
    """Choose what may be told of a block.

    Args:
        rows: The counted match rows of the block: ``subject``, ``model_version``, and the state
            of the match; ``paired`` and ``mutual`` mark those whose parties all decided.
        sums: What they add to the metrics, ``measure, facet, model_version, value``.
        smallest: k, the fewest subjects behind anything that can be computed.

    Returns:
        Columns as in ``sums``, whole values, none of them 0; and of how many slices (a model
        version, a constraint of one) something was left out.
    """
    parts, withheld = [], 0
    for version, group in rows.groupby("model_version"):
        added = sums[sums["model_version"] == version]
        values = zip(added["measure"], added["facet"], added["value"].tolist(), strict=True)
        by_key = {(measure, facet): value for measure, facet, value in values}
        kept = _Slice(group, by_key, smallest).choose()
        parts += [(*key, str(version), value) for key, value in kept.items() if value]
        withheld += len({facet for (measure, facet) in by_key.keys() - kept.keys()})
    columns = ["measure", "facet", "model_version", "value"]
    return pd.DataFrame(parts, columns=columns), withheld


class _Slice:
    """The rows of one model version, and what of them is told."""

    def __init__(self, rows: pd.DataFrame, sums: Kept, smallest: int) -> None:
        self._rows = rows
        self._sums = sums
        self._smallest = smallest
        self._telling = Telling(rows["subject"].to_numpy(np.int64), smallest)
        self._kept: Kept = {}
        self._proposed = (rows["proposed_at"] != ABSENT).to_numpy()
        self._accepted = rows["accepted"].to_numpy(np.int64)
        self._decided = self._proposed & (self._accepted != UNKNOWN)

    def choose(self) -> Kept:
        """Return the sums that are told, by measure and facet."""
        if self._tell((m.PROPOSED,), _marked(self._proposed)):
            self._choose_decided()
            self._choose_viewed()
            completed = self._rows["completed"].to_numpy(np.int64)
            finished = self._proposed & (completed != UNKNOWN)
            self._tell((m.COMPLETED, m.ABANDONED), self._divided(finished, completed))
            paired = self._rows["paired"].to_numpy()
            self._tell((m.PAIRED, m.MUTUAL), self._divided(paired, self._rows["mutual"].to_numpy()))
            self._choose_sums()
        self._choose_rated()
        self._choose_orphans()
        if (m.PROPOSED, m.WHOLE) in self._kept:
            self._choose_constraints()
        return self._kept

    def _tell(self, names: Iterable[str], *divisions: Labels, facet: str = m.WHOLE) -> bool:
        told = self._telling.tell(*divisions)
        if told:
            self._kept |= {(name, facet): self._sums.get((name, facet), 0) for name in names}
        return told

    def _divided(self, inside: NDArray[np.bool_], labels: NDArray[Any] | int) -> Labels:
        """Label the proposals that a step counts, and those that it leaves."""
        found: Labels = np.where(inside, labels, np.where(self._proposed, _LEFT, UNTOLD))
        return found

    def _beside(self, name: str) -> None:
        """Keep the proposals that a step's count stands beside: of other blocks it is not told."""
        self._kept[name, m.WHOLE] = self._kept[m.PROPOSED, m.WHOLE]

    def _tell_sums(
        self, names: Iterable[str], inside: NDArray[np.bool_], values: Labels, left_out: int
    ) -> bool:
        """Tell sums of what rows have whose number is told, where no few differ from the others."""
        code = np.unique(values, return_inverse=True)[1]
        if 1 < len(np.unique(values[inside])) <= _SOLVED_VALUES:
            return self._tell(names, self._divided(inside, code + _LEFT + 1))
        if self._few_differ(inside, values, left_out):
            return False
        self._kept |= {(name, m.WHOLE): self._sums.get((name, m.WHOLE), 0) for name in names}
        return True

    def _few_differ(self, inside: NDArray[np.bool_], values: Labels, left_out: int) -> bool:
        """Tell whether few of some rows' people have another value than the commonest ones.

        Or whether one has such another value that the sum is about them, as a guess for all others
        leaves of it nearly what is theirs (the p % rule).
        """
        _, place, many = np.unique(values[inside], return_inverse=True, return_counts=True)
        subject = self._rows["subject"].to_numpy()[inside]
        often = np.argsort(-many, kind="stable")
        behind = (
            len(np.unique(subject[~np.isin(place, often[:most])]))
            for most in range(1, left_out + 1)
        )
        return any(0 < people < self._smallest for people in behind) or _one_stands_out(
            subject, values[inside]
        )

    def _choose_sums(self) -> None:
        """Keep sums of scores, times and views, or which rows are without them."""
        scores = self._rows["match_score"].fillna(0.0).to_numpy(np.float64)
        scaled = np.rint(scores * m.UNIT).astype(np.int64)
        if not self._tell_sums((m.SCORE, m.SCORE_SQUARES), self._proposed, scaled, _SQUARES):
            self._kept[m.UNSCORED, m.WHOLE] = self._kept[m.PROPOSED, m.WHOLE]
        times, views, view_times = (
            self._rows[name].to_numpy(np.int64) for name in ("decision_ms", "views", "view_ms")
        )
        if (m.DECIDED, m.WHOLE) in self._kept and not self._tell_sums(
            (m.DECISION_MS,), self._decided, times, _SUM
        ):
            self._kept[m.UNTIMED, m.WHOLE] = self._kept[m.DECIDED, m.WHOLE]
        viewed = self._proposed & (views > 0)
        # Views less those who viewed are those who viewed again.
        if (m.VIEWED, m.WHOLE) in self._kept and (
            self._few_differ(viewed, view_times, _SUM)
            or not self._tell_sums((m.VIEWS, m.VIEW_MS), viewed, views, _SUM)
        ):
            self._kept[m.UNVIEWS, m.WHOLE] = self._kept[m.VIEWED, m.WHOLE]

    def _choose_decided(self) -> None:
        if self._tell(_DECIDED, self._divided(self._decided, self._accepted)):
            self._beside(m.DECIDED_OF)

    def _choose_viewed(self) -> None:
        viewed = self._proposed & (self._rows["views"] > 0).to_numpy()
        whole = (self._rows["viewed_whole"] == 1).to_numpy()
        if self._tell((m.VIEWED, m.VIEWED_WHOLE), self._divided(viewed, whole)) or self._tell(
            (m.VIEWED,), self._divided(viewed, 0)
        ):
            self._beside(m.VIEWED_OF)

    def _choose_rated(self) -> None:
        stars = self._rows["rating"].to_numpy(np.int64)
        rated = stars > 0
        if not self._tell((m.RATED, *m.RATING), np.where(rated, stars, UNTOLD)):
            self._tell((m.RATED,), _marked(rated))
        if (m.PROPOSED, m.WHOLE) in self._kept and self._tell(
            (m.RATED_PROPOSED,), np.where(rated & ~self._proposed, 1, self._divided(rated, 0))
        ):
            self._beside(m.RATED_OF)

    def _choose_orphans(self) -> None:
        came = {
            m.ORPHAN_VIEWED: self._rows["views"] > 0,
            m.ORPHAN_DECIDED: self._rows["accepted"] != UNKNOWN,
            m.ORPHAN_RATED: self._rows["rating"] > 0,
            m.ORPHAN_COMPLETED: self._rows["completed"] != UNKNOWN,
        }
        self._tell(
            _ORPHANS, *(_marked(~self._proposed & mask.to_numpy()) for mask in came.values())
        )

    def _choose_constraints(self) -> None:
        found = _satisfactions(self._rows["constraints"])
        often = sorted(found, key=lambda facet: (-np.count_nonzero(found[facet] >= 0), facet))
        for facet in often:
            scaled = found[facet]
            named = self._proposed & (scaled >= 0)
            values, code = np.unique(scaled, return_inverse=True)
            # Where the sums tell how many rows have each value, these counts are told with them.
            solved = np.count_nonzero(values >= 0) <= _SOLVED_VALUES
            which = code + _LEFT + 1 if solved else 0
            if not solved and self._few_differ(named, scaled, _SUM):
                continue
            if self._tell(_NAMED, self._divided(named, which), facet=facet):
                self._choose_bands(facet, scaled, code if solved else None)

    def _choose_bands(self, facet: str, scaled: Labels, solved: Labels | None) -> None:
        bands = np.minimum(scaled * m.BANDS // m.UNIT, m.BANDS - 1)
        if (m.DECIDED, m.WHOLE) not in self._kept:
            return
        if solved is None and self._few_decide_apart(scaled):
            return
        # The whole tells how many were accepted, rejected and left, so this tells it of the rest.
        left = np.where(self._decided, self._accepted, _LEFT) + 2 * m.BANDS + 2
        left += np.where(bands >= 0, _LEFT + 1, 0)
        left = np.where(self._proposed, left, UNTOLD)
        standing = self._decided & (bands >= 0)
        apart = list(range(m.BANDS))
        while True:
            # Bands that are not told apart still count in the whole of the constraint.
            place = np.where(np.isin(bands, apart), bands, m.BANDS) if solved is None else solved
            labels = np.where(standing, 2 * place + self._accepted, left)
            shown = [
                name for band in apart for name in (m.BAND_DECIDED[band], m.BAND_ACCEPTED[band])
            ]
            if self._tell((*_NAMED_DECIDED, *shown), labels, facet=facet):
                self._kept[m.CONSTRAINT_DECIDED, facet] = self._all(m.BAND_DECIDED, facet)
                self._kept[m.CONSTRAINT_ACCEPTED, facet] = self._all(m.BAND_ACCEPTED, facet)
                return
            if not apart or solved is not None:
                return
            behind = self._telling.counts(labels)
            apart.remove(
                min(apart, key=lambda b: min(behind.get(2 * b, 0), behind.get(2 * b + 1, 0)))
            )

    def _few_decide_apart(self, scaled: Labels) -> bool:
        """Tell whether sums of the satisfaction of those who decide, or do not, are about few."""
        named = self._proposed & (scaled >= 0)
        parts = [named & ~self._decided, *(named & (self._accepted == one) for one in (0, 1))]
        return self._few_differ(named & self._decided, scaled, _SQUARES) or any(
            self._few_differ(part, scaled, _SUM) for part in parts
        )

    def _all(self, names: Sequence[str], facet: str) -> int:
        return sum(self._sums.get((name, facet), 0) for name in names)


def _one_stands_out(subject: Labels, values: Labels) -> bool:
    """Tell whether all but two people are nearly alike beside the one who differs most."""
    if not values.size:
        return False
    apart = np.abs(values - np.median(values))
    by_subject = np.sort(np.bincount(np.unique(subject, return_inverse=True)[1], apart))
    return bool(by_subject[:-2].sum() < _SHARE * by_subject[-1])


def _marked(mask: NDArray[np.bool_]) -> Labels:
    return np.where(mask, 0, UNTOLD).astype(np.int64)


def _satisfactions(constraints: pd.Series) -> dict[str, Labels]:
    """Return each row's scaled satisfaction by constraint; ``UNTOLD`` where none is named."""
    found: dict[str, Labels] = {}
    for row, text in enumerate(constraints):
        for facet, satisfaction in _decode(text).items():
            if facet not in found:
                found[facet] = np.full(len(constraints), UNTOLD, np.int64)
            found[facet][row] = int(np.rint(satisfaction * m.UNIT))
    return found
