"""Rates, means and correlations with their intervals: pure arithmetic on whole-number sums."""

from __future__ import annotations

from dataclasses import dataclass
from math import atanh, sqrt, tanh

Z95 = 1.959963984540054
"""Two-sided 95 % point of the normal distribution."""

_STUDENT95 = (
    *(12.706205, 4.302653, 3.182446, 2.776445, 2.570582),
    *(2.446912, 2.364624, 2.306004, 2.262157, 2.228139),
)
"""The same of Student's distribution with 1 to 10 degrees of freedom."""

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


def mean(
    count: int,
    total: int,
    squares: int,
    *,
    bounds: tuple[float, float],
    prior_variance: float,
    unit: int = 1,
) -> Estimate | None:
    """Estimate a mean with its 95 % interval, which says something for few observations as well.

    The variance has a scaled inverse chi-square prior that weighs as much as one observation, so
    that one rating, or a few that are alike, do not look certain. The mean then follows Student's
    distribution with as many degrees of freedom as there are observations. Where observations come
    from two opposite camps, a few of one camp alone still deceive it.

    Args:
        count: Number of observations.
        total: Their sum, in ``1 / unit``.
        squares: The sum of their squares, in ``1 / unit**2``.
        bounds: Least and greatest that an observation can be.
        prior_variance: What is supposed of the variance before there is an observation.
        unit: How many of the summed units make one.

    Returns:
        The mean, its interval within the bounds, or None without an observation.

    References:
        Gelman, A. et al. (2013). Bayesian Data Analysis, 3rd edition, sections 2.6 (the scaled
        inverse chi-square prior of a variance) and 3.2 (Student's distribution of the mean). CRC.
    """
    if count == 0:
        return None
    centre = total / count / unit
    spread = max((squares - total * total / count) / unit**2, 0.0)
    half = student95(count) * sqrt((spread + prior_variance) / count / count)
    lower, upper = bounds
    return Estimate(centre, max(lower, centre - half), min(upper, centre + half), count)


def student95(freedom: int) -> float:
    """Return the two-sided 95 % point of Student's distribution, to 1e-5.

    References:
        Abramowitz, M. and Stegun, I. A. (1964). Handbook of Mathematical Functions, 26.7.5: its
        expansion around the normal point.
    """
    if freedom <= len(_STUDENT95):
        return _STUDENT95[freedom - 1]
    z = Z95
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * freedom**4)
    )


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
