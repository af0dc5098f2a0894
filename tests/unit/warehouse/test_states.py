"""Whoever can write the database, and not the keys, hides nobody's withdrawal."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import delete, select, update

from privacy.pseudonyms import subject_pseudonym
from schemas.consents import Options
from schemas.tables import subjects, versions
from tests.population import KEY, NOTICE, NOW, RUN
from warehouse import burial, consents, tombstones
from warehouse.backups import accept_restored
from warehouse.consents import LedgerBroken
from warehouse.engine import reading, writing
from warehouse.erasure import delete_subject, finish_erasure, mark_forgotten
from warehouse.erasure_requests import begin_for
from warehouse.keyfile import make_ring
from warehouse.leases import lease
from warehouse.ledgers import verify_ledgers
from warehouse.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sqlalchemy import Engine

MINUTE = 60_000_000
STATE = ("analytics", "preferences", "improvement", "notice_version", "updated_at")
WHOLE_ROW = ("ledger_id", *STATE)
PERSON = ("pseudonym", "key_id")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_ring(tmp_path / "keys", 1)
    return tmp_path / "keys"


def answer(
    engine: Engine,
    keys: Path,
    name: str,
    *purposes: str,
    at: int = NOW,
    made_by: tuple[bytes, ...] = (KEY,),
) -> int:
    known_as = tuple(subject_pseudonym(key, name) for key in made_by)
    person = consents.Person("key", known_as)
    options = Options(*(name in purposes for name in ("analytics", "preferences", "improvement")))
    entry = consents.Entry(uuid4(), options, NOTICE, "test", None, at)
    with writing(engine) as connection:
        return tombstones.record(connection, keys, person, entry).subject


def begun(engine: Engine, keys: Path, name: str) -> str:
    """Erase a person but for the report."""
    with writing(engine) as connection:
        request = begin_for(connection, keys, [subject_pseudonym(KEY, name)], RUN)
    marks = burial.bury(engine, keys, request, RUN)
    with lease(engine, "erase_subject", 60.0) as held:
        delete_subject(engine, request, held, marks=marks)
    mark_forgotten(engine, request)
    return request


@pytest.fixture
def people(engine: Engine, keys: Path) -> dict[str, int]:
    """One who withdrew, and two who allow, one of whom answered last of all."""
    known = {name: answer(engine, keys, name, "analytics", "improvement") for name in "abc"}
    answer(engine, keys, "a", at=NOW + MINUTE)
    answer(engine, keys, "c", "analytics", "preferences", "improvement", at=NOW + 2 * MINUTE)
    assert verify_ledgers(engine, keys).entries == 5
    return known


def swap(engine: Engine, one: int, other: int, names: Iterable[str]) -> None:
    """Have two rows trade columns, past the constraints that keep them unique."""
    columns = [subjects.c[name] for name in names]
    with writing(engine) as connection:
        rows = {
            subject: dict(
                connection.execute(select(*columns).where(subjects.c.subject == subject))
                .mappings()
                .one()
            )
            for subject in (one, other)
        }
        aside = {
            name: value[:-1] + bytes([value[-1] ^ 1])
            for name, value in rows[one].items()
            if isinstance(value, bytes)
        }
        steps = [(other, rows[one]), (one, rows[other])]
        for subject, values in [(one, aside), *steps] if aside else steps:
            connection.execute(
                update(subjects).where(subjects.c.subject == subject).values(**values)
            )


@pytest.mark.parametrize("other", ["b", "c"])
@pytest.mark.parametrize("names", [WHOLE_ROW, STATE, PERSON])
def test_two_rows_that_traded_places_do_not_hide_a_withdrawal(
    engine: Engine, keys: Path, people: dict[str, int], other: str, names: tuple[str, ...]
) -> None:
    swap(engine, people["a"], people[other], names)

    with pytest.raises(LedgerBroken):
        verify_ledgers(engine, keys)

    swap(engine, people["a"], people[other], names)
    assert verify_ledgers(engine, keys).entries == 5


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_row_that_is_gone_without_an_erasure_is_missed(
    engine: Engine, keys: Path, people: dict[str, int], name: str
) -> None:
    with writing(engine) as connection:
        connection.execute(delete(subjects).where(subjects.c.subject == people[name]))

    with pytest.raises(LedgerBroken, match="gone"):
        verify_ledgers(engine, keys)


def test_a_person_who_came_back_after_an_erasure_keeps_their_number(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    finish_erasure(engine, begun(engine, keys, "b"), RUN)
    again = answer(engine, keys, "b", "analytics", at=NOW + 3 * MINUTE)
    answer(engine, keys, "b", at=NOW + 4 * MINUTE)
    assert verify_ledgers(engine, keys).entries == 7

    with writing(engine) as connection:
        connection.execute(
            update(subjects).where(subjects.c.subject == again).values(subject=again ^ 1)
        )

    with pytest.raises(LedgerBroken, match="seal"):
        verify_ledgers(engine, keys)


@pytest.mark.parametrize("at", [NOW + 3 * MINUTE, NOW - MINUTE])
def test_who_withdraws_and_allows_again_is_sound_whatever_the_clock_says(
    engine: Engine, keys: Path, people: dict[str, int], at: int
) -> None:
    answer(engine, keys, "b", "analytics", at=at)
    answer(engine, keys, "b", "analytics", "improvement", at=at)

    assert verify_ledgers(engine, keys).entries == 7


def test_a_withdrawal_that_is_not_carried_out_yet_is_no_breach_and_is_one_when_passed_over(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    witness = Witness(keys)
    body = {
        "subject": witness.of_subject(people["b"]),
        "options": {"analytics": False, "preferences": False, "improvement": False},
    }
    mark = witness.append("withdrawal", body, NOW + MINUTE).marks
    assert verify_ledgers(engine, keys).entries == 5

    with writing(engine) as connection:
        connection.execute(update(versions).where(versions.c.name == "marks").values(value=mark))
    with pytest.raises(LedgerBroken, match="withdrew last"):
        verify_ledgers(engine, keys)

    with writing(engine) as connection:
        connection.execute(
            update(versions).where(versions.c.name == "marks").values(value=mark - 1)
        )
    assert tombstones.catch_up(engine, keys) == 1
    answer(engine, keys, "b", "analytics", at=2 * NOW)
    assert verify_ledgers(engine, keys).entries == 7


def test_who_allows_again_after_a_restore_is_sound_though_the_lost_withdrawal_was_by_a_clock_ahead(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    nothing = {"analytics": False, "preferences": False, "improvement": False}
    body = {"subject": Witness(keys).of_subject(people["a"]), "options": nothing}
    Witness(keys).append("withdrawal", body, NOW + 300 * 24 * 60 * MINUTE)
    accept_restored(engine, keys)

    answer(engine, keys, "a", "analytics", at=NOW + 5 * MINUTE)

    assert verify_ledgers(engine, keys).entries == 6


def test_a_restore_that_was_owned_up_to_explains_what_is_lost(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    witness = Witness(keys)
    body = {
        "subject": witness.of_subject(1),  # who answered and withdrew after the backup
        "options": {"analytics": False, "preferences": False, "improvement": False},
    }
    witness.append("withdrawal", body, NOW)

    accept_restored(engine, keys)

    assert verify_ledgers(engine, keys).restores == 1
    with reading(engine) as connection:
        assert len(connection.execute(select(subjects.c.subject)).all()) == 3


@pytest.mark.parametrize("allowed", ["analytics", "preferences"])
def test_who_is_two_subjects_and_withdraws_is_sound(
    engine: Engine, keys: Path, allowed: str
) -> None:
    """As where the keys were apart for a while: with all of them both withdraw at once."""
    older, newer = b"o" * 32, b"n" * 32
    answer(engine, keys, "a", "analytics", made_by=(newer,))
    answer(engine, keys, "a", allowed, made_by=(older,))

    answer(engine, keys, "a", "preferences", at=NOW + MINUTE, made_by=(newer, older))

    assert verify_ledgers(engine, keys).entries == 4
