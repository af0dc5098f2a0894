"""API keys and a restore: what was revoked stays revoked, and a door that asked goes on asking."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, select

from cli import main
from ingest.service import Service
from schemas.settings import Settings
from schemas.tables import versions
from tests.engines import end_commands
from tests.erasing import die, in_a_child
from tests.unit.warehouse.test_restoring import snapshot
from warehouse import api_keys, marks, tombstones
from warehouse.api_keys import NoSuchKey, Scope
from warehouse.engine import connect, reading, writing
from warehouse.keyfile import make_ring
from warehouse.setup import set_up_database
from warehouse.witness import KEY_MADE, KEY_REVOKED, Witness

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def directory(settings: Settings) -> Path:
    make_ring(settings.keys, 1)
    return settings.keys


def made(engine: Engine, directory: Path, name: str = "shop") -> str:
    return api_keys.create(engine, directory, name, {Scope.INGEST}, NOW)[0].key_id


def valid(engine: Engine) -> set[bytes] | None:
    """Return the keys that open the door; None where it stands open."""
    with reading(engine) as connection:
        hashes = api_keys.read_hashes(connection)
    return None if hashes is None else set(hashes)


def test_a_restore_revokes_again_what_was_revoked_since(engine: Engine, directory: Path) -> None:
    leaked, other = made(engine, directory), made(engine, directory, "other")
    put_back = snapshot(engine)
    api_keys.revoke(engine, directory, leaked, NOW)
    before = api_keys.read_keys(engine)

    put_back()
    assert valid(engine) == {leaked.encode(), other.encode()}
    tombstones.catch_up(engine, directory)

    assert valid(engine) == {other.encode()}
    assert api_keys.read_keys(engine) == before


def test_a_restore_to_before_the_first_key_opens_no_door(engine: Engine, directory: Path) -> None:
    put_back = snapshot(engine)
    _, key = api_keys.create(engine, directory, "shop", {Scope.INGEST, Scope.ADMIN}, NOW)
    before = api_keys.read_keys(engine)

    put_back()
    assert valid(engine) is None
    tombstones.catch_up(engine, directory)

    with reading(engine) as connection:
        found = api_keys.match(api_keys.read_hashes(connection) or {}, key.encode())
    assert found is not None
    assert found.scopes == {Scope.INGEST, Scope.ADMIN}
    assert api_keys.read_keys(engine) == before


def test_a_restore_knows_a_rotation_whose_old_key_was_revoked(
    engine: Engine, directory: Path
) -> None:
    first = made(engine, directory)
    put_back = snapshot(engine)
    for hour in (1, 2):
        newest = api_keys.read_keys(engine)[-1].key_id
        api_keys.rotate(engine, directory, newest, NOW + timedelta(hours=hour))
    before = valid(engine)

    put_back()
    tombstones.catch_up(engine, directory)

    assert valid(engine) == before
    assert before is not None
    assert first.encode() not in before
    assert len(before) == 2


def test_servers_hear_of_keys_that_a_restore_changed(engine: Engine, directory: Path) -> None:
    leaked = made(engine, directory)
    put_back = snapshot(engine)
    api_keys.revoke(engine, directory, leaked, NOW)
    put_back()

    def count() -> int:
        with reading(engine) as connection:
            row = select(versions.c.value).where(versions.c.name == api_keys.CHANGES)
            return int(connection.execute(row).scalar() or 0)

    before = count()
    tombstones.catch_up(engine, directory)
    assert count() > before


def test_a_revocation_that_was_killed_before_its_commit_is_carried_out_by_the_next_who_looks(
    engine: Engine, directory: Path
) -> None:
    leaked = made(engine, directory)
    engine.dispose()

    def killed() -> None:
        marks.follow = die  # type: ignore[assignment]
        api_keys.revoke(engine, directory, leaked, NOW)

    assert in_a_child(killed) == signal.SIGKILL
    assert valid(engine) == {leaked.encode()}

    tombstones.catch_up(engine, directory)

    assert valid(engine) == set()


def test_a_key_that_is_not_there_is_not_witnessed(engine: Engine, directory: Path) -> None:
    with pytest.raises(NoSuchKey):
        api_keys.revoke(engine, directory, "unknown", NOW)

    assert list(Witness(directory).entries()) == []


def test_keys_of_before_the_witness_knew_of_any_are_witnessed_when_a_server_starts(
    engine: Engine, settings: Settings, directory: Path
) -> None:
    put_back = snapshot(engine)
    kept, leaked = made(engine, directory), made(engine, directory, "leaked")
    api_keys.revoke(engine, directory, leaked, NOW)
    before = api_keys.read_keys(engine)
    (directory / "witness.jsonl").unlink()
    with writing(engine) as connection:
        connection.execute(delete(versions).where(versions.c.name.in_([marks.MARKS, marks.KEYS])))

    for _ in range(2):
        Service(settings).engine.dispose()

    told = [(entry.kind, entry.body["key_id"]) for entry in Witness(directory).verify()]
    assert sorted(told) == sorted([(KEY_MADE, kept), (KEY_MADE, leaked), (KEY_REVOKED, leaked)])
    put_back()
    tombstones.catch_up(engine, directory)
    assert api_keys.read_keys(engine) == before


def call(*arguments: str) -> str:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 0, done.output
    end_commands()
    return done.output


@pytest.mark.parametrize("first", [True, False])
def test_the_command_says_which_keys_a_restore_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, first: bool
) -> None:
    monkeypatch.setenv("SMARTMATCH_HOME", str(tmp_path))
    set_up_database(Settings())
    backup = str(tmp_path / "backup.db")
    create: Any = ("keys", "create", "--name", "shop", "--scope", "ingest")
    if first:
        call("backup", backup)
        call(*create)
    else:
        call(*create)
        call("backup", backup)
        call("keys", "revoke", api_keys.read_keys(connect(Settings().url))[0].key_id)

    said = call("restore", backup, "--yes")

    made, revoked = (1, 0) if first else (0, 1)
    assert f"{made} API keys that were made since are valid again, and {revoked} that were" in said
    assert "No API key was ever made" not in said
