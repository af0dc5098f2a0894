"""The log of another matcher: what it would propose in rounds that were drawn by lottery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment

from matching import market
from matching.exploration import explore
from matching.features import with_context
from matching.model import Model, first_champion, score
from matching.ope import evaluate
from matching.pairing import read_pairing
from matching.rounds import proposals
from matching.target_policy import log_of_target
from matching.updating import update
from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROUNDS = 40


@pytest.fixture(scope="module")
def opened() -> market.Market:
    return market.open_market(market.MarketSettings(people=24, turnout=8, infeasible=0), seed=5)


@pytest.fixture(scope="module")
def learned(opened: market.Market) -> Model:
    """A version that learned from rounds after those of the log."""
    later = [proposals(market.hold_round(opened, ROUNDS + at).pairs) for at in range(3)]
    return update(first_champion(), pd.concat(later, ignore_index=True))


@pytest.fixture(scope="module")
def pairs(opened: market.Market) -> pd.DataFrame:
    """Every feasible pair of rounds that were drawn from lotteries over the matcher's score."""
    held = []
    for at in range(ROUNDS):
        frame = with_context(market.hold_round(opened, at).pairs).reset_index(drop=True)
        pairing = read_pairing(frame)
        lottery = explore(pairing.matrix(frame["match_score"]), budget=0.03, rarest=5e-3)
        drawn = lottery.draw(at)
        chances = lottery.propensities.toarray()[pairing.row_of, pairing.column_of]
        frame["propensity"], frame["reward"] = np.nan, np.nan
        accepted = frame["accepted"].to_numpy(dtype=float)
        both = accepted[pairing.first] * accepted[pairing.second]
        made = pairing.pairs_of(drawn.assignment)
        for places in (pairing.first, pairing.second):
            frame.loc[places, "propensity"] = chances
            frame.loc[places[made], "reward"] = both[made]
        held.append(frame)
    return pd.concat(held, ignore_index=True)


def test_a_pair_is_one_row_and_the_target_is_the_best_assignment_of_each_round(
    pairs: pd.DataFrame, learned: Model
) -> None:
    log = log_of_target(pairs, learned)

    assert len(log) == len(pairs) / 2
    assert set(log["target_propensity"]) == {0.0, 1.0}
    assert (log.groupby("group")["target_propensity"].sum() == 8).all()
    first = pairs[pairs["group"] == min(pairs["group"])].reset_index(drop=True)
    pairing = read_pairing(first)
    worth = pairing.matrix(score(learned, first)["p_mutual"])
    of_first = log[log["group"] == min(log["group"])]
    chosen = of_first["target_propensity"].to_numpy() == 1
    assert worth[pairing.row_of, pairing.column_of][chosen].sum() == pytest.approx(
        _best(worth), rel=1e-9
    )


def _best(worth: Floats) -> float:
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return float(worth[rows, columns].sum())


def test_evaluating_the_matcher_holds_what_its_own_assignments_get(pairs: pd.DataFrame) -> None:
    log = log_of_target(pairs, None)

    found = evaluate(log, replicates=0)

    truth = _truth(pairs, log)
    ips = found.table().loc["ips"]
    assert ips["lower"] <= truth <= ips["upper"]
    assert "prediction" not in log


def _truth(pairs: pd.DataFrame, log: pd.DataFrame) -> float:
    """What the target's pairs would have got: every decision of a simulated round is known."""
    parts = []
    for _, round_ in pairs.groupby("group"):
        pairing = read_pairing(round_)
        accepted = round_["accepted"].to_numpy(dtype=float)
        parts.append(accepted[pairing.first] * accepted[pairing.second])
    return float(np.concatenate(parts)[log["target_propensity"] == 1].mean())


def test_a_model_predicts_only_what_it_cannot_have_learned_from(
    pairs: pd.DataFrame, learned: Model
) -> None:
    later = pairs.assign(occurred_at=pd.Timestamp(learned.trained_until) + pd.Timedelta("1h"))

    assert "prediction" not in log_of_target(pairs, learned)
    assert "prediction" not in log_of_target(pairs.drop(columns="occurred_at"), learned)
    assert "prediction" in log_of_target(later, learned)
    assert "prediction" not in log_of_target(later.assign(reward=later["reward"] * 5), learned)
    assert "prediction" in log_of_target(pairs, first_champion())
    own = log_of_target(pairs.assign(prediction=0.25), learned)
    assert (own["prediction"] == 0.25).all()


@pytest.mark.parametrize("column", ["propensity", "reward"])
def test_parties_of_a_pair_that_disagree_are_refused(pairs: pd.DataFrame, column: str) -> None:
    proposed = pairs.index[pairs["reward"].notna()][0]
    torn = pairs.copy()
    torn.loc[proposed, column] = np.nan

    with pytest.raises(InvalidInput, match=f"{column}: must be the same in both rows"):
        log_of_target(torn, None)


def test_an_absent_column_is_named(pairs: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match="side: must be a column"):
        log_of_target(pairs.drop(columns="side"), None)


@pytest.mark.parametrize("column", ["group", "match_id", "user_id"])
def test_a_row_without_a_name_is_refused(pairs: pd.DataFrame, column: str) -> None:
    nameless = pairs.astype({column: object})
    nameless.loc[5, column] = None

    with pytest.raises(InvalidInput, match=f"{column}: must be known"):
        log_of_target(nameless, None)


def test_a_log_without_a_row_is_refused(pairs: pd.DataFrame) -> None:
    with pytest.raises(InvalidInput, match="group"):
        log_of_target(pairs.head(0), None)


def test_a_pair_may_come_up_in_many_rounds(pairs: pd.DataFrame, learned: Model) -> None:
    place = pairs.groupby("group")["match_id"].transform(lambda names: pd.factorize(names)[0])
    again = pairs.assign(match_id="pair " + place.astype(str))

    wanted, found = (log_of_target(each, learned) for each in (pairs, again))

    order = ["group", "propensity", "target_propensity", "reward"]
    pd.testing.assert_frame_equal(
        found.sort_values(order, ignore_index=True), wanted.sort_values(order, ignore_index=True)
    )
