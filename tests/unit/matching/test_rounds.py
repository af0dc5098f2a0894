from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from matching.rounds import proposals, read_decisions
from schemas.errors import InvalidInput

ROW = {
    "iid": 1, "pid": 2, "gender": 0, "wave": 3, "round": 10, "order": 4, "dec": 1, "dec_o": 0,
    "match": 0, "attr": 6.0, "sinc": 9.0, "intel": 7.0, "fun": 7.0, "amb": 6.0, "shar": 5.0,
    "like": 7.0, "met": 2.0, "age": 21.0, "age_o": 27.0,
}  # fmt: skip


def write(path: Path, *rows: dict[str, Any]) -> Path:
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def couple(**changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    other = {"iid": 2, "pid": 1, "gender": 1, "dec": 0, "dec_o": 1, "shar": None, "like": 10.0}
    return ROW | changes, ROW | changes | other


def test_evening_becomes_a_round_with_both_directions_of_each_pair(tmp_path: Path) -> None:
    (evening,) = read_decisions(write(tmp_path / "d.csv", *couple()))

    assert (evening.name, evening.day) == ("evening 3", date(2024, 1, 4))
    pairs = evening.pairs
    assert pairs["match_id"].tolist() == ["3-1-2", "3-1-2"]
    assert pairs["user_id"].tolist() == ["1", "2"]
    assert pairs["partner_id"].tolist() == ["2", "1"]
    assert pairs["accepted"].tolist() == [True, False]
    assert pairs["rating"].tolist() == [4.0, 5.0]
    assert pairs["group"].unique().tolist() == ["2024-01-04"]
    assert str(pairs["occurred_at"].dtype) == "datetime64[us, UTC]"
    assert pairs["constraint:sinc"].tolist() == [0.9, 0.9]
    assert pairs["match_score"].round(9).tolist() == [round(40 / 60, 9), 0.7]
    assert np.isnan(pairs["constraint:shar"][1])


def test_evenings_come_in_order_of_time(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", *couple(wave=9), *couple(wave=2), *couple(wave=10))

    assert [one.name for one in read_decisions(path)] == ["evening 2", "evening 9", "evening 10"]


def test_person_on_both_sides_of_an_evening_is_refused(tmp_path: Path) -> None:
    first, back = couple()
    other = {"pid": 3, "gender": 1}, {"iid": 3, "gender": 0}

    with pytest.raises(InvalidInput, match="gender: must be 0 on one side"):
        read_decisions(write(tmp_path / "d.csv", first, back, first | other[0], back | other[1]))


def test_order_of_rows_and_columns_changes_nothing(tmp_path: Path) -> None:
    rows = [row for wave in (4, 2) for row in couple(wave=wave)]
    rows += [row | {"iid": row["iid"] + 4, "pid": row["pid"] + 4} for row in rows]
    shuffled = [dict(reversed(rows[at].items())) for at in (5, 0, 7, 2, 1, 6, 3, 4)]

    told = read_decisions(write(tmp_path / "a.csv", *rows))
    again = read_decisions(write(tmp_path / "b.csv", *shuffled))

    for one, other in zip(told, again, strict=True):
        pd.testing.assert_frame_equal(one.pairs, other.pairs)


def test_score_of_a_pair_without_ratings_is_the_mean_that_the_person_gives(tmp_path: Path) -> None:
    bare = dict.fromkeys(("attr", "sinc", "intel", "fun", "amb", "shar"))
    first, back = couple()
    second, back_two = couple(pid=3)
    path = write(
        tmp_path / "d.csv", first, back, second | bare, back_two | bare | {"iid": 3, "pid": 1}
    )

    (evening,) = read_decisions(path)

    score = evening.pairs.set_index(["user_id", "partner_id"])["match_score"]
    assert score["1", "3"] == score["1", "2"]
    assert score["3", "1"] == 0.5


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"attr": 11.0}, "attr"),
        ({"dec": 2}, "dec"),
        ({"gender": None}, "gender"),
        ({"like": -1}, "like"),
        ({"dec": 0.5}, "dec"),
        ({"gender": 0.5}, "gender"),
        ({"gender": 1}, "gender"),
        ({"iid": 1.5}, "iid"),
        ({"wave": 1.5}, "wave"),
        ({"order": 1e12}, "order"),
        ({"round": float("inf")}, "round"),
        ({"attr": "Zoe"}, "attr"),
    ],
)
def test_value_out_of_range_is_refused_by_column_and_rule(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    first, back = couple()

    with pytest.raises(InvalidInput) as refused:
        read_decisions(write(tmp_path / "d.csv", first | change, back))

    assert refused.value.field == field


def test_missing_column_text_and_half_a_pair_are_refused_without_their_values(
    tmp_path: Path,
) -> None:
    first, back = couple()
    without = {name: value for name, value in first.items() if name != "shar"}
    with pytest.raises(InvalidInput, match="shar: must be a column"):
        read_decisions(write(tmp_path / "a.csv", without))
    with pytest.raises(InvalidInput, match="attr: must be a number") as refused:
        read_decisions(write(tmp_path / "b.csv", first | {"attr": "Zoe"}, back))
    assert "Zoe" not in str(refused.value)
    header, one, other = write(tmp_path / "e.csv", first, back).read_text().splitlines()
    for lines in ((header, one, other + ",1"), (header, one + ",1", other + ",1")):
        (tmp_path / "e.csv").write_text("\n".join(lines))
        with pytest.raises(InvalidInput, match="as its header"):
            read_decisions(tmp_path / "e.csv")
    with pytest.raises(InvalidInput, match="both directions"):
        read_decisions(write(tmp_path / "c.csv", first))
    with pytest.raises(InvalidInput, match="once an evening"):
        read_decisions(write(tmp_path / "d.csv", first, first, back))


def test_proposals_carry_the_outcome_but_not_the_name_of_the_partner(tmp_path: Path) -> None:
    (evening,) = read_decisions(write(tmp_path / "d.csv", *couple()))

    frame = proposals(evening.pairs, "7")

    assert frame["accepted"].tolist() == [1.0, 0.0]
    assert frame["model_version"].unique().tolist() == ["7"]
    assert {"match_key", "subject", "group"} <= set(frame.columns)
    assert "partner_id" not in frame.columns
