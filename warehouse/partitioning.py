"""Which tables lie in months on PostgreSQL, and what that needs beside their description.

Said here and not with the tables, where it would make SQLAlchemy load PostgreSQL's dialects for
SQLite as well. A key has to hold the column that the months are told by. A partition for what
belongs to no month is made with the table, so that an insert always finds a place. SQLite has no
partitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import DDL, PrimaryKeyConstraint, event
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable

from schemas.clock import MICROS_PER_DAY, first_day
from schemas.tables import events, matches

if TYPE_CHECKING:
    from sqlalchemy import Table


@dataclass(frozen=True)
class Monthly:
    """A table in months.

    Attributes:
        table: The table.
        by: The column that tells a row's month.
        per_day: How much that column grows in a day.
    """

    table: Table
    by: str
    per_day: int

    @property
    def rest(self) -> str:
        """Name of the partition of rows that belong to no month that was made."""
        return f"{self.table.name}_default"

    def name(self, month: int) -> str:
        """Return the name of a month's partition."""
        return f"{self.table.name}_{month // 12:04}_{month % 12 + 1:02}"

    def bounds(self, month: int) -> tuple[int, int]:
        """Return the first value of a month, and that of the next one."""
        return first_day(month) * self.per_day, first_day(month + 1) * self.per_day


MONTHLY = (Monthly(events, "occurred_at", MICROS_PER_DAY), Monthly(matches, "day", 1))


def monthly(table: Table) -> Monthly | None:
    """Return how a table lies in months, or None for one that does not."""
    return next((one for one in MONTHLY if one.table is table), None)


@compiles(CreateTable, "postgresql")
def _create(create: CreateTable, compiler: Any, **options: Any) -> str:
    text = str(compiler.visit_create_table(create, **options))
    one = monthly(create.element)
    return text if one is None else f"{text.rstrip()} PARTITION BY RANGE ({one.by})"


@compiles(PrimaryKeyConstraint, "postgresql")
def _key(constraint: PrimaryKeyConstraint, compiler: Any, **options: Any) -> str:
    """Add the column of the months to the key of a table that lies in them."""
    text = str(compiler.visit_primary_key_constraint(constraint, **options))
    one = monthly(constraint.table)
    return text if one is None else f"{text.removesuffix(')')}, {one.by})"


for _one in MONTHLY:
    _statement = f"CREATE TABLE {_one.rest} PARTITION OF {_one.table.name} DEFAULT"
    _made = DDL(_statement).execute_if(dialect="postgresql")  # type: ignore[no-untyped-call]
    event.listen(_one.table, "after_create", _made)
