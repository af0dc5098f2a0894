"""A server whose SQLite file is moved away or replaced: what it acknowledges, others find."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import func, select

from schemas.tables import staged
from tests.engines import on_sqlite
from tests.serving import allow, client_of, proposed
from warehouse.backups import back_up
from warehouse.engine import connect, reading

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.settings import Settings

pytestmark = on_sqlite

PROPOSED = "/api/tracking/event/match-proposed"


def move_away(engine: Engine) -> Path:
    """Move the database with its log elsewhere, as an operator may; return what is left."""
    engine.dispose()
    file = Path(str(engine.url.database))
    elsewhere = file.parent.with_name("elsewhere")
    file.parent.rename(elsewhere)
    file.parent.mkdir()
    return file


def test_nothing_is_acknowledged_into_a_file_that_was_taken_away(
    settings: Settings, engine: Engine
) -> None:
    with client_of(settings) as client:
        allow(client)
        before = client.post(PROPOSED, json=proposed()).status_code
        move_away(engine)
        answers = [client.post(PROPOSED, json=proposed()).status_code for _ in range(2)]
        consent = client.post("/api/tracking/consent", json={"user_id": "u2"}).status_code

    assert (before, answers, consent) == (200, [503, 503], 503)


def test_an_event_is_found_by_others_when_the_log_was_removed(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    file = Path(str(engine.url.database))
    log = file.with_name(f"{file.name}-wal")
    event = proposed()
    with client_of(settings) as client:
        allow(client)
        engine.dispose()
        log.unlink()
        after = client.post(PROPOSED, json=event).status_code
        for part in (file, log):
            shutil.copy(part, tmp_path / part.name)

    copy = connect(SecretStr(f"sqlite:///{tmp_path / file.name}"))
    with reading(copy) as connection:
        found = connection.execute(select(staged.c.event_id)).scalars().all()
    copy.dispose()
    assert after == 200
    assert found == [UUID(event["event_id"]).bytes]


def test_events_are_stored_in_the_file_that_was_put_in_its_place(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    with client_of(settings) as client:
        allow(client)
        client.post(PROPOSED, json=proposed())
        back_up(engine, tmp_path / "copy.db")
        shutil.move(tmp_path / "copy.db", move_away(engine))
        after = client.post(PROPOSED, json=proposed()).status_code

    with reading(engine) as connection:
        count = connection.execute(select(func.count()).select_from(staged)).scalar_one()
    assert (after, count) == (200, 2)
