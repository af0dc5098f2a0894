"""Whoever writes the database without the keys writes no answer and nobody's row unseen."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, insert, select, text, update

from privacy.pseudonyms import subject_pseudonym
from schemas.consents import Options
from schemas.tables import consents as ledger
from schemas.tables import subjects, versions
from tests.engines import on_sqlite
from tests.population import KEY, NOTICE, NOW
from warehouse import consents, tombstones
from warehouse.backups import accept_restored
from warehouse.consents import LedgerBroken
from warehouse.engine import is_postgres, reading, writing
from warehouse.keyfile import make_ring, read_ring
from warehouse.ledgers import verify_ledgers
from warehouse.newest_head import FILE_NAME, NewestHead
from warehouse.residue import forget_bytes
from warehouse.seals import Seals

if TYPE_CHECKING:
    from sqlalchemy import Column, Engine

MINUTE = 60_000_000


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_ring(tmp_path / "keys", 1)
    return tmp_path / "keys"


def answer(
    engine: Engine, keys: Path | None, name: str, *purposes: str, at: int = NOW, key: str = "key"
) -> int:
    person = consents.Person(key, (subject_pseudonym(KEY, name),))
    options = Options(*(name in purposes for name in ("analytics", "preferences", "improvement")))
    entry = consents.Entry(uuid4(), options, NOTICE, "test", None, at)
    with writing(engine) as connection:
        if keys is None:  # as an earlier version did
            return consents.record(connection, person, entry).subject
        return tombstones.record(connection, keys, person, entry).subject


@pytest.fixture
def people(engine: Engine, keys: Path) -> dict[str, int]:
    """One who withdrew and two who allow, in an installation that is sealed from its first day."""
    NewestHead(keys).demand_seals(engine)
    known = {name: answer(engine, keys, name, "analytics", "improvement") for name in "abc"}
    answer(engine, keys, "a", at=NOW + MINUTE)
    assert NewestHead(keys).note(engine)
    assert verify_ledgers(engine, keys).sealed_from == 1
    return known


@on_sqlite  # PostgreSQL's files are its server's
@pytest.mark.parametrize("column", [subjects.c.pseudonym, ledger.c.ledger_id, ledger.c.entry_hash])
def test_a_byte_that_is_changed_in_a_table_or_an_index_is_found(
    engine: Engine, keys: Path, people: dict[str, int], column: Column[bytes]
) -> None:
    with reading(engine) as connection:
        value = connection.execute(select(column)).scalars().first()
    assert forget_bytes(engine)
    engine.dispose()
    path = Path(str(engine.url.database))
    whole = path.read_bytes()
    places = [found.start() for found in re.finditer(re.escape(value or b""), whole)]
    assert len(places) > 1

    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(LedgerBroken):
            verify_ledgers(engine, keys)
        engine.dispose()


def forge(engine: Engine, subject: int, seal: bytes | None) -> None:
    """Write a grant as whoever has the database and not the keys can: chain, counter and state."""
    with writing(engine) as connection:
        last = connection.execute(select(ledger).order_by(ledger.c.seq.desc()).limit(1)).one()
        person = connection.execute(select(subjects).where(subjects.c.subject == subject)).one()
        row: dict[str, Any] = {
            **last._mapping,
            "seq": last.seq + 1,
            "consent_id": secrets.token_bytes(16),
            "ledger_id": person.ledger_id,
            "analytics": True,
            "improvement": True,
            "recorded_at": NOW + 2 * MINUTE,
            "previous_hash": last.entry_hash,
        }
        row |= {"entry_hash": consents.entry_hash(row), "seal": seal}
        connection.execute(insert(ledger).values(**row))
        for name in ("ledger", "consents"):
            counted = update(versions).where(versions.c.name == name)
            connection.execute(counted.values(value=versions.c.value + 1))
        connection.execute(
            update(subjects)
            .where(subjects.c.subject == subject)
            .values(analytics=True, improvement=True, updated_at=row["recorded_at"])
        )
    assert consents.verify(engine) == last.seq + 1


def change(engine: Engine, subject: int, **values: Any) -> None:
    with writing(engine) as connection:
        connection.execute(update(subjects).where(subjects.c.subject == subject).values(**values))


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("seal", [None, bytes(16), "theirs"])
def test_a_forged_answer_is_named_also_when_it_was_noted_and_others_follow(
    engine: Engine, keys: Path, people: dict[str, int], name: str, seal: bytes | str | None
) -> None:
    if isinstance(seal, str):
        with reading(engine) as connection:
            seal = connection.execute(select(ledger.c.seal).where(ledger.c.seq == 4)).scalar_one()
    forge(engine, people[name], seal)

    with pytest.raises(LedgerBroken, match="entry 5 has no right seal"):
        verify_ledgers(engine, keys)

    answer(engine, keys, "c", at=NOW + 3 * MINUTE)
    assert NewestHead(keys).note(engine)
    with pytest.raises(LedgerBroken, match="entry 5 has no right seal"):
        verify_ledgers(engine, keys)
    with reading(engine) as connection:
        assert NewestHead(keys).sealed().first_broken(connection) == 5


def test_seals_that_are_taken_away_are_missed(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    with writing(engine) as connection:
        if is_postgres(engine):
            connection.execute(text("ALTER TABLE consents DISABLE TRIGGER ALL"))
        else:
            connection.execute(text("DROP TRIGGER consents_no_update"))
        connection.execute(update(ledger).values(seal=None))
        connection.execute(update(subjects).values(seal=None))

    with pytest.raises(LedgerBroken, match="entry 1 has no right seal"):
        verify_ledgers(engine, keys)


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("seal", [{}, {"seal": None}])
def test_a_pseudonym_that_was_overwritten_shows_whatever_its_person_does_next(
    engine: Engine, keys: Path, people: dict[str, int], name: str, seal: dict[str, None]
) -> None:
    change(engine, people[name], pseudonym=secrets.token_bytes(32), **seal)
    with pytest.raises(LedgerBroken):
        verify_ledgers(engine, keys)

    change(engine, people[name], pseudonym=subject_pseudonym(KEY, "somebody else"))
    answer(engine, keys, "somebody else", at=NOW + 2 * MINUTE)

    with pytest.raises(LedgerBroken):
        verify_ledgers(engine, keys)


def test_two_who_never_withdrew_do_not_trade_places_unseen(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    with reading(engine) as connection:
        theirs = {
            name: connection.execute(
                select(subjects.c.ledger_id).where(subjects.c.subject == people[name])
            ).scalar_one()
            for name in "bc"
        }
    change(engine, people["b"], ledger_id=bytes(16))
    change(engine, people["c"], ledger_id=theirs["b"])
    change(engine, people["b"], ledger_id=theirs["c"])

    with pytest.raises(LedgerBroken, match="seal"):
        verify_ledgers(engine, keys)
    # They have said the same, so that nothing but the seal tells.
    change(engine, people["b"], ledger_id=bytes(16))
    change(engine, people["c"], ledger_id=theirs["c"])
    change(engine, people["b"], ledger_id=theirs["b"])
    assert verify_ledgers(engine, keys).entries == 4


def test_who_moves_to_a_newer_pseudonym_key_stays_sealed(
    engine: Engine, keys: Path, people: dict[str, int]
) -> None:
    seals = Seals(read_ring(keys))
    moved = {
        name: (subject_pseudonym(b"n" * 32, name), subject_pseudonym(KEY, name)) for name in "bc"
    }
    change(engine, people["c"], ledger_id=secrets.token_bytes(16))
    with writing(engine) as connection:
        consents.resolve(connection, [moved["b"]], {moved["b"]: "new"}, seals)
        person = connection.execute(select(subjects).where(subjects.c.subject == people["b"])).one()
        assert (person.pseudonym, person.key_id) == (moved["b"][0], "new")
        assert seals.fits(person)
        consents.resolve(connection, [moved["c"]], {moved["c"]: "new"}, seals)
        changed = connection.execute(
            select(subjects).where(subjects.c.subject == people["c"])
        ).one()
        assert changed.pseudonym == moved["c"][0]
        assert not seals.fits(changed)


def test_entries_of_before_there_were_seals_are_covered_by_the_first_that_follows(
    engine: Engine, keys: Path
) -> None:
    first = answer(engine, None, "a", "analytics")
    answer(engine, None, "b", "analytics")
    assert verify_ledgers(engine, keys).sealed_from is None

    assert NewestHead(keys).note(engine)
    assert verify_ledgers(engine, keys).sealed_from == 3
    answer(engine, keys, "a", "analytics", "improvement", at=NOW + MINUTE)
    answer(engine, keys, "a", at=NOW + 2 * MINUTE)
    assert NewestHead(keys).note(engine)
    assert verify_ledgers(engine, keys).entries == 4

    # Everybody was sealed when seals were first demanded, and nobody is again.
    change(engine, first, seal=None)
    NewestHead(keys).demand_seals(engine)
    with pytest.raises(LedgerBroken, match="seal"):
        verify_ledgers(engine, keys)


def test_a_backup_of_before_there_were_seals_is_sealed_when_somebody_says_so(
    engine: Engine, keys: Path
) -> None:
    answer(engine, None, "a", "analytics")
    with reading(engine) as connection:
        kept = [dict(row) for row in connection.execute(select(subjects)).mappings()]
    NewestHead(keys).demand_seals(engine)
    answer(engine, keys, "b", "analytics")
    assert NewestHead(keys).note(engine)
    with writing(engine) as connection:  # the backup is put back
        if is_postgres(engine):
            connection.execute(text("ALTER TABLE consents DISABLE TRIGGER ALL"))
        else:
            connection.execute(text("DROP TRIGGER consents_no_delete"))
        connection.execute(delete(ledger).where(ledger.c.seq > 1))
        connection.execute(delete(subjects))
        connection.execute(insert(subjects), kept)
        connection.execute(update(versions).where(versions.c.name == "ledger").values(value=1))
    with pytest.raises(LedgerBroken):
        verify_ledgers(engine, keys)

    accept_restored(engine, keys)

    assert verify_ledgers(engine, keys).sealed_from == 2
    answer(engine, None, "c", "analytics", at=NOW + MINUTE)
    with pytest.raises(LedgerBroken, match="entry 2 has no right seal"):
        verify_ledgers(engine, keys)


def test_the_note_of_an_earlier_version_is_read_and_grows(engine: Engine, keys: Path) -> None:
    answer(engine, None, "a", "analytics")
    assert NewestHead(keys).note(engine)
    whole = (keys / FILE_NAME).read_bytes()
    earlier = whole[: whole.index(b',"sealed_from"')] + b"}"
    (keys / FILE_NAME).write_bytes(earlier.ljust(len(whole)))
    assert NewestHead(keys).read() == consents.head(engine)
    assert NewestHead(keys).sealed().since is None

    NewestHead(keys).demand_seals(engine)

    assert (keys / FILE_NAME).read_bytes() == whole
