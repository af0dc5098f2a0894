"""Whom the sums include: settle changes of consent, and take people and old rows out.

``subjects.counted`` says whose rows the running sums include. A change of consent does not
touch the sums; the flow settles it: counted becomes what the consent says, and in the same
transaction the sums change by the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.purposes import Purpose
from schemas.tables import matches
from warehouse import bulk
from warehouse.by_subject import any_stretch
from warehouse.contributions import change
from warehouse.engine import is_postgres
from warehouse.match_rows import add_to_sums, lock_sums, read_matches
from warehouse.matches import take
from warehouse.measures import metric_of
from warehouse.purposes import Ground, consented_sql, on_ground

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    import pandas as pd
    from sqlalchemy import Connection

_WANTED = consented_sql(Purpose.ANALYTICS)
_CHUNK_SUBJECTS = 500
_CHUNK_MATCHES = 10_000


@dataclass(frozen=True)
class Settled:
    """How many subjects the sums now include, and no longer include."""

    added: int
    removed: int

    def __add__(self, other: Settled) -> Settled:
        return Settled(self.added + other.added, self.removed + other.removed)


def settle(connection: Connection, subjects: Iterable[int]) -> Settled:
    """Make the sums include exactly those of these subjects who consent to analytics.

    Args:
        connection: The transaction; it holds ``lock_sums`` afterwards.
        subjects: Numbers of subjects; who is settled already stays as they are.
    """
    lock_sums(connection)
    which = {"subjects": bulk.numbers(connection, subjects)}
    here = bulk.among(connection, "subject", "subjects")
    # Held until the end: who changes their mind in between would be settled, and counted otherwise.
    held = " ORDER BY subject FOR SHARE" if is_postgres(connection) else ""
    rows = bulk.fetch(
        connection,
        f"SELECT subject, CASE WHEN {_WANTED} THEN 1 ELSE 0 END FROM subjects"
        f" WHERE {here} AND counted <> {_WANTED}{held}",
        which,
    )
    added = [subject for subject, wanted in rows if wanted]
    removed = [subject for subject, wanted in rows if not wanted]
    if rows:
        _recount_matches(connection, added, removed)
        bulk.run(
            connection,
            f"UPDATE subjects SET counted = {_WANTED} WHERE {here} AND counted <> {_WANTED}",
            which,
        )
    return Settled(len(added), len(removed))


def unsettled(connection: Connection, after: int = 0) -> list[int]:
    """List up to some hundred subjects whose consent the sums do not follow yet, in order.

    Args:
        connection: The transaction.
        after: Only those with a greater number: who lists all goes through them once.
    """
    rows = bulk.fetch(
        connection,
        f"SELECT subject FROM subjects WHERE subject > :after AND counted <> {_WANTED}"
        f" ORDER BY subject LIMIT {_CHUNK_SUBJECTS}",
        {"after": after},
    )
    return [subject for (subject,) in rows]


def subtract_subject(connection: Connection, subject: int) -> list[str]:
    """Take one subject out of the sums, as if they had never been counted.

    Rows of others in the same matches are counted anew, because whether theirs are mutual has
    changed. The subject's own rows may then be deleted in the same transaction.

    Returns:
        The metrics whose running sums changed. How many did, or which, would tell for good what
        somebody answered who is erased: five stars are a sum of their own.
    """
    lock_sums(connection)
    which = {"subjects": bulk.numbers(connection, [subject])}
    here = bulk.among(connection, "subject", "subjects")
    if bulk.fetch(connection, f"SELECT subject FROM subjects WHERE counted AND {here}", which):
        changed = _recount_matches(connection, [], [subject])
        bulk.run(connection, f"UPDATE subjects SET counted = false WHERE {here}", which)
        return sorted({metric_of(str(measure)) for measure in changed["measure"]})
    return []


def purge_matches(connection: Connection, before_day: int, keys: Collection[int]) -> int:
    """Delete the rows of old days of some matches, and leave the sums of those days as they are.

    A match may have one row on either side of the boundary. The younger row stays, and what it
    adds to its own day is counted anew without its partner.

    Args:
        connection: The transaction; it holds ``lock_sums`` afterwards.
        before_day: Rows of days before this one go, days since 1970.
        keys: Of the matches.

    Returns:
        How many rows were deleted.
    """
    lock_sums(connection)
    here = bulk.among(connection, "match_key", "keys")
    which = {"keys": bulk.numbers(connection, keys), "before": before_day}
    _part(connection, _younger(connection, here, which), -(2**31), before_day, before_day)
    return bulk.run(connection, f"DELETE FROM matches WHERE {here} AND day < :before", which)


def part_from(connection: Connection, first_day: int, until_day: int, before_day: int) -> None:
    """Count anew what younger rows add whose partners are about to go, a month of them at once.

    Args:
        connection: The transaction; it holds ``lock_sums``.
        first_day: First day of the rows that go, days since 1970.
        until_day: The day after their last.
        before_day: Sums of days before this one stay as they are.
    """
    keys = _on_both_sides(connection, first_day, until_day, before_day)
    _part(connection, keys, first_day, until_day, before_day)


def _part(
    connection: Connection, keys: list[int], first_day: int, until_day: int, before_day: int
) -> None:
    """Let the sums of days that are kept follow from the rows that stay of some matches."""
    wanted = bulk.among(connection, "m.match_key", "keys")
    for start in range(0, len(keys), _CHUNK_MATCHES):
        chunk = {"keys": bulk.numbers(connection, keys[start : start + _CHUNK_MATCHES])}
        rows = read_matches(connection, Purpose.ANALYTICS, wanted, chunk)
        counted = rows["counted"]
        gone = (rows["day"] >= first_day) & (rows["day"] < until_day)
        difference = change(take(rows, counted), take(rows, counted & ~gone))
        add_to_sums(connection, difference[difference["day"] >= before_day])


@on_ground(Ground.RETENTION)
def _on_both_sides(
    connection: Connection, first_day: int, until_day: int, before_day: int
) -> list[int]:
    """Return the keys of matches with a row in some days, and one of a day that is kept."""
    rows = bulk.fetch(
        connection,
        "SELECT DISTINCT gone.match_key FROM matches gone"
        " JOIN matches young ON young.match_key = gone.match_key"
        " WHERE gone.day >= :first AND gone.day < :until AND young.day >= :before",
        {"first": first_day, "until": until_day, "before": before_day},
    )
    return [match_key for (match_key,) in rows]


@on_ground(Ground.RETENTION)
def _younger(connection: Connection, here: str, which: Mapping[str, Any]) -> list[int]:
    """Return which of some matches have a row of a day that is kept as well."""
    rows = bulk.fetch(
        connection,
        f"SELECT DISTINCT match_key FROM matches WHERE {here} AND day >= :before",
        which,
    )
    return [match_key for (match_key,) in rows]


def _recount_matches(connection: Connection, added: list[int], removed: list[int]) -> pd.DataFrame:
    """Change the sums by what some subjects' being counted or not makes of their matches."""
    which = {"subjects": bulk.numbers(connection, [*added, *removed])}
    here = bulk.among(connection, "subject", "subjects")
    somewhere = any_stretch(connection, matches)
    wanted = f"m.match_key IN (SELECT match_key FROM matches WHERE {here} AND {somewhere})"
    rows = read_matches(connection, Purpose.ANALYTICS, wanted, which)
    before, subject = rows["counted"], rows["subject"]
    after = (before | np.isin(subject, added)) & ~np.isin(subject, removed)
    difference = change(take(rows, before), take(rows, after))
    add_to_sums(connection, difference)
    return difference
