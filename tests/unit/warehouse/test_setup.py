"""Setting up: what is missing is made, what exists stays, a lost key is not replaced in silence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import inspect, select

from ingest import service
from ingest.service import Service
from schemas.errors import KeyMissing, NotReady
from schemas.settings import Settings
from schemas.tables import leases, metadata, subjects
from tests.population import answer
from warehouse import marks
from warehouse.engine import check_ready, connect, reading, writing
from warehouse.keyfile import has_ring, read_ring
from warehouse.leases import lease
from warehouse.replaying import ERASE
from warehouse.setup import set_up_database
from warehouse.witness import BOOKS, Witness

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine


def test_an_empty_home_gets_every_table_and_a_key(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "new")
    set_up_database(settings)

    engine = connect(settings.url)
    check_ready(engine)
    assert set(inspect(engine).get_table_names()) >= set(metadata.tables)
    assert len(read_ring(settings.keys).pseudonym_keys) == 1
    engine.dispose()


def test_set_up_twice_keeps_people_and_keys(settings: Settings, engine: Engine) -> None:
    set_up_database(settings)
    ring = read_ring(settings.keys)
    subject = answer(engine, "anybody", "analytics")

    set_up_database(settings)

    assert read_ring(settings.keys) == ring
    with reading(engine) as connection:
        assert connection.execute(select(subjects.c.subject)).scalars().all() == [subject]


def test_months_are_made_where_the_engine_has_them(settings: Settings, engine: Engine) -> None:
    set_up_database(settings)
    names = set(inspect(engine).get_table_names()) - set(metadata.tables) - {"alembic_version"}

    months = {name for name in names if not name.endswith("_default")}
    kept_and_ahead = range(2 * 17, 2 * 19)  # 395 days touch 13 or 14 months, and 3 to come
    assert len(months) in kept_and_ahead if engine.dialect.name == "postgresql" else not names


def test_people_whose_key_is_gone_are_not_given_a_new_one(
    settings: Settings, engine: Engine
) -> None:
    answer(engine, "anybody", "analytics")

    with pytest.raises(KeyMissing, match="restore"):
        set_up_database(settings)

    assert not has_ring(settings.keys)


def test_two_homes_never_meet(tmp_path: Path) -> None:
    one, other = (Settings(home=tmp_path / name) for name in ("one", "other"))
    for settings in (one, other):
        set_up_database(settings)

    assert one.url.get_secret_value() != other.url.get_secret_value()
    assert read_ring(one.keys).current.secret != read_ring(other.keys).current.secret
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]


def test_a_database_without_tables_is_not_ready(tmp_path: Path) -> None:
    engine = connect(Settings(home=tmp_path / "bare").url)

    with pytest.raises(NotReady, match="smartmatch init"):
        check_ready(engine)
    engine.dispose()


def test_a_broken_key_file_is_said_and_not_replaced(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    set_up_database(settings)
    file = settings.keys / "ring.json"
    file.write_bytes(file.read_bytes()[:100])

    with pytest.raises(KeyMissing, match="is broken"):
        set_up_database(settings)

    assert file.stat().st_size == 100


def test_a_server_that_starts_waits_for_a_busy_database_longer_than_its_clients_do(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_database(settings)
    Witness(settings.keys).append(BOOKS, {"version": "7"}, 1)  # so that it has to write
    with lease(engine, ERASE, 60):
        pass
    monkeypatch.setattr(service, "BUSY_TIMEOUT_MS", 1)
    monkeypatch.setattr(service, "START_TIMEOUT_MS", 60_000)

    with ThreadPoolExecutor(1) as pool:
        with writing(engine) as connection:
            connection.execute(select(leases).with_for_update())
            started = pool.submit(Service, settings)
            wait([started], timeout=0.5)
        started.result().engine.dispose()

    with reading(engine) as connection:
        assert marks.followed(connection) == 1


def test_a_server_says_at_its_start_that_others_may_read_its_keys(
    settings: Settings, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    set_up_database(settings)
    Service(settings).engine.dispose()
    assert "Other users" not in caplog.text
    settings.keys.chmod(0o755)
    (settings.keys / "ring.json").chmod(0o644)

    Service(settings).engine.dispose()

    assert "Other users may read or change keys" in caplog.text
