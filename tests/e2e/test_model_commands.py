"""The commands of the model as a person calls them, from the first champion to an explanation."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from matching import market
from matching.features import with_context
from matching.model import first_champion, score
from matching.pairing import read_pairing

if TYPE_CHECKING:
    from tests.e2e.conftest import Home

SEED, CHOSEN = 11, 30
SEND = f"""
from datetime import UTC, datetime, timedelta
from matching import market
from matching.features import with_context
from replay import events_of
from tracking.collector import EventCollector
from tracking.privacy import PrivacyManager

held = market.hold_round(market.open_market(seed={SEED}), 0)
pairs = with_context(held.pairs)
pairs = pairs[pairs["match_id"].isin(sorted(set(pairs["match_id"]))[:{CHOSEN}])]
day = (datetime.now(UTC) - timedelta(days=1)).date()
with PrivacyManager() as privacy, EventCollector(privacy, strict=True) as collector:
    for person in sorted(set(pairs["user_id"])):
        privacy.record_consent(person, analytics=True, improvement=True)
    for event in events_of(pairs, name="round", day=day, model_version="1"):
        collector.collect_event(event)
    assert collector.flush(60)
"""


def told(home: Home, *arguments: str) -> Any:
    called = home.smartmatch(*arguments, "--json")
    assert called.returncode == 0, called.stderr
    return json.loads(called.stdout)


@pytest.fixture
def pairs() -> pd.DataFrame:
    """The round that is sent, with the context that goes with it."""
    return with_context(market.hold_round(market.open_market(seed=SEED), 0).pairs)


def test_a_score_is_explained_as_it_was_and_only_to_whom_it_was_proposed(
    home: Home, pairs: pd.DataFrame
) -> None:
    assert home.smartmatch("init").returncode == 0
    sent = home.run("-c", SEND)
    assert sent.returncode == 0, sent.stderr
    assert told(home, "process")["rejected"] == {}
    match_id = min(pairs["match_id"])
    at_the_time = score(first_champion(), pairs)[pairs["match_id"] == match_id]
    parties = pairs.loc[at_the_time.index]

    found = told(home, "explain", "--match", match_id)["proposals"]

    assert sorted(one["p_accept"] for one in found) == pytest.approx(
        sorted(at_the_time["p_accept"])
    )
    for one in found:
        assert (one["version"], one["proposed_by"], one["context_sent"]) == ("1", "1", True)
        log_odds = math.log(one["p_accept"] / (1 - one["p_accept"]))
        assert sum(one["others"].values()) == pytest.approx(log_odds)

    person = parties["user_id"].iloc[0]
    (own,) = told(home, "explain", "--match", match_id, "--user-id", person)["proposals"]
    assert own["p_accept"] == pytest.approx(at_the_time["p_accept"].iloc[0])

    others = pairs[~pairs["match_id"].isin([match_id])]
    stranger = next(who for who in others["user_id"] if who not in set(parties["user_id"]))
    for arguments in (["--match", "nobody-s"], ["--match", match_id, "--user-id", stranger]):
        refused = home.smartmatch("explain", *arguments)
        assert refused.returncode == 1
        assert refused.stdout == ""
        assert "Traceback" not in refused.stderr
        assert stranger not in refused.stderr

    watched = told(home, "watch-drift")
    assert (watched["version"], watched["days"]) == ("1", 1)
    drift = told(home, "metrics", "drift")
    assert list(drift["features"]) == ["score"]
    assert told(home, "weights")["version"] == "1"


def test_a_version_is_evaluated_on_the_rounds_of_a_file(home: Home) -> None:
    assert home.smartmatch("init").returncode == 0
    opened = market.open_market(
        market.MarketSettings(people=20, turnout=6, infeasible=0), seed=SEED
    )
    frames = []
    for number in range(60):
        frame = with_context(market.hold_round(opened, number).pairs).reset_index(drop=True)
        pairing = read_pairing(frame)
        # A log that proposes by lot: one of the six ways to shift one side along the other.
        shift = (pairing.column_of - pairing.row_of) % 6 == number % 6
        accepted = frame["accepted"].to_numpy(dtype=float)
        both = accepted[pairing.first] * accepted[pairing.second]
        for places in (pairing.first, pairing.second):
            frame.loc[places, "propensity"] = 1 / 6
            frame.loc[places[shift], "reward"] = both[shift]
        frames.append(frame)
    log = pd.concat(frames, ignore_index=True)
    file = home.path / "log.csv"
    log.to_csv(file, index=False)

    found = told(home, "ope", str(file), "--policy", "champion")

    names = [one["estimator"] for one in found["estimates"]]
    assert names == ["ips", "snips", "dr", "switch-dr"]
    assert found["overlap"]["unsupported"] == 0
    refused = home.smartmatch("ope", str(file), "--policy", "99")
    assert refused.returncode == 1
    assert "version: must be one of smartmatch" in refused.stderr
