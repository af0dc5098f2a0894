"""The consent of now, as a condition that every read of personal rows joins.

A function that reads staged or rejected events, events or matches names a purpose and joins its
condition. The few that may not ask carry their ground instead (``on_ground``); a test reads the
code and finds no third kind.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from sqlalchemy import ColumnElement, and_, not_

from schemas.tables import subjects

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.purposes import Purpose

P = ParamSpec("P")
R = TypeVar("R")


class Ground(StrEnum):
    """Why rows of people are read without asking what they allow now (articles of the GDPR)."""

    JUDGING = "judging"
    """Staged events are claimed to ask for the consent of each, and to delete the others: 7 (3)."""

    ACCESS = "access"
    """A person's own rows, for themselves: 15."""

    ERASURE = "erasure"
    """A person's own rows, to delete them: 17."""

    RETENTION = "retention"
    """Rows that are too old, to delete them: 5 (1) (e)."""

    ACCOUNTABILITY = "accountability"
    """Which model versions learned from a person, and whether they had allowed it: 5 (2)."""

    COUNTING = "counting"
    """Numbers of rows, ages, keys where ranges end, names of broken rules; nothing of a person."""


def on_ground(_ground: Ground) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function that reads rows of people on another ground than a purpose."""
    return lambda function: function


def consented(purpose: Purpose) -> ColumnElement[bool]:
    """Return the condition that a row's subject allows a purpose at this moment.

    Joined with ``subjects`` it fails closed: without a subject's row there is no row.
    """
    return and_(subjects.c[purpose.value], not_(subjects.c.erasing))


def consented_sql(purpose: Purpose, subject: str = "subjects") -> str:
    """Return the same condition as SQL, for statements that are texts.

    Args:
        purpose: What rows are read for.
        subject: The name under which the statement joins ``subjects``.
    """
    return f"({subject}.{purpose.value} AND NOT {subject}.erasing)"
