"""Run a suite over a frame and say which rows broke which rule; never a value.

Great Expectations repeats offending values in every detailed result, so the cheap question is
asked first, its answer is yes or no, and the detailed one is read for row labels alone.
"""

from __future__ import annotations

import logging
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import great_expectations as gx
import numpy as np
from great_expectations.core import ExpectationSuite

from schemas.errors import BatchUnusable

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

# It announces its temporary directory on every start.
logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)

# The library keeps the batch it looks at in one place, whichever thread asks.
_one_at_a_time = Lock()

RULE = "rule"
"""Key of an expectation's meta: field and rule in words, as a person is told."""


def broken_rules(frame: pd.DataFrame, suite: ExpectationSuite) -> dict[str, NDArray[Any]]:
    """Find the rows that break a suite's expectations.

    Args:
        frame: The batch; its index labels rows.
        suite: Expectations whose ``meta`` names their rule.

    Returns:
        Labels of the offending rows by rule, in the order of the suite; nothing where all
        hold.

    Raises:
        BatchUnusable: An expectation about the batch as a whole failed, or could not be
            evaluated at all.
    """
    if frame.empty:
        return {}
    # Labels of a named index come back as dictionaries.
    frame = frame.rename_axis(index=None)
    if _validate(frame, suite, "BOOLEAN_ONLY").success:
        return {}
    found: dict[str, NDArray[Any]] = {}
    # What could not be evaluated comes first in the results, whatever its place in the suite.
    order = {str((one.meta or {})[RULE]): place for place, one in enumerate(suite.expectations)}
    failed = [one for one in _validate(frame, suite, "COMPLETE").results if not one.success]
    for result in sorted(failed, key=lambda one: order[one.expectation_config.meta[RULE]]):
        rule = str(result.expectation_config.meta[RULE])
        labels = (result.result or {}).get("unexpected_index_list")
        if labels is None:
            raise BatchUnusable(suite.name, rule)
        found[rule] = np.unique(np.array([*found.get(rule, ()), *labels]))
    return found


def rules_of(suite: ExpectationSuite) -> tuple[str, ...]:
    """Return the rules of a suite in words, in its order."""
    return tuple(dict.fromkeys(str((one.meta or {})[RULE]) for one in suite.expectations))


@cache
def _asset() -> Any:
    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.add_pandas("partitions")
    return source.add_dataframe_asset("partition").add_batch_definition_whole_dataframe("whole")


def _validate(frame: pd.DataFrame, suite: ExpectationSuite, detail: str) -> Any:
    with _one_at_a_time:
        batch = _asset().get_batch({"dataframe": frame})
        return batch.validate(suite, result_format=detail)
