"""The consent ledger: it only grows, every change of it shows, and every past state is known."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError

from schemas.clock import micros
from schemas.consents import Options
from schemas.errors import ConsentRequired
from schemas.tables import consents as table
from schemas.tables import subjects, versions
from tests.engines import on_postgresql, wait_until_one_waits
from warehouse import consents
from warehouse.consents import Entry, Head, LedgerBroken, NoSuchPerson, Person, State
from warehouse.engine import is_postgres, reading, writing
from warehouse.erasure_requests import begin, open_request
from warehouse.notices import NoticeMissing, read_notice

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

NOW = datetime(2026, 11, 1, tzinfo=UTC)
NOTICE = read_notice("2026-11")
ALICE = Person("k1", (b"a" * 32,))
BOB = Person("k1", (b"b" * 32,))


def answer(
    engine: Engine,
    person: Person = ALICE,
    at: datetime = NOW,
    *,
    analytics: bool = True,
    improvement: bool = False,
) -> State:
    options = Options(analytics, preferences=False, improvement=improvement)
    entry = Entry(uuid4(), options, NOTICE, "api", b"h" * 16, micros(at))
    with writing(engine) as connection:
        return consents.record(connection, person, entry)


def test_first_answer_makes_a_subject_with_a_random_number(engine: Engine) -> None:
    alice, bob = answer(engine), answer(engine, BOB)

    assert 0 < alice.subject < 1 << 63
    assert alice.subject != bob.subject
    assert alice.ledger_id != bob.ledger_id
    assert consents.find_subject(engine, ALICE.candidates) == alice.subject
    with pytest.raises(NoSuchPerson):
        consents.find_subject(engine, [b"n" * 32])


@pytest.mark.parametrize("older", [b"a" * 32, b"z" * 32])
@pytest.mark.parametrize("made_first", ["k1", "k2"])
def test_who_answered_under_two_keys_that_were_apart_withdraws_under_both(
    engine: Engine, older: bytes, made_first: str
) -> None:
    """As where a key directory was put back that did not know the newer key yet."""
    newer = b"n" * 32
    apart = {"k1": Person("k1", (older,)), "k2": Person("k2", (newer,))}
    known = [answer(engine, apart.pop(made_first)), answer(engine, *apart.values())]
    together = (newer, older)

    withdrawn = answer(engine, Person("k2", together), analytics=False)

    found = [consents.options_at(engine, one.subject) for one in known]
    assert found == [Options(False, False, False)] * 2
    with reading(engine) as connection:
        assert consents.resolve(connection, [together]) == {}
        assert consents.find(connection, together) == withdrawn
    assert consents.verify(engine) == 4


@pytest.mark.parametrize("refusing", ["k1", "k2"])
def test_who_is_two_subjects_allows_what_both_do(engine: Engine, refusing: str) -> None:
    """Who withdrew at a server that did not know their key yet has withdrawn."""
    newer, older = b"n" * 32, b"a" * 32
    for key_id, pseudonym in (("k2", newer), ("k1", older)):
        alone = Person(key_id, (pseudonym,))
        first = answer(engine, alone, analytics=key_id != refusing, improvement=True).subject
    together = (older, newer)

    with reading(engine) as connection:
        found = consents.find(connection, together)
        assert consents.resolve(connection, [together]) == {}
    assert found is not None
    assert found.options == Options(False, False, True)
    answer(engine, Person("k1", together))
    with reading(engine) as connection:
        assert consents.resolve(connection, [together]) == {together: first}


def test_state_of_any_past_instant_is_known(engine: Engine) -> None:
    subject = answer(engine, at=NOW, analytics=True).subject
    answer(engine, BOB, at=NOW + timedelta(hours=1))
    answer(engine, at=NOW + timedelta(hours=2), analytics=False)
    answer(engine, at=NOW + timedelta(hours=3), analytics=True, improvement=True)

    states = [
        consents.options_at(engine, subject, NOW + timedelta(hours=hour))
        for hour in (-1, 0, 1, 2, 4)
    ]

    off, on = Options(False, False, False), Options(True, False, False)
    assert states == [None, on, on, off, Options(True, False, True)]


def test_clock_that_is_set_back_does_not_reorder_answers(engine: Engine) -> None:
    subject = answer(engine, at=NOW, analytics=True).subject
    answer(engine, at=NOW - timedelta(hours=1), analytics=False)

    assert consents.options_at(engine, subject, NOW) == Options(False, False, False)


def test_answer_by_a_clock_that_was_ahead_hides_none_that_follows(engine: Engine) -> None:
    ahead = NOW + timedelta(days=300)
    alice = answer(engine, at=NOW, improvement=True).subject
    bob = answer(engine, BOB, at=ahead).subject
    withdrawn = answer(engine, at=NOW + timedelta(hours=1), analytics=False)
    answer(engine, BOB, at=NOW + timedelta(hours=2), analytics=False)

    off = Options(False, False, False)
    assert withdrawn.updated_at == micros(NOW + timedelta(hours=1))
    for subject in (alice, bob):
        for at in (NOW + timedelta(hours=2), ahead, None):
            assert consents.options_at(engine, subject, at) == off
    assert consents.options_at(engine, alice, NOW) == Options(True, False, True)
    assert consents.verify(engine) == 4


def test_what_is_allowed_now_is_the_last_answer_whatever_its_time(engine: Engine) -> None:
    subject = answer(engine, at=NOW + timedelta(days=300)).subject

    assert consents.options_at(engine, subject) == Options(True, False, False)
    assert consents.options_at(engine, subject, NOW) is None


@pytest.mark.parametrize(
    "statement",
    [
        update(table).values(analytics=True),
        delete(table),
        text(
            "INSERT INTO consents SELECT * FROM consents WHERE true"
            " ON CONFLICT (seq) DO UPDATE SET channel = 'x'"
        ),
    ],
)
def test_database_refuses_to_change_the_ledger(engine: Engine, statement: Any) -> None:
    answer(engine)

    with pytest.raises(DBAPIError, match="append-only"), writing(engine) as connection:
        connection.execute(statement)
    assert consents.verify(engine) == 1


def test_database_refuses_to_replace_or_empty_the_ledger(engine: Engine) -> None:
    answer(engine)
    wipe = (
        "TRUNCATE consents"
        if is_postgres(engine)
        else "REPLACE INTO consents SELECT * FROM consents"
    )

    with pytest.raises(DBAPIError, match="append-only"), writing(engine) as connection:
        connection.execute(text(wipe))
    assert consents.verify(engine) == 1


def open_ledger(engine: Engine) -> None:
    """Take the triggers off, as somebody with the rights of the owner could."""
    with writing(engine) as connection:
        if is_postgres(engine):
            connection.execute(text("ALTER TABLE consents DISABLE TRIGGER ALL"))
            return
        for name in ("update", "delete", "replace"):
            connection.execute(text(f"DROP TRIGGER consents_no_{name}"))


@pytest.mark.parametrize(
    "name",
    ["analytics", "notice_version", "channel", "recorded_at", "ledger_id", "address_hash"],
)
def test_changed_entry_is_found(engine: Engine, name: str) -> None:
    for person in (ALICE, BOB, ALICE):
        answer(engine, person)
    open_ledger(engine)
    kind = table.c[name].type.python_type
    other: Any = {bool: False, str: "x", int: 5, bytes: b"z" * 16}[kind]
    with writing(engine) as connection:
        connection.execute(update(table).where(table.c.seq == 2).values({name: other}))

    with pytest.raises(LedgerBroken, match="entry 2"):
        consents.verify(engine)


def test_changed_entry_that_was_hashed_anew_is_found_by_the_one_behind_it(engine: Engine) -> None:
    for person in (ALICE, BOB, ALICE):
        answer(engine, person)
    open_ledger(engine)
    with writing(engine) as connection:
        row = dict(connection.execute(select(table).where(table.c.seq == 2)).mappings().one())
        row["channel"] = "forged"
        row["entry_hash"] = consents.entry_hash(row)
        connection.execute(update(table).where(table.c.seq == 2).values(**row))

    with pytest.raises(LedgerBroken, match="entry 3"):
        consents.verify(engine)


def test_reordered_entries_are_found(engine: Engine) -> None:
    for person in (ALICE, BOB, ALICE):
        answer(engine, person)
    open_ledger(engine)
    with writing(engine) as connection:
        for old, new in ((1, 99), (2, 1), (99, 2)):
            connection.execute(update(table).where(table.c.seq == old).values(seq=new))

    with pytest.raises(LedgerBroken):
        consents.verify(engine)


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_removed_entry_is_found_at_the_end_too(engine: Engine, seq: int) -> None:
    for person in (ALICE, BOB, ALICE):
        answer(engine, person)
    open_ledger(engine)
    with writing(engine) as connection:
        connection.execute(delete(table).where(table.c.seq == seq))

    with pytest.raises(LedgerBroken):
        consents.verify(engine)


def test_tail_cut_together_with_its_counter_shows_against_a_head_noted_before(
    engine: Engine,
) -> None:
    answer(engine)
    answer(engine, BOB)
    kept = consents.head(engine)
    assert kept is not None
    open_ledger(engine)
    with writing(engine) as connection:
        connection.execute(delete(table).where(table.c.seq == 2))
        connection.execute(delete(subjects).where(subjects.c.pseudonym == BOB.candidates[0]))
        connection.execute(update(versions).values(value=1))

    assert consents.verify(engine) == 1
    with pytest.raises(LedgerBroken, match="2 was noted"):
        consents.verify(engine, kept)


def test_rewritten_history_shows_against_a_head_noted_before(engine: Engine) -> None:
    answer(engine)

    with pytest.raises(LedgerBroken):
        consents.verify(engine, Head(1, b"x" * 32))


@pytest.mark.parametrize(
    "changed",
    [
        {"improvement": True},
        {"notice_version": "2020-01"},
        {"updated_at": micros(NOW) - 1},
        {"ledger_id": b"n" * 16},
        {"erasing": True},
    ],
)
def test_state_that_no_entry_explains_is_found(engine: Engine, changed: dict[str, Any]) -> None:
    answer(engine)
    answer(engine, at=NOW - timedelta(hours=1), analytics=False)  # by a clock that was set back
    assert consents.verify(engine) == 2
    with writing(engine) as connection:
        connection.execute(update(subjects).values(**changed))

    with pytest.raises(LedgerBroken, match="state"):
        consents.verify(engine)


@pytest.mark.parametrize("name", ["ledger_id", "pseudonym"])
def test_person_who_goes_by_the_answers_of_another_is_found(engine: Engine, name: str) -> None:
    alice, bob = answer(engine), answer(engine, BOB)
    with writing(engine) as connection:
        # As somebody does who changes the database's files: the copy has no constraint.
        for statement in (
            "CREATE TABLE copied AS SELECT * FROM subjects",
            "DROP TABLE subjects",
            "ALTER TABLE copied RENAME TO subjects",
        ):
            connection.execute(text(statement))
        both = subjects.alias()
        hers = select(both.c[name]).where(both.c.subject == alice.subject).scalar_subquery()
        his = update(subjects).where(subjects.c.subject == bob.subject)
        connection.execute(his.values({name: hers}))

    with pytest.raises(LedgerBroken, match="last entry"):
        consents.verify(engine)


def test_deleted_subject_leaves_the_chain_whole(engine: Engine) -> None:
    answer(engine)
    answer(engine, BOB)
    with writing(engine) as connection:
        connection.execute(delete(subjects).where(subjects.c.pseudonym == ALICE.candidates[0]))

    assert consents.verify(engine) == 2


def test_answers_at_the_same_time_make_one_chain(engine: Engine) -> None:
    def many(letter: bytes) -> None:
        for _ in range(10):
            answer(engine, Person("k1", (letter * 32,)))

    threads = [threading.Thread(target=many, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert consents.verify(engine) == 30


@on_postgresql  # on SQLite writers come one after the other
def test_answer_at_another_server_is_not_waited_for_by_who_waits_for_it(engine: Engine) -> None:
    answer(engine)
    subject = answer(engine, BOB).subject
    with ThreadPoolExecutor(1) as pool:
        with writing(engine) as connection:
            open_request(connection, subject, NOW)
            other = pool.submit(answer, engine, Person("k1", (b"d" * 32,)))
            wait_until_one_waits(engine)
            entry = Entry(uuid4(), Options(True, True, True), NOTICE, "api", None, micros(NOW))
            consents.record(connection, Person("k1", (b"c" * 32,)), entry)
        assert other.result().options.analytics

    assert consents.verify(engine) == 4


def test_rotation_keeps_a_person_linked_and_moves_them_to_the_new_key(engine: Engine) -> None:
    before = answer(engine)
    rotated = Person("k2", (b"n" * 32, *ALICE.candidates))

    after = answer(engine, rotated, analytics=False)

    assert after.subject == before.subject
    with reading(engine) as connection:
        row = connection.execute(select(subjects.c.pseudonym, subjects.c.key_id)).one()
    assert tuple(row) == (b"n" * 32, "k2")


def test_person_who_is_being_erased_cannot_answer(engine: Engine) -> None:
    begin(engine, answer(engine).subject, NOW)

    with pytest.raises(ConsentRequired):
        answer(engine)
    assert consents.verify(engine) == 1


def test_notice_is_known_by_the_digest_of_its_text(tmp_path: Path) -> None:
    (tmp_path / "v1.fr.md").write_text("Bonjour")
    (tmp_path / "v1.en.md").write_text("Hello")
    before = read_notice("v1", tmp_path)
    (tmp_path / "v1.en.md").write_text("Hello!")

    assert read_notice("v1", tmp_path).sha256 != before.sha256
    with pytest.raises(NoticeMissing):
        read_notice("v2", tmp_path)
