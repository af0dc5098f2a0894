"""Explanations: they sum to the score, and to the one that was given at the time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from matching import market
from matching.explanation import context_sent, explain_match
from matching.features import CONTEXT, with_context
from matching.model import Model, first_champion, score
from matching.rounds import proposals
from matching.updating import update


@pytest.fixture(scope="module")
def pairs() -> pd.DataFrame:
    """A round whose feasible pairs all have their context, as a platform sends it."""
    held = market.hold_round(market.open_market(seed=3), 1)
    return with_context(held.pairs)


@pytest.fixture(scope="module")
def learned() -> Model:
    """A version that has learned from an earlier round."""
    held = market.hold_round(market.open_market(seed=3), 0)
    return update(first_champion(), proposals(held.pairs))


@pytest.fixture(scope="module")
def proposed(pairs: pd.DataFrame) -> pd.DataFrame:
    """Five proposed pairs of the round, as they come back from the database."""
    some = pairs["match_id"].isin(sorted(set(pairs["match_id"]))[:5])
    frame = proposals(pairs[some], model_version="2")
    frame["match_key"] = pd.factorize(frame["match_key"])[0].astype("int64")
    return frame


def test_the_score_is_the_one_that_the_whole_round_gave_at_the_time(
    pairs: pd.DataFrame, learned: Model, proposed: pd.DataFrame
) -> None:
    at_the_time = score(learned, pairs).loc[proposed.index]
    alone = proposed[proposed["match_key"] == 0]

    found = explain_match(alone, 0, {"1": first_champion(), "2": learned}, "1")

    mine = at_the_time[proposed["match_key"] == 0]
    assert context_sent(alone)
    assert all(one.context_sent and one.version == one.proposed_by == "2" for one in found)
    np.testing.assert_allclose([one.p_accept for one in found], mine["p_accept"], rtol=1e-12)
    np.testing.assert_allclose([one.p_mutual or 0 for one in found], mine["p_mutual"], rtol=1e-12)


def test_contributions_sum_to_the_log_odds_and_name_every_constraint(
    learned: Model, proposed: pd.DataFrame
) -> None:
    found = explain_match(proposed, 3, {"2": learned}, "2")

    assert len(found) == 2
    for one in found:
        parts = [part.contribution for part in one.constraints.values()]
        assert sum(parts) + sum(one.others.values()) == pytest.approx(logit(one.p_accept))
        assert set(one.constraints) == set(learned.constraints)
        assert [abs(part) for part in parts] == sorted(map(abs, parts), reverse=True)
    assert found[0].constraints != found[1].constraints


def test_a_version_that_is_none_of_ours_is_explained_by_the_champion(
    learned: Model, proposed: pd.DataFrame
) -> None:
    theirs = proposed.assign(model_version="hungarian-2019")

    found = explain_match(theirs, 0, {"1": first_champion(), "2": learned}, "1")

    assert [(one.version, one.proposed_by) for one in found] == [("1", "hungarian-2019")] * 2
    assert found[0].constraints == {}


def test_without_the_sent_context_it_is_made_of_the_other_proposals_and_said_so(
    learned: Model, proposed: pd.DataFrame
) -> None:
    bare = proposed.drop(columns=[name for name in proposed if str(name).startswith(CONTEXT)])

    found = explain_match(bare, 0, {"2": learned}, "2")

    assert not context_sent(bare)
    assert not any(one.context_sent for one in found)
    sent = explain_match(proposed, 0, {"2": learned}, "2")
    assert [one.p_accept for one in found] != [one.p_accept for one in sent]


def test_a_party_whose_partner_may_not_be_read_has_no_mutual_probability(
    learned: Model, proposed: pd.DataFrame
) -> None:
    one_side = proposed[proposed["match_key"] == 0].iloc[:1]

    (found,) = explain_match(one_side, 0, {"2": learned}, "2")

    assert found.p_mutual is None


def test_a_missing_satisfaction_is_said_to_be_missing(
    learned: Model, proposed: pd.DataFrame
) -> None:
    name = learned.constraints[0]
    lacking = proposed.assign(**{f"constraint:{name}": np.nan})

    (first, _) = explain_match(lacking, 0, {"2": learned}, "2")

    assert first.constraints[name].satisfaction is None
