"""What must hold for a training set before anything learns from it.

The columns are those of the proposals frame. A training set is judged as a whole: a row that
breaks a rule means that the loop before it is broken, and no model is fitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import great_expectations.expectations as gxe
from great_expectations.core import ExpectationSuite

from expectations.validation import RULE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from great_expectations.expectations.expectation import Expectation

REQUIRED = ("match_key", "subject", "occurred_at", "match_score", "accepted")
_CONSTRAINT = "constraint:"


def suite(columns: Iterable[str]) -> ExpectationSuite:
    """Return the suite for a training set.

    Args:
        columns: Columns of the frame; each ``constraint:<name>`` among them gets its range.
            A rule names the kind of a column, never a name that a sender chose.
    """
    present = list(columns)
    ranged = [_between(name, name, 0, 1) for name in ("match_score",)]
    ranged += [
        _between(name, "constraint_satisfaction[]", 0, 1)
        for name in present
        if name.startswith(_CONSTRAINT)
    ]
    if "rating" in present:
        ranged.append(_between("rating", "rating", 1, 5))
    if "propensity" in present:
        ranged.append(_between("propensity", "propensity", 0, 1, strict_min=True))
    return ExpectationSuite(name="training_set", expectations=[*_of_table(), *_of_rows(), *ranged])


def _of_table() -> list[Expectation]:
    return [
        gxe.ExpectColumnToExist(column=name, meta={RULE: f"{name}: must be there"})
        for name in REQUIRED
    ]


def _of_rows() -> list[Expectation]:
    return [
        *(
            gxe.ExpectColumnValuesToNotBeNull(column=name, meta={RULE: f"{name}: must be known"})
            for name in ("match_key", "subject", "occurred_at", "match_score")
        ),
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["match_key", "subject"],
            meta={RULE: "proposal: must be there once a match and subject"},
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="accepted",
            value_set=[0.0, 1.0],
            meta={RULE: "accepted: must be 0, 1 or unknown"},
        ),
    ]


def _between(
    column: str, field: str, low: float, high: float, *, strict_min: bool = False
) -> Expectation:
    above = "above" if strict_min else "at least"
    return gxe.ExpectColumnValuesToBeBetween(
        column=column,
        min_value=low,
        max_value=high,
        strict_min=strict_min,
        meta={RULE: f"{field}: must be {above} {low} and at most {high}"},
    )
