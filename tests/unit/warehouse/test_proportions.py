"""Intervals agree with published numbers and with brute force."""

from __future__ import annotations

import random
from itertools import combinations, pairwise
from math import comb, prod
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import t as student

from warehouse.proportions import correlation, mean, student95, wilson

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from warehouse.proportions import Estimate


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
    assert mean(0, 0, 0, bounds=(0, 1), prior_variance=1) is None
    assert correlation(0, 0, 0, 0, 0) is None


@pytest.mark.parametrize(("successes", "trials"), [(-1, 4), (5, 4)])
def test_impossible_counts_are_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="between"):
        wilson(successes, trials)


def rating(values: Sequence[int]) -> Estimate:
    found = mean(
        *(len(values), sum(values), sum(v * v for v in values)), bounds=(1, 5), prior_variance=2
    )
    assert found is not None
    return found


def test_mean_of_many_and_its_interval_agree_with_numpy() -> None:
    draw = random.Random(1)
    values = [draw.randrange(10_001) for _ in range(20_000)]
    found = mean(
        *(len(values), sum(values), sum(v * v for v in values)),
        bounds=(0, 1),
        prior_variance=1 / 12,
        unit=10_000,
    )
    assert found is not None
    half = 1.959964 * np.std(values, ddof=1) / np.sqrt(len(values)) / 10_000
    assert found.value == pytest.approx(np.mean(values) / 10_000)
    assert found.upper - found.value == pytest.approx(half, rel=1e-3)


def test_interval_of_a_mean_is_students_with_a_prior_of_one_observation() -> None:
    values = [3, 3, 4, 2, 3, 3, 3, 4, 3, 2, 3, 3]
    found = rating(values)
    variance = (11 * np.var(values, ddof=1) + 2) / 12
    half = student.ppf(0.975, 12) * np.sqrt(variance / 12)
    assert found.value == 3
    assert (found.lower, found.upper) == pytest.approx((3 - half, 3 + half), abs=1e-5)


def test_points_of_student_agree_with_scipy() -> None:
    freedoms = (*range(1, 40), 100, 10_000)
    for freedom in freedoms:
        assert student95(freedom) == pytest.approx(student.ppf(0.975, freedom), abs=1e-5)


def test_one_rating_says_next_to_nothing_and_ratings_that_are_alike_more_and_more() -> None:
    assert (rating([5]).lower, rating([5]).upper) == (1, 5)
    widths = [rating([5] * count).upper - rating([5] * count).lower for count in (1, 2, 5, 20, 100)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] > 0.02


def samples(size: int, chances: Sequence[float]) -> Iterator[tuple[float, list[int]]]:
    """Yield every sample of ratings, whatever their order, with its probability."""
    for bars in combinations(range(size + 4), 4):
        edges = (-1, *bars, size + 4)
        counts = [after - before - 1 for before, after in pairwise(edges)]
        left = np.cumsum([0, *counts])
        ways = prod(comb(size - int(done), many) for done, many in zip(left, counts, strict=False))
        chance = ways * prod(p**many for p, many in zip(chances, counts, strict=True))
        if chance:
            stars = [star for star, many in enumerate(counts, 1) for _ in range(many)]
            yield chance, stars


@pytest.mark.parametrize(
    ("chances", "least"),
    [
        ((0.2, 0.2, 0.2, 0.2, 0.2), 0.94),
        ((0.05, 0.2, 0.5, 0.2, 0.05), 0.94),
        ((0.02, 0.05, 0.13, 0.3, 0.5), 0.94),
        # Most samples are of ratings that are all alike.
        ((0.02, 0.01, 0.02, 0.05, 0.9), 0.94),
        ((0.0, 0.0, 0.0, 0.02, 0.98), 0.94),
        ((0.0, 0.0, 0.0, 0.0, 1.0), 1.0),
        # Two camps: a few ratings of one camp alone deceive any interval.
        ((0.5, 0.0, 0.0, 0.0, 0.5), 0.75),
    ],
)
def test_interval_of_few_ratings_covers_their_mean(chances: Sequence[float], least: float) -> None:
    truth = sum(star * chance for star, chance in enumerate(chances, 1))
    for size in (1, 2, 3, 5, 10):
        covered = sum(
            chance
            for chance, stars in samples(size, chances)
            if rating(stars).lower - 1e-9 <= truth <= rating(stars).upper + 1e-9
        )
        assert covered >= least - 1e-9, size


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
