"""Whatever tail of the ledger is cut off, its last entry alone included, shows."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, select, text, update

from schemas.errors import NotReady
from schemas.tables import consents as ledger
from schemas.tables import subjects, versions
from tests.serving import allow, client_of
from warehouse import consents, keyfile, marks, tombstones
from warehouse.backups import accept_restored
from warehouse.consents import Head, LedgerBroken
from warehouse.engine import is_postgres, reading, writing
from warehouse.ledgers import verify_ledgers
from warehouse.newest_head import FILE_NAME, NewestHead
from warehouse.witness import WitnessBroken

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings

CONSENT = "/api/tracking/consent"
ANSWERS = 4


def answer(settings: Settings, engine: Engine, count: int, first: int = 0) -> int:
    """Let people answer the notice over HTTP; how many entries the ledger then has.

    More than answers where a busy server wrote one and said 503: it was then given again.
    """
    with client_of(settings) as client:
        for number in range(first, first + count):
            allow(client, f"u{number}")
    return consents.head(engine).seq


def cut(engine: Engine, left: int) -> None:
    """Cut off the tail of the ledger and all that tells of it in the database."""
    with writing(engine) as connection:
        if is_postgres(engine):
            connection.execute(text("ALTER TABLE consents DISABLE TRIGGER ALL"))
        else:
            for name in ("update", "delete", "replace"):
                connection.execute(text(f"DROP TRIGGER consents_no_{name}"))
            connection.execute(
                text(f"UPDATE sqlite_sequence SET seq = {left} WHERE name = 'consents'")
            )
        gone = select(ledger.c.ledger_id).where(ledger.c.seq > left)
        connection.execute(delete(subjects).where(subjects.c.ledger_id.in_(gone)))
        connection.execute(delete(ledger).where(ledger.c.seq > left))
        connection.execute(update(versions).where(versions.c.name == "ledger").values(value=left))
    assert consents.verify(engine) == left


@pytest.mark.parametrize("left", range(ANSWERS))
def test_any_tail_that_is_cut_since_the_last_nightly_note_shows(
    settings: Settings, engine: Engine, left: int
) -> None:
    entries = answer(settings, engine, ANSWERS)
    assert verify_ledgers(engine, settings.keys).entries == entries
    cut(engine, left)

    with pytest.raises(LedgerBroken, match=f"{entries} was noted"):
        verify_ledgers(engine, settings.keys)


@pytest.mark.parametrize("later", [1, 2, 3])
def test_answers_that_come_behind_a_cut_do_not_cover_it_up(
    settings: Settings, engine: Engine, later: int
) -> None:
    entries = answer(settings, engine, ANSWERS)
    cut(engine, entries - 2)

    answer(settings, engine, later, first=ANSWERS)

    with pytest.raises(LedgerBroken):
        tombstones.note_head(engine, settings.keys, datetime.now(UTC))
    with pytest.raises(LedgerBroken):
        verify_ledgers(engine, settings.keys)


def test_a_cut_that_calls_itself_a_backup_is_none_until_somebody_says_so(
    settings: Settings, engine: Engine
) -> None:
    entries = answer(settings, engine, ANSWERS)
    tombstones.note_head(engine, settings.keys, datetime.now(UTC))
    cut(engine, entries - 1)
    with writing(engine) as connection:
        marks.set_backup(connection, backup=True)

    tombstones.catch_up(engine, settings.keys)

    with reading(engine) as connection:
        assert not marks.is_backup(connection)
    with pytest.raises(LedgerBroken, match=f"{entries} was noted"):
        verify_ledgers(engine, settings.keys)
    accept_restored(engine, settings.keys)
    checked = verify_ledgers(engine, settings.keys)
    assert (checked.entries, checked.restores) == (entries - 1, 1)
    answer(settings, engine, 1, first=ANSWERS)
    assert NewestHead(settings.keys).read() == consents.head(engine)


@pytest.mark.parametrize("step", [("write", "pwrite"), ("fsync", "fdatasync")], ids=lambda s: s[0])
def test_an_answer_that_could_not_be_noted_durably_is_not_acknowledged(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, step: tuple[str, ...]
) -> None:
    def fail(*_: object) -> None:
        raise OSError

    with client_of(settings) as client:
        allow(client, "u1")
        with monkeypatch.context() as patched:
            for name in step:
                patched.setattr(f"os.{name}", fail)
            refused = client.post(CONSENT, params={"user_id": "u2", "analytics": True})
        allow(client, "u3")

    assert refused.status_code == 503
    assert NewestHead(settings.keys).read() == consents.head(engine)


@pytest.mark.parametrize("call", ["pwrite", "fsync", "replace"])
@pytest.mark.parametrize("left", [None, b""])
def test_a_first_note_that_fails_hinders_no_later_one(
    settings: Settings,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    left: bytes | None,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError

    path = settings.keys / FILE_NAME
    with client_of(settings) as client:
        path.unlink()
        if left is not None:
            path.write_bytes(left)
        with monkeypatch.context() as patched:
            patched.setattr(f"os.{call}", fail)
            refused = client.post(CONSENT, params={"user_id": "u1", "analytics": True})
        noted = NewestHead(settings.keys).read()
        allow(client, "u2")

    assert (refused.status_code, noted) == (503, None)
    assert verify_ledgers(engine, settings.keys).heads == 1
    assert NewestHead(settings.keys).read() == consents.head(engine)


def test_a_note_that_the_disk_takes_a_part_of_is_written_whole(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(settings, engine, 1)
    pwrite = os.pwrite
    monkeypatch.setattr("os.pwrite", lambda handle, content, at: pwrite(handle, content[:99], at))

    answer(settings, engine, 1, first=1)

    assert NewestHead(settings.keys).read() == consents.head(engine)


def test_a_note_that_may_not_last_is_written_again(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_handle: int) -> None:
        raise OSError

    answer(settings, engine, 1)
    head = NewestHead(settings.keys)
    monkeypatch.setattr("os.fdatasync", fail)

    for _ in range(2):  # the second finds it as it should be, and it may be gone all the same
        with pytest.raises(NotReady):
            head.note(engine)


def test_a_process_that_is_behind_does_not_set_the_note_back(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(settings, engine, 2)
    late, newest = NewestHead(settings.keys), consents.head(engine)
    seen = iter([Head(1, b"1" * 32)])
    head = consents.head
    monkeypatch.setattr(consents, "head", lambda engine: next(seen, None) or head(engine))

    late.note(engine)

    assert NewestHead(settings.keys).read() == newest


def test_the_note_of_an_older_installation_is_made_by_the_nightly_check(
    settings: Settings, engine: Engine
) -> None:
    answer(settings, engine, 2)
    path = settings.keys / FILE_NAME
    path.unlink()
    assert verify_ledgers(engine, settings.keys).heads == 0

    tombstones.note_head(engine, settings.keys, datetime.now(UTC))

    assert verify_ledgers(engine, settings.keys).heads == 1
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_note_that_is_gone_or_was_set_back_or_changed_shows(
    settings: Settings, engine: Engine
) -> None:
    answer(settings, engine, 1)
    path = settings.keys / FILE_NAME
    early = path.read_bytes()
    entries = answer(settings, engine, 1, first=1)
    tombstones.note_head(engine, settings.keys, datetime.now(UTC))
    whole = path.read_bytes()

    path.unlink()
    broken(engine, settings.keys)
    for content in (early, b"", *(flipped(whole, place) for place in range(len(whole)))):
        keyfile.replace_file(path, content)
        broken(engine, settings.keys)
    keyfile.replace_file(path, whole)
    assert verify_ledgers(engine, settings.keys).entries == entries


def broken(engine: Engine, keys: Path) -> None:
    with pytest.raises(WitnessBroken):
        verify_ledgers(engine, keys)


def flipped(content: bytes, place: int) -> bytes:
    bit = 0x80 if place % 2 else 0x04
    return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
