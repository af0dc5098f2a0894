"""What the challengers can say that the linear model cannot, and how they are calibrated."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from matching import candidates
from matching.calibration import calibration_error
from matching.candidates import Fitting, fit_boosted, fit_interactions, fit_selectivity
from matching.evaluation import canonical
from matching.isotonic import AS_IS, Isotonic
from matching.logistic import log_loss
from matching.model import Model, Prior, explain, first_champion, log_odds, score
from tests.unit.matching.evenings import as_training, simulated

MAKERS = [fit_interactions, fit_selectivity, lambda fitting: fit_boosted(fitting, seed=0)]


@pytest.fixture(scope="module")
def fitting() -> Fitting:
    return Fitting(canonical(as_training(simulated(6, seed=71))), Prior())


def bent(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions whose honest log-odds are not a straight line of theirs, and decisions."""
    generator = np.random.default_rng(5)
    told = generator.normal(0, 2, rows)
    true = np.where(told < 0, 0.2 * told, 1.5 * told)
    return told, (generator.random(rows) < expit(true)).astype("float64")


def test_isotonic_calibration_draws_what_a_straight_line_cannot() -> None:
    told, accepted = bent(20_000)
    learned = Isotonic.fit(told[:10_000], accepted[:10_000])
    intercept, slope = candidates.platt(told[:10_000], accepted[:10_000])
    new, happened = told[10_000:], accepted[10_000:]

    bowed, line = expit(learned(new)), expit(intercept + slope * new)

    assert log_loss(happened, bowed).mean() < log_loss(happened, line).mean() - 0.005
    assert calibration_error(happened, bowed) < 0.015 < calibration_error(happened, line)
    steps = learned(np.linspace(-30, 30, 2_000))
    assert (np.diff(steps) >= 0).all()
    assert np.isfinite(steps).all()


def test_isotonic_calibration_needs_decisions_and_is_plain_data(
    fitting: Fitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = fit_boosted(fitting, seed=0)
    monkeypatch.setattr(candidates, "ISOTONIC_FROM", 500)
    many = fit_boosted(fitting, seed=0)

    assert few.isotonic == AS_IS
    assert "isotonic" not in few.to_json()
    assert len(many.isotonic.told) > 10
    again = Model.from_json(many.to_json())
    assert again.digest == many.digest != few.digest
    assert log_odds(again, fitting.rows).tolist() == log_odds(many, fitting.rows).tolist()


@pytest.mark.parametrize("make", MAKERS)
def test_explanation_of_every_challenger_sums_to_its_score(
    fitting: Fitting, make: Callable[[Fitting], Model]
) -> None:
    model = replace(make(fitting), isotonic=Isotonic((-1.0, 0.0, 2.0), (-0.5, 0.1, 3.0)))
    frame = fitting.rows.head(60)

    total = explain(model, frame).groupby("row")["contribution"].sum()

    p_accept = score(model, frame)["p_accept"].to_numpy()
    assert total.to_numpy() == pytest.approx(logit(p_accept), abs=1e-9)
    assert Model.from_json(model.to_json()).digest == model.digest


def test_selectivity_is_a_product_of_two_factors_on_each_side(fitting: Fitting) -> None:
    design = fit_selectivity(fitting).design
    rows = fitting.rows
    columns = {term.name: value for term, value in design.columns(rows)}
    side = rows["parameter:side"].to_numpy() > 0

    assert (columns["selectivity:0"][side] == 0).all()
    assert (columns["selectivity:1"][~side] == 0).all()
    both = columns["selectivity:0"] + columns["selectivity:1"]
    easily = sum(
        design.bars[name] * columns[f"level:{name}"] for name in ("score", *design.centres)
    )
    factor = both / easily
    table = pd.DataFrame({"factor": factor, "offers": columns["offers:pace"]})
    assert table.corr().iloc[0, 1] > 0.7


def test_people_who_accept_easily_and_look_at_little_are_told_from_the_others(
    fitting: Fitting,
) -> None:
    first = fit_selectivity(fitting)
    frames = as_training(simulated(10, seed=72))
    terms = {term.name: value for term, value in first.design.columns(frames)}
    product = terms["selectivity:0"] + terms["selectivity:1"]
    truth = log_odds(fitting.linear, frames) - 4 * product
    accepted = np.random.default_rng(1).random(len(frames)) < expit(truth)
    told = Fitting(canonical(frames.assign(accepted=accepted.astype("float64"))), Prior())

    model = fit_selectivity(told)

    weights = dict(
        zip((term.name for term in model.design.terms), model.acceptance.mean, strict=True)
    )
    assert weights["selectivity:0"] < -0.3
    assert weights["selectivity:1"] < -0.3


def test_version_one_is_the_same_bytes_as_ever() -> None:
    assert first_champion().digest.startswith("d5b799345d2566fc")
