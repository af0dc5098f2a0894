from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from matching.evidence import Evidence, Limits, paired_gain
from matching.gate import Verdict, judge
from matching.memorisation import Membership, audit

QUIET = Membership(0.51, 0.51, 0.011)


def evidence(
    *,
    seed: int,
    better: float = 1.0,
    worse: float = 0.0,
    rows: int = 2000,
    people: int = 100,
    rounds: int = 10,
) -> Evidence:
    """Decisions with a known logit; the models see it through noise of their own."""
    generator = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), rows // people)
    truth = generator.normal(0, 1.5, rows) + generator.normal(0, 0.3, people)[person]
    accepted = (generator.random(rows) < expit(truth)).astype("float64")
    return Evidence(
        accepted=accepted,
        champion=expit(truth + generator.normal(0, better, rows)),
        candidate=expit(truth + generator.normal(0, worse, rows)),
        person=person,
        partner=generator.integers(0, people, rows),
        round=person * rounds // people,
        slices={"side": pd.Categorical(np.where(person % 2 == 0, "0", "1"))},
        membership=QUIET,
    )


def failed(verdict: Verdict) -> set[str]:
    return {check.name for check in verdict.checks if not check.passed}


def test_clearly_better_candidate_is_promoted_and_told_in_words() -> None:
    verdict = judge(evidence(seed=1), Limits())

    assert verdict.promote
    assert verdict.sentence.startswith("Promoted: the candidate predicts decisions better")
    assert verdict.to_dict()["promote"] is True


def test_worse_or_equal_candidate_is_refused_for_its_gain() -> None:
    worse = evidence(seed=2, better=0.0, worse=1.0)
    same = replace(worse, candidate=worse.champion)

    assert "gain" in failed(judge(worse, Limits()))
    assert "gain" in failed(judge(same, Limits()))
    assert judge(worse, Limits()).sentence.startswith("Kept the champion")


def test_too_few_decisions_or_people_are_no_evidence() -> None:
    few = judge(evidence(seed=3, rows=90, people=30), Limits())
    alone = judge(evidence(seed=3, rows=2000, people=10), Limits())

    assert failed(few) == failed(alone) == {"enough evidence"}
    assert "90 decisions of 30 people" in few.sentence


def test_how_often_a_few_people_decided_is_not_told() -> None:
    few = [judge(evidence(seed=3, rows=rows, people=11), Limits()) for rows in (11, 77, 2002)]
    enough = judge(evidence(seed=3, rows=84, people=12), Limits())

    assert few[0].to_dict() == few[1].to_dict() == few[2].to_dict()
    assert "decisions of fewer than 12 people that neither" in few[0].sentence
    assert few[0].to_dict()["checks"][0]["value"] is None
    assert "84 decisions of 12 people" in enough.sentence


def test_dishonest_probabilities_are_refused_though_they_rank_better() -> None:
    found = evidence(seed=4, better=6.0)
    shifted = expit(np.log(found.candidate / (1 - found.candidate)) + 0.8)

    verdict = judge(replace(found, candidate=shifted), Limits())

    assert failed(verdict) == {"calibration"}


def test_a_flatter_candidate_gains_nothing_on_decisions_that_nobody_can_tell() -> None:
    found = evidence(seed=11)
    lot = np.random.default_rng(12).permutation(found.accepted)
    flat = np.full(len(lot), lot.mean()) + np.where(found.candidate > 0.5, 1e-3, -1e-3)

    verdict = judge(replace(found, accepted=lot, candidate=flat), Limits())

    assert paired_gain(replace(found, accepted=lot, candidate=flat), Limits()).lower > 0
    assert "follows" in failed(verdict)


def test_one_group_that_fares_worse_is_enough_to_refuse() -> None:
    found = evidence(seed=5, better=3.0, rows=4000, people=400)
    small = found.person < 40
    candidate = np.where(small, found.champion, found.candidate)
    harmed = np.where(small, 1 - candidate, candidate)
    slices = {"constraint": pd.Categorical(np.where(small, "low", "high"))}

    verdict = judge(replace(found, candidate=harmed, slices=slices), Limits())

    assert "slices" in failed(verdict)
    assert "constraint low fares worse" in verdict.sentence


def test_losing_many_matches_refuses_and_losing_as_many_as_chance_does_not() -> None:
    found = evidence(seed=6)

    assert failed(judge(replace(found, matches_won=2, matches_lost=20), Limits())) == {"assignment"}
    assert judge(replace(found, matches_won=9, matches_lost=12), Limits()).promote


def test_model_that_remembers_people_is_refused() -> None:
    known = replace(QUIET, ratio_auc=0.5501)
    caught = replace(QUIET, found=0.0201)
    at_the_bounds = replace(QUIET, loss_auc=0.55, found=0.02)
    no_number = replace(QUIET, loss_auc=np.nan)
    found = evidence(seed=7)

    assert failed(judge(replace(found, membership=known), Limits())) == {"memorisation: attack"}
    assert failed(judge(replace(found, membership=caught), Limits())) == {"memorisation: found"}
    assert judge(replace(found, membership=at_the_bounds), Limits()).promote
    assert failed(judge(replace(found, membership=no_number), Limits())) == {"memorisation: attack"}
    assert failed(judge(replace(found, membership=None), Limits())) == {"memorisation"}
    # Of single decisions: it does not say what all of a person's together tell.
    told = judge(replace(found, membership=known), Limits()).sentence
    assert "an attacker tells decisions that were learned from from others" in told


def test_interval_of_the_gain_counts_people_and_not_rows() -> None:
    found = evidence(seed=8, rows=400, people=100, rounds=1)
    copied: dict[str, Any] = {
        name: np.tile(getattr(found, name), 25)
        for name in ("accepted", "champion", "candidate", "person", "partner", "round")
    }

    once, often = paired_gain(found, Limits()), paired_gain(Evidence(**copied), Limits())

    assert often.mean == pytest.approx(once.mean)
    assert often.upper - often.lower > 0.9 * (once.upper - once.lower)


def test_worse_challengers_of_many_rounds_are_never_promoted() -> None:
    """A hundred of a thousand; ``benchmarks/gate.py`` runs them all."""
    promoted = sum(
        judge(evidence(seed=100 + seed, better=0.3, worse=0.8, rows=600), Limits()).promote
        for seed in range(100)
    )

    assert promoted == 0


def test_equal_challengers_are_promoted_no_more_often_than_the_interval_says() -> None:
    promoted = sum(
        judge(evidence(seed=900 + seed, better=0.4, worse=0.4, rows=600), Limits()).promote
        for seed in range(200)
    )

    assert promoted <= 12


@pytest.mark.parametrize(("remembers", "found"), [(True, True), (False, False)])
def test_audit_tells_a_table_of_the_dead_from_a_constant(remembers: bool, found: bool) -> None:
    generator = np.random.default_rng(9)
    person = np.repeat(np.arange(150), 4)
    accepted = generator.integers(0, 2, len(person)).astype("float64")

    def predict(mask: np.ndarray) -> np.ndarray:
        learned = np.where(accepted > 0, 0.8, 0.2)
        return np.where(mask & remembers, learned, 0.5)

    membership = audit(predict, accepted, person, seed=0)

    assert (membership.auc > 0.9) is found
    verdict = judge(replace(evidence(seed=10), membership=membership), Limits())
    assert verdict.promote is not found
