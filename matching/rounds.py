"""Rounds of matching whose every pair has a known outcome.

A round is a set of people who meet at one time: proposals of one round compete with one
another, and whoever is assigned to one partner is not assigned to another. Real evenings
read from a CSV and the simulated market both yield rounds, so whatever drives one drives
the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

EPOCH = date(2024, 1, 1)
"""Evening ``w`` of a CSV takes place ``w`` days after this day; the CSV has no dates."""

RATINGS = ("attr", "sinc", "intel", "fun", "amb", "shar")
"""Ratings 0..10 that stand for the satisfaction of one constraint each."""

_LARGEST_ID = 2**53
"""Beyond it a number read from a CSV is no longer the one that was written."""
COLUMNS: dict[str, tuple[float, float]] = {
    "iid": (0, _LARGEST_ID),
    "pid": (0, _LARGEST_ID),
    "gender": (0, 1),
    "wave": (0, 10_000),
    "round": (0, 10_000),
    "order": (0, 10_000),
    "dec": (0, 1),
    "like": (0, 10),
    **dict.fromkeys(RATINGS, (0, 10)),
}
"""Columns that a CSV of decisions must have, and the range of each."""
WHOLE = ("iid", "pid", "gender", "wave", "dec")
"""Columns of whole numbers that must be there in every row."""


@dataclass(frozen=True, eq=False)
class Round:
    """One round: every feasible pair, in both directions, with what each would decide.

    Attributes:
        name: What people call it, such as ``evening 3``.
        day: When it took place; also its ``group``.
        pairs: A row per (match, person who decides): ``match_id``, ``user_id``,
            ``partner_id``, ``side`` (0 or 1), ``group``, ``occurred_at``, ``match_score``,
            ``alternatives_count``, ``constraint:<name>``, ``parameter:side``, and the
            truth: ``accepted`` (bool) and ``rating`` (1..5 or NaN).
    """

    name: str
    day: date
    pairs: pd.DataFrame


def read_decisions(path: Path) -> list[Round]:
    """Read evenings with complete outcomes from a CSV, one round an evening, in order.

    Ratings 0..10 become satisfaction in [0, 1]; their mean is the score of a matcher with
    equal weights. Where no rating is there, the score is that person's mean of the evening,
    and one half where the person gave none at all.

    Args:
        path: CSV with the columns iid, pid, gender, wave, round, order, dec, like, attr,
            sinc, intel, fun, amb and shar; others are ignored.

    Returns:
        The rounds, by wave.

    Raises:
        InvalidInput: A column is absent, is not a number or is out of range; a pair is
            there twice, in one direction only or of one side.
    """
    return rounds_of(_read(path))


def rounds_of(table: pd.DataFrame) -> list[Round]:
    """Make rounds of a table of decisions; see ``read_decisions``.

    Args:
        table: Numbers; columns as in the CSV.

    Raises:
        InvalidInput: A value is out of range, or a pair is not there once in each direction,
            from either side.
    """
    _check(table)
    # Whatever order the rows came in: sums and ties are the same to the bit.
    table = table.sort_values(["wave", "iid", "pid"], kind="stable")
    return [
        _evening(wave, table[table["wave"] == wave])
        for wave in sorted(set(table["wave"].astype(int)))
    ]


def proposals(pairs: pd.DataFrame, model_version: str = "") -> pd.DataFrame:
    """Turn rows of a round into proposals with their outcome, as a training set has them.

    Args:
        pairs: Rows of ``Round.pairs``: those that were proposed.
        model_version: Version that proposed them, empty for the matcher's own.

    Returns:
        The proposals frame, same index.
    """
    renamed = pairs.rename(columns={"match_id": "match_key", "user_id": "subject"})
    return renamed.drop(columns=["partner_id", "side"], errors="ignore").assign(
        model_version=model_version,
        propensity=np.nan,
        preferences=False,
        accepted=pairs["accepted"].astype("float64"),
    )


def _read(path: Path) -> pd.DataFrame:
    try:
        header = pd.read_csv(path, nrows=0)
    except OSError:
        raise InvalidInput("file", "must be a file that can be read") from None
    except ValueError:
        raise InvalidInput("file", "must be a CSV in UTF-8 with a header") from None
    for column in COLUMNS:
        if column not in header.columns:
            raise InvalidInput(column, "must be a column of the file")
    try:
        table = pd.read_csv(path, low_memory=False)
    except ValueError:
        table = None
    # Where every row has more fields than the header, the first ones would become an index.
    if table is None or not table.index.equals(pd.RangeIndex(len(table))):
        raise InvalidInput("file", "must be a CSV with as many fields a row as its header")
    return pd.DataFrame({name: _as_numbers(table[name]) for name in COLUMNS})


def _as_numbers(column: pd.Series) -> pd.Series:
    try:
        return column.astype("float64")
    except (TypeError, ValueError):
        raise InvalidInput(str(column.name), "must be a number in every row, or empty") from None


def _check(table: pd.DataFrame) -> None:
    for column in WHOLE:
        if table[column].isna().any():
            raise InvalidInput(column, "must be there in every row")
    for column, (low, high) in COLUMNS.items():
        if not table[column].dropna().between(low, high).all():
            raise InvalidInput(column, f"must be between {low:g} and {high:g}")
    for column in WHOLE:
        if (table[column] % 1 != 0).any():
            raise InvalidInput(column, "must be a whole number")
    _check_pairs(table)


def _check_pairs(table: pd.DataFrame) -> None:
    there = pd.MultiIndex.from_frame(table[["wave", "iid", "pid"]])
    back = pd.MultiIndex.from_frame(table[["wave", "pid", "iid"]])
    if there.has_duplicates:
        raise InvalidInput("iid, pid", "must name each pair once an evening")
    if not back.isin(there).all():
        raise InvalidInput("iid, pid", "must name each pair in both directions")
    side = pd.Series(table["gender"].to_numpy(), there)
    of_person = side.groupby(level=["wave", "iid"])
    changes = (of_person.max() != of_person.min()).any()
    if changes or (side.to_numpy() == side.reindex(back).to_numpy()).any():
        raise InvalidInput("gender", "must be 0 on one side and 1 on the other, all evening")


def _evening(wave: int, part: pd.DataFrame) -> Round:
    day = EPOCH + timedelta(days=wave)
    own, other = part["iid"].astype("int64"), part["pid"].astype("int64")
    low, high = np.minimum(own, other), np.maximum(own, other)
    ratings = part[list(RATINGS)] / 10
    score = ratings.mean(axis=1)
    score = score.fillna(score.groupby(own).transform("mean")).fillna(0.5)
    minutes = pd.to_timedelta(5 * part["order"].fillna(0), unit="min")
    pairs = pd.DataFrame(
        {
            "match_id": f"{wave}-" + low.astype(str) + "-" + high.astype(str),
            "user_id": own.astype(str),
            "partner_id": other.astype(str),
            "side": part["gender"].astype("int64"),
            "group": day.isoformat(),
            "occurred_at": pd.Timestamp(day, tz="UTC") + pd.Timedelta(hours=19) + minutes,
            "match_score": score,
            "alternatives_count": part["round"].fillna(0),
            "parameter:side": part["gender"],
            "accepted": part["dec"] == 1,
            "rating": np.ceil(part["like"] / 2).clip(1, 5),
        }
    )
    pairs["occurred_at"] = pairs["occurred_at"].astype("datetime64[us, UTC]")
    satisfaction = ratings.rename(columns=lambda name: f"constraint:{name}")
    return Round(
        f"evening {wave}", day, pd.concat([pairs, satisfaction], axis=1).reset_index(drop=True)
    )
