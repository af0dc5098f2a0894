"""Intervals agree with published numbers and with brute force."""

from __future__ import annotations

import random

import numpy as np
import pytest

from warehouse.proportions import Estimate, correlation, mean, wilson


def test_wilson_interval_agrees_with_a_published_table() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3.
    for successes, trials, lower, upper in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = wilson(successes, trials)
        assert found is not None
        assert (round(found.lower, 4), round(found.upper, 4)) == (lower, upper)


def test_wilson_interval_covers_and_stays_in_bounds_at_the_ends() -> None:
    none, every = wilson(0, 5), wilson(5, 5)
    assert none is not None
    assert every is not None
    assert (none.lower, every.upper) == (0.0, 1.0)
    assert none.upper == pytest.approx(1 - every.lower)


def test_nothing_tried_has_no_rate() -> None:
    assert wilson(0, 0) is None
    assert mean(0, 0, 0) is None
    assert correlation(0, 0, 0, 0, 0) is None


@pytest.mark.parametrize(("successes", "trials"), [(-1, 4), (5, 4)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="between"):
        wilson(successes, trials)


def test_mean_and_its_interval_agree_with_numpy() -> None:
    values = [random.Random(1).randrange(10_001) for _ in range(200)]
    found = mean(200, sum(values), sum(v * v for v in values), unit=10_000)
    assert found is not None
    half = 1.959964 * np.std(values, ddof=1) / np.sqrt(200) / 10_000
    assert found.value == pytest.approx(np.mean(values) / 10_000)
    assert found.upper - found.value == pytest.approx(half)
    assert mean(1, 4, 16) == Estimate(4.0, 4.0, 4.0, 1)


def test_correlation_agrees_with_numpy_and_fisher() -> None:
    draw = random.Random(2)
    x = [draw.randrange(10_001) for _ in range(50)]
    y = [int(draw.random() < value / 10_000) for value in x]
    found = correlation(
        50, sum(x), sum(v * v for v in x), sum(y), sum(a * b for a, b in zip(x, y, strict=True))
    )
    assert found is not None
    assert found.value == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert found.lower == pytest.approx(np.tanh(np.arctanh(found.value) - 1.959964 / np.sqrt(47)))


def test_correlation_needs_both_sides_to_vary() -> None:
    assert correlation(3, 30, 300, 2, 20) is None
    assert correlation(3, 6, 14, 3, 6) is None
    few = correlation(3, 6, 14, 1, 3)
    assert few is not None
    assert few.value == pytest.approx(0.8660254)
    assert (few.lower, few.upper, few.count) == (-1.0, 1.0, 3)
