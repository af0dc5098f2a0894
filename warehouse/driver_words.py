"""What a driver says of an error, without the values of the row that it is about.

PostgreSQL's messages repeat them: a row that breaks a constraint is told as a whole, and so is a
line of COPY. Errors end up in logs, and Prefect keeps their texts for months. SQLite's name the
constraint alone.
"""

from __future__ import annotations

from typing import Any

_OUR_OWN = "P0001"
"""PostgreSQL's code of what a trigger of ours says: a sentence about its table."""


def keep_values_out(error: Any) -> None:
    """Leave of an error, the driver's or SQLAlchemy's, its code and what the schema calls it."""
    own = getattr(error, "orig", error)
    told = getattr(own, "diag", None)
    if told is None:
        return
    named = [own.sqlstate, told.table_name, told.column_name, told.constraint_name]
    words = [told.message_primary] if own.sqlstate == _OUR_OWN else named
    own.args = error.args = (" ".join(filter(None, words)),)
