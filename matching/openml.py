"""Fetch the decisions of the SpeedDating table of OpenML, as rounds.

The table has one row a (person, partner) but names neither. A person's answers to the
questionnaire are the same in all their rows, which stand together; and each date is there
twice, once from either side, with what one gave as what the other received. So people are
told apart by their answers, and the two rows of a date by what they mirror: for each evening
that assignment of women's rows to men's is chosen in which the fewest mirrored columns
disagree. Rows that cannot be told apart are left out, and a table of which more than a
twentieth would be left out is refused.

References:
    Fisman, R., Iyengar, S. S., Kamenica, E. and Simonson, I. (2006). Gender differences in
    mate selection: evidence from a speed dating experiment. QJE 121(2), 673-697. OpenML 40536.
"""

from __future__ import annotations

import socket
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from matching.rounds import rounds_of
from schemas.errors import InvalidInput, SmartMatchError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from matching.rounds import Round

NAME, VERSION = "SpeedDating", 1
TIMEOUT_SECONDS = 30.0
"""Longest silence of the network."""

_RATINGS = {
    "attr": ("attractive_partner", "attractive_o"),
    "sinc": ("sincere_partner", "sinsere_o"),
    "intel": ("intelligence_partner", "intelligence_o"),
    "fun": ("funny_partner", "funny_o"),
    "amb": ("ambition_partner", "ambitous_o"),
    "shar": ("shared_interests_partner", "shared_interests_o"),
}
"""What one gave, and what the other's row says was received; spelt as in the table."""

_IMPORTANCES = {
    "attractive_important": "pref_o_attractive",
    "sincere_important": "pref_o_sincere",
    "intellicence_important": "pref_o_intelligence",
    "funny_important": "pref_o_funny",
    "ambtition_important": "pref_o_ambitious",
    "shared_interests_important": "pref_o_shared_interests",
}
_MIRRORED = {
    "decision": "decision_o",
    "age": "age_o",
    "race": "race_o",
    **_IMPORTANCES,
    **dict(_RATINGS.values()),
}
_INTERESTS = (
    *("sports", "tvsports", "exercise", "dining", "museums", "art", "hiking", "gaming"),
    *("clubbing", "reading", "tv", "theater", "movies", "concerts", "music", "shopping", "yoga"),
)
_ANSWERS = (
    *("gender", "age", "race", "field", "importance_same_race", "importance_same_religion"),
    *("attractive", "sincere", "intelligence", "funny", "ambition"),
    *("expected_happy_with_sd_people", "expected_num_interested_in_me", "expected_num_matches"),
    *_INTERESTS,
    *_IMPORTANCES,
)
"""Answers to the questionnaire: the same in all rows of a person."""

_NEEDED = tuple(dict.fromkeys(["wave", "like", *_ANSWERS, *_MIRRORED, *_MIRRORED.values()]))
_SIDES = {"female": 0.0, "male": 1.0}
_MOST_DISAGREEING = 3
"""Mirrored columns, of 30 in both directions, in which the two rows of a date may disagree."""
_LEAST_PAIRED = 0.95
_LARGEST_RATING = 10.0


class NoNetwork(SmartMatchError):
    """OpenML cannot be reached from here."""


class DatesNotTold(SmartMatchError):
    """The rows of a table cannot be told apart into people and dates."""


def fetch_openml_rounds(*, cache: Path | None = None) -> list[Round]:
    """Fetch the table and return its evenings as ``matching.rounds.read_decisions`` does.

    Args:
        cache: Directory in which scikit-learn may keep the download; kept nowhere when None.

    Returns:
        The rounds, by wave.

    Raises:
        NoNetwork: OpenML does not answer.
        InvalidInput: The table is not the one that is expected.
        DatesNotTold: Too many rows cannot be told apart.
    """
    from sklearn.datasets import fetch_openml  # costs seconds, and few ask for it

    waited = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)  # scikit-learn would wait for ever
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of a retry
            table = fetch_openml(
                name=NAME,
                version=VERSION,
                as_frame=True,
                cache=cache is not None,
                data_home=cache,
                n_retries=1,
            ).frame
    except OSError:
        raise NoNetwork("OpenML cannot be reached: no network; give a CSV of decisions") from None
    finally:
        socket.setdefaulttimeout(waited)
    return rounds_of(decisions_of(table))


def decisions_of(table: pd.DataFrame) -> pd.DataFrame:
    """Turn the table into decisions with numbered people.

    Args:
        table: Columns as in OpenML, people's rows together, values as numbers, texts or the
            texts of bytes.

    Returns:
        Columns as ``matching.rounds.rounds_of`` takes them; both rows of every date that can
        be told. The table does not say in which order people met, so ``order`` is missing.

    Raises:
        InvalidInput: A column is absent or does not hold what it should.
        DatesNotTold: Too many rows cannot be told apart.
    """
    plain = _plain(table)
    plain["iid"] = _people(plain)
    plain["pid"] = np.nan
    for _, evening in plain.groupby("wave"):
        _find_partners(plain, evening)
    told = plain[plain["pid"].notna()]
    if len(told) < _LEAST_PAIRED * len(plain):
        raise DatesNotTold(f"{len(plain) - len(told)} of {len(plain)} rows have no clear partner")
    met = told.groupby("iid")["pid"].transform("size")
    ratings = {
        name: told[given].clip(upper=_LARGEST_RATING) for name, (given, _) in _RATINGS.items()
    }
    return pd.DataFrame(
        {
            **{name: told[name] for name in ("wave", "iid", "pid", "like")},
            "gender": told["gender"].map(_SIDES),
            "round": met,
            "order": np.nan,
            "dec": told["decision"],
            **ratings,
        }
    ).astype("float64")


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that are needed: texts without their marks, all else as numbers."""
    for column in _NEEDED:
        if column not in table.columns:
            raise InvalidInput(column, "must be a column of the table")
    texts = table[list(_NEEDED)].astype("str").apply(_unmarked).reset_index(drop=True)
    plain: pd.DataFrame = texts.apply(pd.to_numeric, errors="coerce").astype("float64")
    plain[["gender", "field", "race", "race_o"]] = texts[["gender", "field", "race", "race_o"]]
    if not plain["gender"].isin(list(_SIDES)).all():
        raise InvalidInput("gender", "must be female or male")
    for column in ("wave", "decision"):
        if plain[column].isna().any():
            raise InvalidInput(column, "must be a number in every row")
    return plain


def _unmarked(column: pd.Series[str]) -> pd.Series[str]:
    """Strip the marks that ARFF readers leave: ``b'male'``, ``'male'``."""
    return column.str.replace(r"^b?(['\"])(.*)\1$", r"\2", regex=True)


def _people(plain: pd.DataFrame) -> NDArray[np.int64]:
    """Number people from 1, in order: a person's rows stand together and share all answers."""
    answers = plain[["wave", *_ANSWERS]].apply(lambda column: pd.factorize(column)[0]).to_numpy()
    begins = np.ones(len(plain), dtype=bool)
    begins[1:] = (answers[1:] != answers[:-1]).any(axis=1)
    return np.cumsum(begins)


def _find_partners(plain: pd.DataFrame, evening: pd.DataFrame) -> None:
    """Write into ``pid`` whom each row of an evening is about, where that can be told."""
    women = evening[evening["gender"] == "female"]
    men = evening[evening["gender"] == "male"]
    # All rows that are not a date's are alike: a row that is left over must not break up a date.
    disagreeing = np.minimum(_disagreements(women, men), _MOST_DISAGREEING + 1)
    one, other = linear_sum_assignment(disagreeing)
    close = disagreeing[one, other] <= _MOST_DISAGREEING
    her, his = women.index[one[close]], men.index[other[close]]
    pairs = pd.DataFrame(
        {"woman": plain["iid"][her].to_numpy(), "man": plain["iid"][his].to_numpy()}
    )
    # Two people meet once: a pair that is there twice means that somebody was mistaken.
    clear = ~pairs.duplicated(keep=False).to_numpy()
    plain.loc[her[clear], "pid"] = pairs["man"].to_numpy(dtype="float64")[clear]
    plain.loc[his[clear], "pid"] = pairs["woman"].to_numpy(dtype="float64")[clear]


def _disagreements(women: pd.DataFrame, men: pd.DataFrame) -> NDArray[np.int64]:
    """Count the mirrored columns in which each woman's row and each man's disagree.

    A difference of decisions counts more than all others together: nobody mistakes it.
    """
    found = np.zeros((len(women), len(men)), dtype=np.int64)
    for own, others in _MIRRORED.items():
        weight = 1 + 2 * len(_MIRRORED) * (own == "decision")
        for here, there in ((own, others), (others, own)):
            codes, _ = pd.factorize(pd.concat([women[here], men[there]]))
            found += weight * (codes[: len(women), None] != codes[None, len(women) :])
    return found
