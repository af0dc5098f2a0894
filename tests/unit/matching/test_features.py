import numpy as np
import pandas as pd
import pytest

from matching import features
from matching.features import with_context
from schemas.errors import InvalidInput
from tests.unit.matching.evenings import as_training, simulated


def board() -> pd.DataFrame:
    """Two on the left, two on the right, all four pairs, both directions."""
    return pd.DataFrame(
        {
            "match_key": ["ac", "ad", "bc", "bd", "ac", "ad", "bc", "bd"],
            "subject": ["a", "a", "b", "b", "c", "d", "c", "d"],
            "group": "g",
            "match_score": [0.2, 0.8, 0.5, 0.5, 0.1, 0.4, 0.3, 0.6],
            "constraint:x": [0.2, 0.8, np.nan, 0.5, 0.1, 0.4, 0.3, 0.6],
        }
    )


def test_context_is_the_own_mean_and_place_among_the_options_of_the_round() -> None:
    context = with_context(board())

    assert context[features.OWN + "score"].round(9).tolist() == [
        0.5, 0.5, 0.5, 0.5, 0.2, 0.5, 0.2, 0.5,
    ]  # fmt: skip
    assert context[features.OPTIONS].unique().tolist() == [2.0]
    assert context[features.RANK].tolist() == [-0.25, 0.25, 0, 0, -0.25, -0.25, 0.25, 0.25]
    assert context[features.OWN + "x"].round(9).tolist()[:4] == [0.5, 0.5, 0.5, 0.5]
    assert context[features.SPREAD].isna().all()


def test_gap_compares_what_third_people_see_in_partner_and_person() -> None:
    context = with_context(board())

    a_decides = context.iloc[:2].set_index("match_key")[features.GAP + "score"]
    # Of c and d the other left person, b, sees nothing special; of a the other right person
    # sees 0.1 less than usual. Each view is shrunk as if three more people saw nothing.
    assert a_decides["ac"] == pytest.approx(0.1 / 4)
    assert a_decides["ad"] == pytest.approx(0.1 / 4)


def test_gap_of_the_two_parties_of_a_match_is_opposite() -> None:
    context = with_context(as_training(simulated(1, seed=1)))
    gap = context.groupby("match_key")[features.GAP + "score"].sum()

    assert np.abs(gap).max() < 1e-12
    assert context[features.GAP + "score"].abs().max() > 0.01


def test_context_does_not_read_decisions_or_ratings() -> None:
    frame = as_training(simulated(1, seed=2))
    bare = frame[[name for name in frame.columns if "context" not in name]]
    turned = bare.assign(accepted=1 - bare["accepted"], rating=5.0)

    columns = [name for name in with_context(bare).columns if name.startswith(features.CONTEXT)]
    pd.testing.assert_frame_equal(with_context(bare)[columns], with_context(turned)[columns])


def test_context_that_was_sent_is_kept_when_only_some_pairs_come_back() -> None:
    whole = with_context(board())
    some = whole.iloc[[0, 4]]

    pd.testing.assert_frame_equal(with_context(some)[whole.columns], some)


def test_context_is_made_where_it_was_not_sent() -> None:
    frame = with_context(board())
    frame.loc[0, features.OPTIONS] = np.nan
    frame.loc[0, features.OWN + "score"] = np.nan
    frame.loc[1, features.OWN + "score"] = 0.75

    filled = with_context(frame)

    assert filled[features.OWN + "score"].tolist()[:2] == [0.5, 0.75]


def test_other_party_is_found_only_in_a_match_of_two() -> None:
    frame = pd.DataFrame({"match_key": ["a", "b", "a", "c", "c", "c"]})

    assert features.other_rows(frame).tolist() == [2, -1, 0, -1, -1, -1]


def test_pair_that_comes_up_in_several_rounds_has_its_other_row_in_each() -> None:
    frame = pd.DataFrame({"match_key": list("abcabcc"), "group": list("ggghhgg")})

    assert features.other_rows(frame).tolist() == [3, 4, -1, 0, 1, -1, -1]

    again = pd.DataFrame({"match_key": list("aaaabb"), "group": list("ghhggh")})
    assert features.other_rows(again).tolist() == [3, 2, 1, 0, 5, 4]


def test_row_without_a_name_is_somebody_of_their_own_and_one_without_a_match_alone() -> None:
    frame = pd.DataFrame(
        {
            "match_key": ["a", None, "a", None, "b"],
            "user_id": [None, "u", "v", None, "u"],
            "match_score": [0.2, 0.4, 0.6, 0.8, 0.5],
        }
    )

    filled = with_context(frame)

    assert features.other_rows(frame).tolist() == [2, -1, 0, -1, -1]
    assert filled[features.OPTIONS].tolist() == [1, 2, 1, 1, 2]
    assert filled[features.OWN + "score"].tolist() == [0.2, 0.45, 0.6, 0.8, 0.45]


def test_rows_without_a_round_are_a_round_of_their_own() -> None:
    frame = pd.DataFrame(
        {
            "group": ["g", "h", None, None],
            "user_id": ["u", "u", "v", "v"],
            "match_score": [0.2, 0.4, 0.6, 0.8],
        }
    )

    assert with_context(frame)[features.OPTIONS].tolist() == [1, 1, 2, 2]


def test_people_of_other_rounds_are_not_options() -> None:
    frame = pd.concat([board(), board().assign(group="h")], ignore_index=True)
    frame["match_key"] += frame["group"]

    assert with_context(frame)[features.OPTIONS].unique().tolist() == [2.0]


def test_names_come_from_the_data() -> None:
    frame = pd.DataFrame(columns=["constraint:b", "constraint:a", "parameter:z", "parameter:side"])

    assert features.constraint_names(frame) == ("a", "b")
    assert features.parameter_names(frame) == ("z",)


def test_names_that_set_only_a_few_people_apart_are_left_out() -> None:
    many = np.arange(40)
    frame = pd.DataFrame(
        {
            "subject": np.repeat(many, 2),
            "accepted": np.where(np.repeat(many, 2) < 30, 1.0, np.nan),
            "constraint:all": np.linspace(0, 1, 80),
            "constraint:alike": 0.5,
            "constraint:few name": np.where(np.repeat(many, 2) < 9, 0.3, np.nan),
            "constraint:few miss": np.where(np.repeat(many, 2) < 9, np.nan, 0.3),
            "constraint:one has": np.repeat((many == 3) * 1.0, 2),
            "constraint:enough": np.repeat((many < 10) * 1.0, 2),
            "parameter:few decided": np.repeat((many > 20) * 1.0, 2),
            "parameter:side": np.repeat((many < 1) * 1.0, 2),
        }
    )

    told = features.without_rare(frame, 10)

    assert features.constraint_names(told) == ("alike", "all", "enough")
    assert features.parameter_names(told) == ()
    assert "parameter:side" in told
    assert features.without_rare(frame.head(0), 10).empty


def test_frame_without_a_score_is_refused() -> None:
    with pytest.raises(InvalidInput, match="match_score"):
        with_context(board().drop(columns="match_score"))


def test_history_is_missing_where_nobody_says_that_it_may_be_used() -> None:
    frame = pd.DataFrame({"match_score": [0.5] * 3, "parameter:history.accepted": [0.9] * 3})
    asked = pd.Series([True, False, None], dtype="object")

    unsaid = with_context(frame)["parameter:history.accepted"]
    said = with_context(frame.assign(preferences=asked))["parameter:history.accepted"]

    assert unsaid.isna().all()
    assert said.isna().tolist() == [False, True, True]
