"""Add noise to counts, so that what is released says next to nothing about any one person.

Each figure gets discrete Laplace noise from OpenDP, drawn from the operating system's randomness:
a seed would be a secret that undoes it. The figures share epsilon in equal parts, so all of them
together are epsilon-differentially private with respect to one person's presence, as long as a
person changes each figure by no more than its sensitivity.

References:
    Dwork, C. and Roth, A. (2014). The algorithmic foundations of differential privacy.
    Foundations and Trends in Theoretical Computer Science 9(3-4), 211-407; theorem 3.6 and 3.16.
    Balcer, V. and Vadhan, S. (2019). Differential privacy on finite computers. J. of Privacy and
    Confidentiality 9(2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Noisy:
    """A figure with noise.

    Attributes:
        value: With noise; may be below 0.
        within: The noise is no larger than this with a probability of 95 %.
    """

    value: int
    within: float


def add_noise(
    figures: Mapping[str, int], sensitivities: Mapping[str, int], epsilon: float
) -> dict[str, Noisy]:
    """Release figures together.

    Args:
        figures: Exact whole numbers by name.
        sensitivities: How much one person changes each figure at most, above 0.
        epsilon: What all of them together cost, above 0.

    Raises:
        ValueError: epsilon or a sensitivity is not above 0, or a figure has none.
    """
    if epsilon <= 0 or min(sensitivities.values(), default=1) <= 0:
        raise ValueError("epsilon and sensitivities must be above 0")
    if figures.keys() != sensitivities.keys():
        raise ValueError("every figure needs its sensitivity")
    share = epsilon / max(1, len(figures))
    return {
        name: Noisy(
            _laplace(value, sensitivities[name], share),
            sensitivities[name] / share * math.log(20),
        )
        for name, value in figures.items()
    }


def _laplace(value: int, sensitivity: int, epsilon: float) -> int:
    import opendp.prelude as dp  # seconds: only where something is released

    dp.enable_features("contrib")
    space = dp.atom_domain(T="i64"), dp.absolute_distance(T="i64")
    measurement = dp.m.make_laplace(*space, scale=sensitivity / epsilon)
    # OpenDP proves the cost of what it made; rounding may add a last digit.
    cost = float(measurement.map(sensitivity))  # type: ignore[no-untyped-call]
    if cost > epsilon * (1 + 1e-9):
        raise ValueError("the noise is too small for its epsilon")
    return int(measurement(value))
