"""Consent as a condition: only what was granted, never who is being erased, nobody unknown."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import literal, select, text

from schemas.purposes import Purpose
from schemas.tables import matches, subjects
from warehouse.engine import reading, writing
from warehouse.match_rows import read_matches
from warehouse.purposes import consented, consented_sql

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


@pytest.mark.parametrize("purpose", list(Purpose))
def test_the_condition_in_a_text_is_the_same(purpose: Purpose, everybody: Engine) -> None:
    statement = f"SELECT subject FROM subjects WHERE {consented_sql(purpose)}"
    with reading(everybody) as connection:
        as_text = set(connection.execute(text(statement)).scalars())
        as_column = set(
            connection.execute(select(subjects.c.subject).where(consented(purpose))).scalars()
        )

    assert as_text == as_column != set()


def test_rows_for_the_sums_are_of_who_allows_it_or_is_to_be_taken_out(everybody: Engine) -> None:
    refusing = {number for number, state in enumerate(STATES, 1) if not state[0] or state[3]}
    settled, unsettled = sorted(refusing)[:2]
    with writing(everybody) as connection:
        connection.execute(
            subjects.update().where(subjects.c.subject == unsettled).values(counted=True)
        )
    with reading(everybody) as connection:
        found = read_matches(connection, Purpose.ANALYTICS, "m.match_key = :key", {"key": 1})

    assert settled not in found["subject"]
    assert set(found["subject"][found["allowed"]]) == {*range(1, len(STATES) + 1)} - refusing
    assert set(found["subject"][found["counted"]]) == {unsettled}


def test_every_purpose_is_a_column_that_is_refused_by_default() -> None:
    for purpose in Purpose:
        column = subjects.c[purpose.value]
        assert not column.nullable
        assert str(getattr(column.server_default, "arg", None)) == "false"
