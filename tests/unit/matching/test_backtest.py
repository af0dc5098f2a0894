import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from matching import figures
from matching.backtest import Backtest, backtest, out_of_fold
from matching.couples import Couples, choose, mutual
from matching.rounds import proposals, read_decisions
from schemas.errors import InvalidInput
from tests.unit.matching.evenings import simulated


@pytest.fixture(scope="module")
def found() -> Backtest:
    seen = []
    result = backtest(
        simulated(6, seed=41), reveal="all", progress=lambda *place: seen.append(place)
    )
    assert seen[0] == (0, 6, "round 0")
    assert len(seen) == 6
    return result


def test_learning_beats_the_static_weights_and_not_the_oracle(found: Backtest) -> None:
    totals = found.totals

    assert totals["random"] < totals["static"] < totals["learned"] <= totals["oracle"]
    assert totals["champion"] >= totals["static"]
    assert totals["pairs"] == 6 * 12
    assert totals["promotions"] >= 1


def test_first_round_is_predicted_by_version_one_alone(found: Backtest) -> None:
    first = found.evenings.iloc[0]

    assert first["learned"] == first["champion"]
    assert first["log_loss"] == first["champion_log_loss"]
    assert found.evenings["log_loss"].iloc[-1] < first["log_loss"]


def test_a_round_is_not_predicted_by_what_came_after(found: Backtest) -> None:
    shorter = backtest(simulated(6, seed=41)[:4], reveal="all")

    columns = ["learned", "champion", "log_loss", "auc", "champion_version", "promoted"]
    assert shorter.evenings[columns].equals(found.evenings[columns].head(4))


def test_same_rounds_give_the_same_model_bit_for_bit(found: Backtest) -> None:
    again = backtest(simulated(6, seed=41), reveal="all")

    assert again.model.digest == found.model.digest
    assert again.to_dict() == found.to_dict()


def test_only_proposed_pairs_are_learned_from_and_no_pair_is_proposed_twice() -> None:
    few = backtest(simulated(3, seed=42), reveal="proposed", proposals=2)

    assert few.totals["pairs"] == 3 * 12 * 2
    assert few.model.trained_rows == 3 * 12 * 2 * 2


def test_result_is_json_and_a_picture(found: Backtest, tmp_path: Path) -> None:
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(text)["totals"]["learned"] == found.totals["learned"]

    figures.backtest_figure(found).savefig(tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes()[:4] == b"\x89PNG"


def test_arguments_that_make_no_backtest_are_refused() -> None:
    with pytest.raises(InvalidInput):
        backtest([], reveal="all")
    with pytest.raises(InvalidInput):
        backtest(simulated(1, seed=1), reveal="all", proposals=0)
    with pytest.raises(InvalidInput):
        backtest(simulated(1, seed=1), reveal="some")  # type: ignore[arg-type]


def test_choice_of_couples_is_the_best_of_all_assignments() -> None:
    frame = proposals(simulated(1, seed=43, people=4)[0].pairs)
    couples = Couples.of(frame)
    value = mutual(couples, np.random.default_rng(1).random(len(frame)))

    chosen = choose(couples, value)

    board = np.zeros((4, 4))
    board[couples.left, couples.right] = value
    best = max(board[np.arange(4), list(order)].sum() for order in permutations(range(4)))
    assert value[chosen].sum() == pytest.approx(best)
    three = choose(couples, value, 3)
    assert np.bincount(couples.left[three]).tolist() == [3] * 4
    assert np.bincount(couples.right[three]).tolist() == [3] * 4


def test_couples_need_both_parties_and_know_sides() -> None:
    frame = proposals(simulated(1, seed=44, people=3)[0].pairs)
    couples = Couples.of(frame.iloc[1:])

    assert len(couples.here) == 8
    assert (frame["parameter:side"].iloc[1:].to_numpy()[couples.here] == 0).all()
    assert choose(Couples.of(frame.head(0)), np.empty(0)).size == 0


def test_real_evenings_are_learned_from_as_well_as_was_promised(decisions_csv: Path) -> None:
    evenings = read_decisions(decisions_csv)

    few = backtest(evenings, reveal="proposed", proposals=1)
    folded = out_of_fold(evenings)

    assert folded["log_loss"] <= 0.492
    assert folded["auc"] >= 0.81
    assert folded["calibration_error"] <= 0.02
    assert folded["matches"] > few.totals["static"]
    assert few.totals["learned"] >= few.totals["static"]
