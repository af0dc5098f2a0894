"""The consent of now, as a condition that every read of personal rows joins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, not_

from schemas.tables import subjects

if TYPE_CHECKING:
    from schemas.purposes import Purpose


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
