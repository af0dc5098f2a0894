"""OpenML's table: people told apart by their answers, dates by what they mirror, or an error."""

from __future__ import annotations

import random
import urllib.request
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from matching import openml
from matching.openml import DatesNotTold, NoNetwork, decisions_of, fetch_openml_rounds
from matching.rounds import RATINGS, read_decisions, rounds_of
from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

FIELDS = ["law", "'social work'", "engineering, civil", None]


def evenings(seed: int, sizes: tuple[tuple[int, int], ...] = ((7, 8), (9, 9))) -> pd.DataFrame:
    """Return decisions of made-up evenings with numbered people, as the CSV has them."""
    draw = np.random.default_rng(seed)
    rows, first = [], 1
    for wave, (women, men) in enumerate(sizes, start=1):
        sides = {0.0: range(first, first + women), 1.0: range(first + women, first + women + men)}
        rows += [
            {"wave": wave, "iid": iid, "pid": pid, "gender": gender}
            for gender, side in sides.items()
            for iid in side
            for pid in sides[1 - gender]
        ]
        first += women + men
    table = pd.DataFrame(rows)
    for name in RATINGS:
        given = draw.integers(1, 11, len(table)).astype(float)
        table[name] = np.where(draw.random(len(table)) < 0.1, np.nan, given)
    table["dec"] = draw.integers(0, 2, len(table)).astype(float)
    table["like"] = draw.integers(1, 11, len(table)).astype(float)
    table["round"] = table.groupby("iid")["pid"].transform("size")
    return table.assign(order=np.nan).astype("float64")


def as_openml(table: pd.DataFrame, *, silent: tuple[int, ...] = ()) -> pd.DataFrame:
    """Return decisions in the shape of OpenML: no numbers, but answers and what is mirrored.

    Args:
        table: Decisions, people's rows together.
        silent: People who answered nothing in the questionnaire.
    """
    back = table.set_index(["wave", "iid", "pid"]).loc[
        list(table[["wave", "pid", "iid"]].itertuples(index=False, name=None))
    ]
    columns: dict[str, list[object]] = {"wave": table["wave"].tolist()}
    answers = {person: _answers(int(person), silent) for person in table["iid"].unique()}
    for name in openml._ANSWERS:
        columns[name] = [answers[person][name] for person in table["iid"]]
    columns["gender"] = ["female" if gender == 0 else "male" for gender in table["gender"]]
    for own, others in openml._MIRRORED.items():
        if own in openml._ANSWERS:
            columns[others] = [answers[person][own] for person in table["pid"]]
    for name, (given, received) in openml._RATINGS.items():
        columns[given] = table[name].tolist()
        columns[received] = back[name].tolist()
    columns["decision"] = table["dec"].tolist()
    columns["decision_o"] = back["dec"].tolist()
    columns["like"] = table["like"].tolist()
    return pd.DataFrame(columns)


def _answers(person: int, silent: tuple[int, ...]) -> dict[str, object]:
    draw = random.Random(person)
    texts = {"field": draw.choice(FIELDS), "race": draw.choice(["'Other'", "European", None])}
    return {
        name: None if person in silent else texts.get(name, float(draw.randrange(1, 11)))
        for name in openml._ANSWERS
    }


def told(table: pd.DataFrame) -> pd.DataFrame:
    """Return what a table of decisions says, in an order of its own numbers."""
    columns = ["wave", "iid", "pid", "gender", "round", "dec", "like", *RATINGS]
    return table[columns].sort_values(["iid", "pid"], ignore_index=True)


@pytest.mark.parametrize("seed", range(3))
def test_people_and_dates_come_back_as_they_were(seed: int) -> None:
    table = evenings(seed)

    found = decisions_of(as_openml(table))

    pd.testing.assert_frame_equal(told(found), told(table), check_dtype=False)
    assert found["order"].isna().all()


def test_rounds_are_those_that_the_csv_of_the_same_evenings_gives(tmp_path: Path) -> None:
    table = evenings(5)
    table.to_csv(tmp_path / "decisions.csv", index=False)

    found = rounds_of(decisions_of(as_openml(table)))

    for one, other in zip(found, read_decisions(tmp_path / "decisions.csv"), strict=True):
        assert (one.name, one.day) == (other.name, other.day)
        by = ["match_id", "user_id"]
        pd.testing.assert_frame_equal(
            one.pairs.sort_values(by, ignore_index=True),
            other.pairs.sort_values(by, ignore_index=True),
        )


def test_people_who_answered_nothing_are_told_by_their_dates() -> None:
    table = evenings(1)

    found = decisions_of(as_openml(table, silent=(2, 11)))

    pd.testing.assert_frame_equal(told(found), told(table), check_dtype=False)


@pytest.mark.parametrize("mark", ["b'{}'", "'{}'", "{}"])
def test_marks_that_readers_leave_on_texts_do_not_matter(mark: str) -> None:
    table = evenings(2)
    frame = as_openml(table)
    for column in ("gender", "decision", "decision_o"):
        frame[column] = [
            mark.format(int(value) if column != "gender" else value) for value in frame[column]
        ]
    frame["gender"] = frame["gender"].astype("category")

    pd.testing.assert_frame_equal(told(decisions_of(frame)), told(table), check_dtype=False)


def test_a_stray_rating_is_forgiven_and_one_above_ten_means_ten() -> None:
    table = evenings(3)
    frame = as_openml(table)
    frame.loc[4, "attractive_o"] = 10.5
    frame.loc[9, "funny_partner"] = 10.5
    expected = table.copy()
    expected.loc[9, "fun"] = 10.0

    pd.testing.assert_frame_equal(told(decisions_of(frame)), told(expected), check_dtype=False)


@pytest.mark.parametrize("absent", [[(1, 10), (12, 2)], [(9, 18), (11, 4)]])
@pytest.mark.parametrize("alike", [False, True])
def test_a_row_whose_other_side_is_absent_is_left_out_and_no_other(
    absent: list[tuple[int, int]], alike: bool
) -> None:
    """One of each side is absent, so that the rows left over are as many."""
    table = evenings(4, sizes=((9, 9), (10, 10)))
    if alike:
        table[[*RATINGS]] = 5.0
        table["dec"] = 1.0
    here = list(table[["iid", "pid"]].itertuples(index=False, name=None))
    gone = np.array([pair in absent for pair in here])
    alone = np.array([pair[::-1] in absent for pair in here])

    found = decisions_of(as_openml(table)[~gone].reset_index(drop=True))

    columns = ["iid", "pid", "dec", *RATINGS]
    pd.testing.assert_frame_equal(told(found)[columns], told(table[~gone & ~alone])[columns])
    assert len(rounds_of(found)) == 2


def test_dates_that_nothing_tells_apart_are_left_out_rather_than_guessed() -> None:
    table = evenings(6)
    table[[*RATINGS, "like"]] = 5.0
    table["dec"] = 1.0
    women, men = (3, 5), (9, 12)
    frame = as_openml(table, silent=(*women, *men))

    first, second = decisions_of(frame), decisions_of(frame)

    pd.testing.assert_frame_equal(first, second)
    pairs = {(int(one), int(other)) for one, other in first[["iid", "pid"]].to_numpy()}
    everyone = {(int(one), int(other)) for one, other in table[["iid", "pid"]].to_numpy()}
    alike = {(one, other) for one in women for other in men}
    assert len(pairs) == len(first)
    assert everyone - pairs <= alike | {(other, one) for one, other in alike}


def test_a_table_whose_rows_do_not_mirror_each_other_is_refused() -> None:
    frame = as_openml(evenings(7))
    frame["decision_o"] = 1 - frame["decision_o"]

    with pytest.raises(DatesNotTold, match=r"of 274 rows have no clear partner"):
        decisions_of(frame)


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("gender", "neither", "must be female or male"),
        ("decision", "perhaps", "must be a number in every row"),
        ("wave", None, "must be a number in every row"),
    ],
)
def test_another_table_is_refused_by_column_and_rule_and_not_quoted(
    column: str, value: str | None, rule: str
) -> None:
    frame = as_openml(evenings(8)).astype({column: "object"})
    frame.loc[3, column] = value

    with pytest.raises(InvalidInput) as caught:
        decisions_of(frame)

    assert str(caught.value) == f"{column}: {rule}"


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InvalidInput, match="sinsere_o"):
        decisions_of(as_openml(evenings(9)).drop(columns="sinsere_o"))


def test_without_a_network_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    # urllib keeps the proxies of its first call for all later ones, those of other tests too.
    monkeypatch.setattr(urllib.request, "_opener", None)

    with pytest.raises(NoNetwork, match="no network"):
        fetch_openml_rounds()


def test_real_evenings_are_told_apart(decisions_csv: Path) -> None:
    table = pd.read_csv(decisions_csv).sort_values(["wave", "iid"], ignore_index=True)
    columns = ["wave", "iid", "pid", "dec", *RATINGS]
    numbers = {old: new for new, old in enumerate(dict.fromkeys(table["iid"]), start=1)}
    expected = table.assign(iid=table["iid"].map(numbers), pid=table["pid"].map(numbers))

    found = decisions_of(as_openml(table[[*columns, "gender", "like"]]))

    pd.testing.assert_frame_equal(
        found[columns].sort_values(["iid", "pid"], ignore_index=True),
        expected[columns].sort_values(["iid", "pid"], ignore_index=True),
        check_dtype=False,
    )
