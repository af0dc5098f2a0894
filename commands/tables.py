"""Read a table that a person names on the command line."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from schemas.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

_TEXTS = ("group", "match_id", "user_id", "partner_id", "model_version")

_NUMBERS = frozenset(
    {
        "reward",
        "propensity",
        "target_propensity",
        "prediction",
        "baseline",
        "match_score",
        "alternatives_count",
        "side",
    }
)


def read_table(file: Path) -> pd.DataFrame:
    """Read a log for off-policy estimates: CSV, or Parquet by its ending.

    Args:
        file: A table with a header. ``group`` and what ends in ``_id`` are texts,
            ``occurred_at`` is a time (UTC where it says no zone), ``proposed`` is 0 or 1, and
            everything else that is read is a number.

    Raises:
        InvalidInput: It is no such table; names the column and the rule.
    """
    import pandas as pd  # a command line should not wait for it

    try:
        if file.suffix.lower() in (".parquet", ".pq"):
            found = pd.read_parquet(file)
        else:
            found = pd.read_csv(file, dtype=dict.fromkeys(_TEXTS, "str"))
    except (OSError, ValueError):  # what readers raise of a broken file are ValueErrors
        raise InvalidInput("file", "must be a CSV or Parquet table with a header") from None
    return found.assign(**{name: _read_column(found[name]) for name in found.columns})


def _read_column(column: pd.Series) -> pd.Series:
    import pandas as pd

    name = str(column.name)
    if name in _TEXTS:
        return column.where(column.isna(), column.astype("str"))
    if name == "occurred_at":
        return _converted(
            column, partial(pd.to_datetime, utc=True, format="ISO8601"), "a time, ISO 8601"
        )
    if name == "proposed":
        return _converted(column, pd.to_numeric, "0 or 1")
    if name in _NUMBERS or name.startswith(("constraint:", "parameter:")):
        return _converted(column, pd.to_numeric, "a number").astype("float64")
    return column


def _converted(column: pd.Series, convert: Callable[[pd.Series], Any], kind: str) -> pd.Series:
    name, mark, _ = str(column.name).partition(":")
    # What follows the colon may be anything that somebody wrote.
    field = f"{name}:[]" if mark else name
    try:
        return convert(column)  # type: ignore[no-any-return]  # pandas' converters are overloaded
    except (ValueError, TypeError):
        raise InvalidInput(field, f"must be {kind} in every row, or missing") from None
