"""API keys: shown once, found again by hash, gone when revoked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from schemas.errors import InvalidInput
from schemas.tables import api_keys as table
from schemas.tables import versions
from warehouse import api_keys, consents
from warehouse.api_keys import NoSuchKey, Scope
from warehouse.engine import add_to, reading, writing
from warehouse.keyfile import make_ring
from warehouse.witness import Witness

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    make_ring(tmp_path / "keys", 1)
    return tmp_path / "keys"


def opens(engine: Engine, key: str) -> bool:
    with reading(engine) as connection:
        hashes = api_keys.read_hashes(connection)
    return hashes is not None and api_keys.match(hashes, key.encode()) is not None


def test_key_itself_is_not_in_the_database(engine: Engine, directory: Path) -> None:
    _, key = api_keys.create(engine, directory, "shop", {Scope.INGEST}, NOW)

    with reading(engine) as connection:
        (row,) = connection.execute(select(table)).all()
    secret = key.split("_", 2)[2]  # which may hold "_" as well
    assert opens(engine, key)
    assert not any(secret.encode() in (v if isinstance(v, bytes) else str(v).encode()) for v in row)


def test_list_shows_what_a_key_opens_and_when_it_was_revoked(
    engine: Engine, directory: Path
) -> None:
    first, _ = api_keys.create(engine, directory, "shop", {Scope.INGEST}, NOW)
    second, _ = api_keys.create(engine, directory, "office", {Scope.ADMIN, Scope.PRIVACY}, NOW)
    api_keys.revoke(engine, directory, first.key_id, NOW + timedelta(hours=1))

    listed = {key.name: key for key in api_keys.read_keys(engine)}

    assert listed["office"] == second
    assert listed["shop"].revoked_at is not None
    assert listed["office"].scopes == {Scope.ADMIN, Scope.PRIVACY}


def test_rotation_keeps_two_keys_valid_and_never_three(engine: Engine, directory: Path) -> None:
    made, key = api_keys.create(engine, directory, "shop", {Scope.INGEST}, NOW)
    keys = [key]
    for hour in (1, 2):
        made, key = api_keys.rotate(engine, directory, made.key_id, NOW + timedelta(hours=hour))
        keys.append(key)

    assert [opens(engine, key) for key in keys] == [False, True, True]
    assert made.scopes == {Scope.INGEST}


def test_revoked_or_unknown_key_cannot_be_revoked_or_rotated(
    engine: Engine, directory: Path
) -> None:
    made, _ = api_keys.create(engine, directory, "shop", {Scope.INGEST}, NOW)
    api_keys.revoke(engine, directory, made.key_id, NOW)

    for act in (api_keys.revoke, api_keys.rotate):
        for key_id in (made.key_id, "unknown"):
            with pytest.raises(NoSuchKey):
                act(engine, directory, key_id, NOW)


def test_no_key_ever_is_not_the_same_as_no_valid_key(engine: Engine, directory: Path) -> None:
    with reading(engine) as connection:
        before = api_keys.read_hashes(connection)
    made, _ = api_keys.create(engine, directory, "shop", {Scope.INGEST}, NOW)
    api_keys.revoke(engine, directory, made.key_id, NOW)
    with reading(engine) as connection:
        after = api_keys.read_hashes(connection)

    assert before is None
    assert after == {}


@pytest.mark.parametrize(
    ("name", "scopes"), [("", {Scope.INGEST}), ("a\nb", {Scope.INGEST}), ("a", ())]
)
def test_key_without_a_name_or_a_scope_is_refused(
    engine: Engine, directory: Path, name: str, scopes: set[Scope]
) -> None:
    with pytest.raises(InvalidInput):
        api_keys.create(engine, directory, name, scopes, NOW)


def test_a_key_is_witnessed_when_nobody_else_can_be_witnessing(
    engine: Engine, directory: Path
) -> None:
    """Else marks would be committed in another order than the witness has them."""
    with ThreadPoolExecutor(1) as elsewhere:
        with writing(engine) as connection:
            # As an answer to the notice begins.
            row = {"name": consents.CHANGES, "value": 1}
            connection.execute(add_to(connection, versions, ["name"]), [row])
            made = elsewhere.submit(api_keys.create, engine, directory, "shop", {Scope.INGEST}, NOW)
            assert not wait([made], 0.5).done
            assert list(Witness(directory).entries()) == []
        _, key = made.result()

    assert opens(engine, key)
