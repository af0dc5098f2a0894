"""Months of events and matches, on PostgreSQL.

A table cannot be made to lie in partitions afterwards: it is made anew, and its rows are copied,
so the upgrade needs room for both for a while. SQLite has no partitions.
"""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_EPOCH = date(1970, 1, 1).toordinal()

_TABLES = (
    # Name, key, column of the months, what it counts in a day, indices.
    (
        "events",
        ("seq",),
        "occurred_at",
        86_400_000_000,
        {"ix_events_occurred_at": "occurred_at", "ix_events_subject": "subject"},
    ),
    (
        "matches",
        ("match_key", "subject"),
        "day",
        1,
        {"ix_matches_day": "day, match_key", "ix_matches_subject": "subject"},
    ),
)


def upgrade() -> None:
    """Make the months that have rows, one for all else, and copy the rows into them."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, key, by, per_day, indices in _TABLES:
        _set_aside(table, indices)
        _make(table, (*key, by), indices, f" PARTITION BY RANGE ({by})")
        op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
        for first, until in _months(f"SELECT DISTINCT {by} / {per_day} FROM {table}_whole"):
            op.execute(
                f"CREATE TABLE {table}_{first.year:04}_{first.month:02} PARTITION OF {table}"
                f" FOR VALUES FROM ({_number(first) * per_day}) TO ({_number(until) * per_day})"
            )
        _copy(table)


def downgrade() -> None:
    """Copy the rows of all months into one table."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, key, _by, _per_day, indices in _TABLES:
        _set_aside(table, indices)
        _make(table, key, indices, "")
        _copy(table)


def _set_aside(table: str, indices: dict[str, str]) -> None:
    """Rename a table, and free the names of its key and indices, which no copying needs."""
    op.execute(f"ALTER TABLE {table} RENAME TO {table}_whole")
    op.execute(f"ALTER TABLE {table}_whole DROP CONSTRAINT pk_{table}")
    for index in indices:
        op.execute(f"DROP INDEX {index}")


def _make(table: str, key: tuple[str, ...], indices: dict[str, str], how: str) -> None:
    op.execute(
        f"CREATE TABLE {table} (LIKE {table}_whole INCLUDING DEFAULTS INCLUDING CONSTRAINTS,"
        f" CONSTRAINT pk_{table} PRIMARY KEY ({', '.join(key)})){how}"
    )
    for index, columns in indices.items():
        op.execute(f"CREATE INDEX {index} ON {table} ({columns})")


def _months(query: str) -> list[tuple[date, date]]:
    """Return the first day of each month that has rows, and that of the next month."""
    days = (date.fromordinal(_EPOCH + number) for number in op.get_bind().scalars(sa.text(query)))
    first = sorted({day.replace(day=1) for day in days})
    return [(day, date(day.year + day.month // 12, day.month % 12 + 1, 1)) for day in first]


def _number(day: date) -> int:
    return day.toordinal() - _EPOCH


def _copy(table: str) -> None:
    op.execute(f"INSERT INTO {table} SELECT * FROM {table}_whole")
    op.execute(f"DROP TABLE {table}_whole")
