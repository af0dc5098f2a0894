"""Noise: as large as its sensitivity and epsilon say, and never twice the same."""

from __future__ import annotations

import math

import pytest

from privacy.noise import add_noise

DRAWS = 400


def test_the_spread_is_that_of_the_sensitivity_shared_over_the_figures() -> None:
    figures = {f"figure_{number}": 1_000 for number in range(4)}
    sensitivities = {"figure_0": 1, "figure_1": 5, "figure_2": 5, "figure_3": 10}

    draws = [add_noise(figures, sensitivities, epsilon=2.0) for _ in range(DRAWS)]

    for name, sensitivity in sensitivities.items():
        scale = sensitivity / (2.0 / 4)
        deviation = sum(abs(draw[name].value - 1_000) for draw in draws) / DRAWS
        # The mean absolute deviation of Laplace noise is its scale; 8 standard errors.
        assert abs(deviation - scale) < 8 * scale / math.sqrt(DRAWS) + 0.5
        assert draws[0][name].within == pytest.approx(scale * math.log(20))
        beyond = sum(abs(draw[name].value - 1_000) > draw[name].within for draw in draws)
        assert beyond < DRAWS * 0.12


def test_neighbours_are_told_apart_no_better_than_epsilon_allows() -> None:
    epsilon, above = 1.0, 100
    with_person = sum(
        add_noise({"n": 101}, {"n": 1}, epsilon)["n"].value > above for _ in range(2_000)
    )
    without = sum(add_noise({"n": 100}, {"n": 1}, epsilon)["n"].value > above for _ in range(2_000))

    assert 0.9 < with_person / without < math.exp(epsilon) * 1.25


def test_nothing_is_released_without_a_price_or_a_bound() -> None:
    for sensitivities, epsilon in (({"n": 1}, 0.0), ({"n": 0}, 1.0), ({}, 1.0)):
        with pytest.raises(ValueError, match=r"must be above 0|needs its sensitivity"):
            add_noise({"n": 1}, sensitivities, epsilon)
