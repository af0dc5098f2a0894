"""Rates, means and correlations with their intervals: pure arithmetic on whole-number sums."""

from __future__ import annotations

from dataclasses import dataclass
from math import atanh, sqrt, tanh

Z95 = 1.959963984540054
"""Two-sided 95 % point of the normal distribution."""

_FISHER_SMALLEST = 4


@dataclass(frozen=True)
class Estimate:
    """A figure with the 95 % interval around it, and how many observations it stands on."""

    value: float
    lower: float
    upper: float
    count: int

    def to_dict(self) -> dict[str, float | int]:
        """Return it ready for JSON."""
        return {
            "value": self.value,
            "lower": self.lower,
            "upper": self.upper,
            "count": self.count,
        }


def wilson(successes: int, trials: int) -> Estimate | None:
    """Estimate a proportion with its Wilson score interval.

    Args:
        successes: Whole number, at most ``trials``.
        trials: Whole number.

    Returns:
        The proportion in [0, 1], or None when nothing was tried.

    Raises:
        ValueError: ``successes`` is negative or exceeds ``trials``.

    References:
        Wilson, E. B. (1927). Probable inference, the law of succession, and statistical
        inference. JASA 22(158), 209-212. doi:10.2307/2276774
    """
    if not 0 <= successes <= trials:
        raise ValueError("successes must lie between 0 and trials")
    if trials == 0:
        return None
    rate = successes / trials
    spread = Z95**2 / trials
    centre = (rate + spread / 2) / (1 + spread)
    half = Z95 / (1 + spread) * sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    # At the ends the bound is exact; the subtraction is not.
    lower = 0.0 if successes == 0 else max(0.0, centre - half)
    upper = 1.0 if successes == trials else min(1.0, centre + half)
    return Estimate(rate, lower, upper, trials)


def mean(count: int, total: int, squares: int, *, unit: int = 1) -> Estimate | None:
    """Estimate a mean with its normal 95 % interval.

    Args:
        count: Number of observations.
        total: Their sum, in ``1 / unit``.
        squares: The sum of their squares, in ``1 / unit**2``.
        unit: How many of the summed units make one.

    Returns:
        The mean, or None without an observation. One observation has no spread to judge by:
        its interval is the point.
    """
    if count == 0:
        return None
    centre = total / count / unit
    if count == 1:
        return Estimate(centre, centre, centre, 1)
    variance = (count * squares - total * total) / (count * (count - 1)) / unit**2
    half = Z95 * sqrt(max(variance, 0.0) / count)
    return Estimate(centre, centre - half, centre + half, count)


def correlation(count: int, x: int, xx: int, y: int, xy: int) -> Estimate | None:
    """Estimate Pearson's correlation of x with a 0/1 outcome y, with Fisher's interval.

    Args:
        count: Number of pairs.
        x: Sum of x, whole.
        xx: Sum of the squares of x.
        y: Sum of y; y is 0 or 1, so it is the sum of its squares too.
        xy: Sum of the products.

    Returns:
        The correlation in [-1, 1], or None where it is not defined: x or y does not vary.
        Below four pairs the interval is [-1, 1].

    References:
        Fisher, R. A. (1921). On the probable error of a coefficient of correlation deduced
        from a small sample. Metron 1, 3-32.
    """
    spread_x = count * xx - x * x
    spread_y = count * y - y * y
    if count == 0 or spread_x <= 0 or spread_y <= 0:
        return None
    value = (count * xy - x * y) / (sqrt(spread_x) * sqrt(spread_y))
    value = min(1.0, max(-1.0, value))
    if count < _FISHER_SMALLEST:
        return Estimate(value, -1.0, 1.0, count)
    if abs(value) == 1.0:
        return Estimate(value, value, value, count)
    half = Z95 / sqrt(count - 3)
    centre = atanh(value)
    return Estimate(value, tanh(centre - half), tanh(centre + half), count)
