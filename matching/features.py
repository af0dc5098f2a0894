"""What is known of a proposal before anybody decides, and how it looks in context.

A satisfaction of 0.7 means one thing from a person who gives 0.9 to everybody else and
another from one who gives 0.4. So each proposal is put beside the other options that the
same person has in the same round; and what others of that round see in the partner beside
what they see in the person, for those who are much sought after are hard to please.
Nothing here reads a decision or a rating of satisfaction given afterwards.

Context belongs to the moment of the proposal: of a round with 400 pairs perhaps 20 are
proposed, and only those come back with an outcome. A matcher therefore calls
``with_context`` on the whole round and sends the context as match parameters; where it
does not, context is made of the proposals that are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

CONSTRAINT = "constraint:"
PARAMETER = "parameter:"
CONTEXT = "parameter:context."
HISTORY = "parameter:history."
"""A person's own history: read only where ``preferences`` says that they allow it."""
SIDE = "parameter:side"
SCORE = "match_score"

OWN = CONTEXT + "own."
"""Mean over the person's options of the round, this one included."""
GAP = CONTEXT + "gap."
"""How much more others of the round see in the partner than in the deciding person."""
OPTIONS = CONTEXT + "options"
"""Number of options that the means were taken over."""
RANK = CONTEXT + "rank"
"""Place of the score among the own options, -0.5 (lowest) to 0.5 (highest)."""
SPREAD = CONTEXT + "spread"
"""Standard deviation of the score over the own options; absent for fewer than three."""
RETURNED = CONTEXT + "returned"
"""How far the partner's score of this match lies above the partner's own mean."""

_PERSON = {"subject", "user_id"}
GAP_PRIOR = 3.0
"""How many people who see nothing special in them everybody starts with."""


def constraint_names(frame: pd.DataFrame) -> tuple[str, ...]:
    """Name the constraints that a frame has columns for, sorted."""
    return tuple(sorted(_after(CONSTRAINT, frame)))


def parameter_names(frame: pd.DataFrame) -> tuple[str, ...]:
    """Name the match parameters of a frame, sorted; neither the side nor the context."""
    names = (name for name in _after(PARAMETER, frame) if not name.startswith("context."))
    return tuple(sorted(name for name in names if name != "side"))


def without_rare(frame: pd.DataFrame, smallest: int) -> pd.DataFrame:
    """Leave out constraints and parameters that set only a few people apart.

    Weights are published by name: that of a constraint which few people name, or of which all
    others have one value, would tell what these few decided.

    Args:
        frame: Proposals frame, with ``subject`` and ``accepted``.
        smallest: Fewest people with another value than the commonest, a missing one being a value;
            where nobody has one, nobody is told of.
    """
    names = [CONSTRAINT + name for name in constraint_names(frame)]
    names += [PARAMETER + name for name in parameter_names(frame)]
    everybody, decided = np.ones(len(frame), dtype=bool), frame["accepted"].notna().to_numpy()
    rare = [
        name
        for name in names
        if any(0 < _set_apart(frame, name, rows) < smallest for rows in (everybody, decided))
    ]
    return frame.drop(columns=rare)


def _set_apart(frame: pd.DataFrame, column: str, rows: NDArray[np.bool_]) -> int:
    """Count the people who have another value than the commonest of some rows."""
    value = known(values(frame, column), np.inf)[rows]  # nothing that was sent is infinite
    found, many = np.unique(value, return_counts=True)
    others = value != found[many.argmax()] if found.size else rows[:0]
    return int(frame["subject"][rows][others].nunique())


def with_context(frame: pd.DataFrame) -> pd.DataFrame:
    """Add what each proposal is beside the others of its round.

    Call it on every feasible pair of a round, in both directions. Values that are there
    already are kept: they say what was known when the proposal was made.

    Args:
        frame: Proposals or pairs of rounds: ``match_score`` and any ``constraint:<name>``;
            ``group``, ``subject`` (or ``user_id``) and ``match_key`` (or ``match_id``) as
            far as they are known. A row without a subject is a person of its own, one
            without a match key has no partner.

    Returns:
        A copy with float columns ``parameter:context.<kind>`` more: ``own.<name>``,
        ``gap.<name>``, ``options``, ``rank``, ``spread``, ``returned``, where ``<name>``
        is a constraint or ``score``.

    Raises:
        InvalidInput: There is no column ``match_score``.
    """
    if SCORE not in frame.columns:
        raise InvalidInput(SCORE, "must be a column of the frame")
    frame = _as_allowed(frame)
    columns = {SCORE: "score"} | {CONSTRAINT + name: name for name in constraint_names(frame)}
    if _complete(frame):
        return frame.copy(deep=False)
    if not _PERSON & set(frame.columns):
        return _alone(frame, columns)
    people = People.of(frame)
    fresh: dict[str, Floats] = {OPTIONS: people.options.astype("float64")}
    for column, name in columns.items():
        _put_beside_others(values(frame, column), name, people, fresh)
    fresh |= _place(values(frame, SCORE), people)
    return _with(frame, fresh)


def _as_allowed(frame: pd.DataFrame) -> pd.DataFrame:
    """Take the history away from every row that does not say that it may be used."""
    names = [str(column) for column in frame.columns if str(column).startswith(HISTORY)]
    if not names:
        return frame
    allowed = np.zeros(len(frame), dtype=bool)
    if "preferences" in frame.columns:
        allowed = frame["preferences"].eq(True).to_numpy(dtype=bool, na_value=False)  # noqa: FBT003
    return frame.assign(**{name: np.where(allowed, values(frame, name), np.nan) for name in names})


def _alone(frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Give the context of people of whom nothing but one option each is known."""
    coupled = other_rows(frame) >= 0
    nothing = np.where(coupled, 0.0, np.nan)
    fresh = {OPTIONS: np.ones(len(frame)), RANK: np.zeros(len(frame)), RETURNED: nothing}
    fresh[SPREAD] = np.full(len(frame), np.nan)
    for column, name in columns.items():
        fresh |= {OWN + name: values(frame, column), GAP + name: nothing}
    return _with(frame, fresh)


def _with(frame: pd.DataFrame, fresh: dict[str, Floats]) -> pd.DataFrame:
    """Put context beside what is there; what was known of it before is kept."""
    for column, computed in fresh.items():
        if column in frame.columns:
            known = values(frame, column)
            fresh[column] = np.where(np.isnan(known), computed, known)
    others = frame.drop(columns=[column for column in fresh if column in frame.columns])
    return pd.concat([others, pd.DataFrame(fresh, index=frame.index)], axis=1)


@dataclass(frozen=True, eq=False)
class People:
    """Who decides and about whom, as codes.

    Attributes:
        subject: Code of the deciding person within a round, one a row.
        other: Row of the other party of the same match, -1 where it is not there.
        options: Number of rows of the same subject, one a row.
        size: Number of subject codes.
    """

    subject: Codes
    other: Codes
    options: Codes
    size: int

    @classmethod
    def of(cls, frame: pd.DataFrame) -> People:
        """Read the codes of a frame."""
        subject = _codes(frame, ("subject", "user_id"), "group")
        size = int(subject.max(initial=-1)) + 1
        options = np.bincount(subject, minlength=size)[subject].astype("int64")
        return cls(subject, other_rows(frame), options, size)

    @property
    def partner(self) -> Codes:
        """Code of the partner, one a row; ``size`` where it is unknown."""
        return np.where(self.other >= 0, self.subject[self.other], self.size)


def values(frame: pd.DataFrame, column: str) -> Floats:
    """Read a column as floats; an absent one is all missing."""
    if column not in frame.columns:
        return np.full(len(frame), np.nan)
    return frame[column].to_numpy(dtype="float64", na_value=np.nan)


def known(value: Floats, otherwise: float = 0.0) -> Floats:
    """Put a number where a value is missing."""
    return np.where(np.isnan(value), otherwise, value)


def _after(prefix: str, frame: pd.DataFrame) -> list[str]:
    columns = (str(column) for column in frame.columns)
    return [column.removeprefix(prefix) for column in columns if column.startswith(prefix)]


def _complete(frame: pd.DataFrame) -> bool:
    """Tell whether a matcher sent the context of every row, so that nothing is left to do."""
    return OPTIONS in frame.columns and not np.isnan(values(frame, OPTIONS)).any()


def _put_beside_others(value: Floats, name: str, people: People, fresh: dict[str, Floats]) -> None:
    there = ~np.isnan(value)
    held = np.where(there, value, 0.0)
    counts = np.bincount(people.subject, there, people.size)
    with np.errstate(invalid="ignore"):
        means = np.bincount(people.subject, held, people.size) / counts
    own = means[people.subject]
    above = np.where(there, held - own, 0.0)
    partner = people.partner
    seen_by = np.bincount(partner, there, people.size + 1)[partner] - there
    seen = np.bincount(partner, above, people.size + 1)[partner] - above
    fresh[OWN + name] = own
    sought = seen / (seen_by + GAP_PRIOR)
    coupled = people.other >= 0
    fresh[GAP + name] = np.where(coupled, sought - sought[people.other], np.nan)
    if name == "score":
        fresh[RETURNED] = np.where(coupled, above[people.other], np.nan)


def _place(score: Floats, people: People) -> dict[str, Floats]:
    by_person = pd.Series(score).groupby(people.subject, sort=False)
    rank = by_person.rank(method="average").to_numpy() - 0.5
    spread = by_person.transform("std").to_numpy()
    return {
        RANK: rank / people.options - 0.5,
        SPREAD: np.where(people.options >= 3, spread, np.nan),  # noqa: PLR2004 - see SPREAD
    }


def _codes(frame: pd.DataFrame, names: tuple[str, ...], within: str) -> Codes:
    column = next((name for name in names if name in frame.columns), None)
    if column is None:
        return np.arange(len(frame), dtype="int64")
    codes, known = pd.factorize(frame[column])
    nameless = codes < 0
    if nameless.any():  # each of them is somebody of their own
        codes = np.where(nameless, len(known) + nameless.cumsum(), codes)
    if within in frame.columns:
        groups, uniques = pd.factorize(frame[within], use_na_sentinel=False)
        codes, _ = pd.factorize(codes.astype("int64") * max(len(uniques), 1) + groups)
    return np.asarray(codes, dtype="int64")


def other_rows(frame: pd.DataFrame) -> Codes:
    """Find the row of the other party of each match.

    Returns:
        Shape (rows,): -1 where a match has no name, or not exactly two rows. A match of which
        there are more, because the pair came up in several rounds, has two rows in each round.
    """
    column = next((name for name in ("match_key", "match_id") if name in frame.columns), None)
    if column is None or frame.empty:
        return np.full(len(frame), -1, dtype="int64")
    match = np.asarray(pd.factorize(frame[column])[0], dtype="int64")
    other = _other_of(match)
    alone = np.flatnonzero((other < 0) & (match >= 0))
    if alone.size and "group" in frame.columns:
        group, groups = pd.factorize(frame["group"].iloc[alone], use_na_sentinel=False)
        within = _other_of(pd.factorize(match[alone] * len(groups) + group)[0])
        other[alone] = np.where(within >= 0, alone[within], -1)
    return other


def _other_of(match: Codes) -> Codes:
    """Find the other row of each code that has exactly two; -1 elsewhere and for the code -1."""
    rows = np.arange(len(match))
    other = np.full(len(match), -1, dtype="int64")
    named = rows[match >= 0]
    if named.size:
        total = np.bincount(match[named], named)
        coupled = named[np.bincount(match[named])[match[named]] == 2]  # noqa: PLR2004 - a couple
        other[coupled] = total[match[coupled]].astype("int64") - coupled
    return other
