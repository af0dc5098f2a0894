"""process_events as it is run: a real server, a real key directory, real redaction."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from prefect.client.orchestration import get_client
from sqlalchemy import select

from flows.process_events import Processed, process_events
from privacy.sealing import Sealer
from schemas.clock import MICROS_PER_DAY, micros
from schemas.errors import BatchUnusable
from schemas.events import EventKind
from schemas.tables import events, rejected, staged, subjects
from tests.histories import admit, make_row, stage, tables
from warehouse import accounts, subtraction, validations
from warehouse.engine import reading, writing
from warehouse.keyfile import day_key, days_with_keys
from warehouse.leases import PROCESS_EVENTS, lease
from warehouse.recount import reconcile

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.settings import Settings

NOW = micros(datetime.now(UTC))
TODAY = NOW // MICROS_PER_DAY
TEXT = "Vous pouvez joindre Camille Lefebvre au 06 12 34 56 78, la rencontre était très agréable."


@pytest.fixture
def found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that the flow finds by itself; partitions of a hundred."""
    monkeypatch.setenv("SMARTMATCH_DATABASE_URL", settings.url.get_secret_value())
    monkeypatch.setenv("SMARTMATCH_PARTITION_EVENTS", "100")
    return settings


def _row(kind: str, **given: Any) -> dict[str, Any]:
    return make_row(kind, **{"occurred_at": NOW - 9, "received_at": NOW - 5} | given)


def _sealed(settings: Settings, day: int, texts: list[str], **given: Any) -> dict[str, Any]:
    row = _row(EventKind.FEEDBACK, **given)
    key = day_key(settings.keys, day, make=True)
    text = Sealer(key).seal(msgspec.json.encode(texts), row["event_id"])
    return row | {"sealed": text, "sealed_day": day}


def test_events_are_counted_texts_redacted_and_keys_destroyed(
    engine: Engine, found: Settings
) -> None:
    admit(engine, range(1, 60))
    rows = [
        _row(EventKind.PROPOSED, subject=subject, match_key=subject) for subject in range(1, 60)
    ]
    rows += [
        _row(EventKind.ACCEPTED, subject=subject, match_key=subject) for subject in range(1, 60)
    ]
    rows.append(_sealed(found, TODAY - 3, [TEXT], subject=5, match_key=5))
    rows.append(_sealed(found, TODAY, ["ok"], subject=6, match_key=6))
    stage(engine, rows)

    outcome = process_events()

    assert outcome == Processed(120, 120, 0, {}, 2, 59, 1)
    assert days_with_keys(found.keys) == [TODAY]
    with reading(engine) as connection:
        texts = connection.execute(select(events.c.texts).where(events.c.subject == 5)).scalars()
        (stored,) = [text for text in texts if text]
    (one,) = msgspec.json.decode(stored)
    assert one["length"] == len(TEXT)
    assert one["language"] == "fr"
    for word in ("Camille", "Lefebvre", "06 12"):
        assert word not in stored
    assert "agréable" in stored
    assert reconcile(engine, 0).matches == 59


def test_consents_are_settled_in_pieces(
    engine: Engine, found: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(engine, range(1, 14))
    admit(engine, range(14, 19), analytics=False)
    with writing(engine) as connection:
        connection.execute(subjects.update().where(subjects.c.subject > 16).values(counted=True))
    monkeypatch.setattr(subtraction, "_CHUNK_SUBJECTS", 3)

    assert process_events().settled == 13 + 2

    with reading(engine) as connection:
        assert subtraction.unsettled(connection) == []


def test_text_that_does_not_open_is_rejected_and_its_key_kept(
    engine: Engine, found: Settings
) -> None:
    admit(engine, [1, 2])
    stolen = _sealed(found, TODAY - 3, [TEXT])
    stage(engine, [_row(EventKind.FEEDBACK) | {k: stolen[k] for k in ("sealed", "sealed_day")}])
    stage(engine, [_row(EventKind.FEEDBACK, subject=2, sealed=b"x" * 40, sealed_day=TODAY - 9)])

    outcome = process_events()

    rule = "sealed: must open with the key of its day"
    assert outcome.rejected == {rule: 2}
    with reading(engine) as connection:
        assert connection.execute(select(rejected.c.sealed)).first() is not None
    assert days_with_keys(found.keys) == [TODAY - 3]


def test_run_beside_another_leaves_the_work_to_it(engine: Engine, found: Settings) -> None:
    admit(engine, [1])
    stage(engine, [_row(EventKind.PROPOSED)])
    with lease(engine, PROCESS_EVENTS, 60):
        assert process_events() == Processed(skipped=True)
    with get_client(sync_client=True) as client:
        kept = client._client.post("/artifacts/filter", json={"sort": "CREATED_DESC"}).json()
    assert kept[0]["key"] == "skipped"
    before = tables(engine)
    assert before["staged"] == [(1,)]
    assert process_events().processed == 1
    assert process_events() == Processed(rejected={})


def test_limit_takes_the_oldest_first(engine: Engine, found: Settings) -> None:
    admit(engine, [1])
    stage(engine, [_row(EventKind.VIEWED, match_key=number) for number in range(1, 6)])
    assert process_events(limit=3).processed == 3
    with reading(engine) as connection:
        assert list(connection.execute(select(staged.c.match_key)).scalars()) == [4, 5]
        assert accounts.read(connection)[accounts.PROCESSED, ""] == 3


def test_person_sees_the_counts_by_rule_and_no_value(engine: Engine, found: Settings) -> None:
    admit(engine, [1])
    stage(engine, [_row(EventKind.FEEDBACK, figures={"rating": 314159}), _row(EventKind.VIEWED)])
    process_events()
    with get_client(sync_client=True) as client:
        response = client._client.post(
            "/artifacts/filter", json={"limit": 5, "sort": "CREATED_DESC"}
        )
        shown = response.json()
        logs = client._client.post("/logs/filter", json={"limit": 200}).json()
    text = msgspec.json.encode([shown, logs]).decode()
    assert "rating: must be at least 1 and at most 5" in text
    assert found.validation_page in text
    assert "314159" not in text


def test_validation_is_kept_by_rule_and_no_value_nor_id(engine: Engine, found: Settings) -> None:
    admit(engine, [1, 2])
    poisoned = _row(EventKind.FEEDBACK, figures={"rating": 314159})
    stolen = _sealed(found, TODAY - 3, [TEXT], subject=2)
    stage(engine, [poisoned, _row(EventKind.VIEWED), stolen | {"sealed": b"x" * 40}])

    process_events()

    kept = validations.directory(found)
    figures = validations.read(kept, 1, datetime.now(UTC), smallest=10, published=False)
    staged_found, texts_found = (
        figures["suites"][name] for name in ("staged_events", "anonymised_events")
    )
    rule = "rating: must be at least 1 and at most 5"
    assert staged_found["days"][0]["rows"] == 3
    assert staged_found["days"][0]["broken"] == {rule: 1}
    assert staged_found["rules"]["event_id: must be staged once"]["rows"] == 0
    assert texts_found["days"][0]["broken"] == {"sealed: must open with the key of its day": 1}
    written = b"".join(path.read_bytes() for path in kept.rglob("*") if path.is_file())
    for secret in (b"314159", b"Camille", poisoned["event_id"].hex().encode()):
        assert secret not in written


def test_partition_that_is_refused_as_a_whole_is_kept_and_fails_the_run(
    engine: Engine, found: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(engine, [1])
    stage(engine, [_row(EventKind.VIEWED)])

    def refuse(*_: object) -> None:
        raise BatchUnusable("staged_events", "row: must have the types of its table")

    monkeypatch.setattr("expectations.staged_events.broken_events", refuse)
    with pytest.raises(BatchUnusable):
        process_events()

    kept = validations.directory(found)
    figures = validations.read(kept, 1, datetime.now(UTC), smallest=10, published=False)
    assert figures["suites"]["staged_events"]["days"][0]["unusable"] == 1
    assert tables(engine)["staged"] == [(1,)]
