"""Consent as a condition: only what was granted, never who is being erased, nobody unknown."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import literal, select

from schemas.purposes import Purpose
from schemas.tables import matches, subjects
from warehouse.engine import reading, writing
from warehouse.purposes import consented

if TYPE_CHECKING:
    from sqlalchemy import Engine

STATES = list(product([False, True], repeat=4))
"""Every state of a subject: analytics, preferences, improvement, erasing."""
NAMES = ("analytics", "preferences", "improvement", "erasing")


@pytest.fixture
def everybody(engine: Engine) -> Engine:
    """A subject in every state, numbered from 1, each with one match; and a match of nobody's."""
    with writing(engine) as connection:
        for number, state in enumerate(STATES, start=1):
            connection.execute(
                subjects.insert().values(
                    subject=number,
                    pseudonym=number.to_bytes(32, "big"),
                    key_id="key",
                    ledger_id=number.to_bytes(16, "big"),
                    notice_version="2026-11",
                    updated_at=1,
                    **dict(zip(NAMES, state, strict=True)),
                )
            )
        connection.execute(
            matches.insert(),
            [
                {"match_key": 1, "subject": number, "day": 1, "first_at": 1, "last_at": 1}
                for number in [*range(1, len(STATES) + 1), 99]
            ],
        )
    return engine


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_read_gets_rows_of_those_who_granted_its_purpose_and_no_other(
    purpose: Purpose, everybody: Engine
) -> None:
    with reading(everybody) as connection:
        found = connection.execute(
            select(matches.c.subject)
            .join(subjects, subjects.c.subject == matches.c.subject)
            .where(consented(purpose))
        ).scalars()
        allowed = set(found)

    place = NAMES.index(purpose.value)
    assert allowed == {
        number for number, state in enumerate(STATES, 1) if state[place] and not state[3]
    }


def test_a_left_join_gives_no_row_of_an_unknown_subject_either(everybody: Engine) -> None:
    with reading(everybody) as connection:
        found = connection.execute(
            select(matches.c.subject, literal(1))
            .outerjoin(subjects, subjects.c.subject == matches.c.subject)
            .where(matches.c.subject == 99, consented(Purpose.ANALYTICS))
        ).all()

    assert found == []


def test_every_purpose_is_a_column_that_is_refused_by_default() -> None:
    for purpose in Purpose:
        column = subjects.c[purpose.value]
        assert not column.nullable
        assert str(getattr(column.server_default, "arg", None)) == "false"
