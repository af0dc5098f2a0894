"""An erasure from the door to its proof: killed anywhere it completes, and the search finds."""

from __future__ import annotations

import base64
import gzip
import signal
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from ingest.proving import Prover
from privacy.traces import looker, of_bytes, of_identifier, of_number
from schemas.errors import NotReady
from schemas.tables import erasures, subjects
from tests.engines import on_postgresql, on_sqlite
from tests.erasing import (
    LEAVING,
    STAYING,
    a_client_of,
    ask,
    die,
    in_a_child,
    known_as,
    let_people_in,
    run,
)
from tests.population import RUN
from warehouse import erasure, erasure_requests, marks, proof, residue, tombstones
from warehouse.audit import stored_event_ids
from warehouse.consents import NoSuchPerson
from warehouse.engine import is_postgres, reading, writing
from warehouse.erasure_requests import begin_for
from warehouse.ledgers import verify_ledgers
from warehouse.persons import OverMatch
from warehouse.recount import reconcile
from warehouse.stores import sweep
from warehouse.witness import TOMBSTONE, Witness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.in_process import Client


@pytest.fixture
def client(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    with a_client_of(settings, tmp_path, monkeypatch) as called:
        yield called


@pytest.fixture
def known(client: Client, engine: Engine) -> Client:
    let_people_in(client, engine, LEAVING, STAYING)
    return client


WITHIN: dict[str, tuple[Any, str]] = {
    "the case file is written and the tombstone is not": (Witness, "append"),
    "the tombstone is written and nothing is deleted": (marks, "follow"),
    "everything is deleted and not committed": (erasure, "_set"),
    "the report is signed and not stored": (proof.erasure, "add_to_report"),
    "the request is closed and its case file is not": (erasure_requests, "close_case"),
}


def test_killed_behind_or_within_any_step_it_completes_when_run_again(
    known: Client, engine: Engine, settings: Settings
) -> None:
    request = ask(engine, settings)
    engine.dispose()
    for step in range(6):
        assert in_a_child(lambda step=step: run(settings, request, step)) == signal.SIGKILL
    run(settings, request)

    done = erasure.read_erasure(engine, request)

    assert_proven(engine, settings, done)


def test_in_a_database_too_large_to_compact_it_completes_as_well(
    known: Client, engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residue, "COMPACTED_BYTES", 0)
    request = ask(engine, settings)
    run(settings, request)

    assert_proven(engine, settings, erasure.read_erasure(engine, request))


@on_sqlite  # PostgreSQL's files are its own
@pytest.mark.parametrize("stopped", ["deleted", "forgotten"])
def test_while_bytes_are_left_in_the_database_it_is_not_done_and_goes_on_when_run_again(
    stopped: str,
    known: Client,
    engine: Engine,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = ask(engine, settings)
    with monkeypatch.context() as patched:
        # What is deleted stays in the log, whatever is said about it.
        patched.setattr(residue, "forget_bytes", lambda _: stopped == "forgotten")
        with pytest.raises(NotReady, match="deleted bytes are left"):
            run(settings, request)

    left = erasure.read_erasure(engine, request)
    assert (left.state, "signed" in left.report) == (stopped, False)
    run(settings, request)
    assert_proven(engine, settings, erasure.read_erasure(engine, request))


@pytest.mark.parametrize("moment", WITHIN)
def test_killed_within_a_step_it_completes_when_run_again(
    moment: str, known: Client, engine: Engine, settings: Settings
) -> None:
    request = ask(engine, settings)
    engine.dispose()
    module, name = WITHIN[moment]

    def killed() -> None:
        setattr(module, name, die)
        if module is marks:
            erasure.follow = die
        run(settings, request)

    assert in_a_child(killed) == signal.SIGKILL
    run(settings, request)

    assert_proven(engine, settings, erasure.read_erasure(engine, request))


def test_asked_again_after_a_stop_at_the_tombstone_it_is_taken_up_and_says_so(
    known: Client, engine: Engine, settings: Settings
) -> None:
    request = ask(engine, settings)
    engine.dispose()
    assert in_a_child(lambda: run(settings, request, kill_after=0)) == signal.SIGKILL
    tombstones.catch_up(engine, settings.keys)

    assert ask(engine, settings) == request
    with pytest.raises(NoSuchPerson):
        ask(engine, settings, "candidate-who-never-answered")
    run(settings, request)

    done = erasure.read_erasure(engine, request)
    report = done.report
    assert done.state == "done"
    assert report["rows"]["before"]["events"] == 2
    assert {store["places_before"] for store in report["stores"]} == {None}
    assert report["places_left"] == 0
    assert report["identifier"] is None
    assert {proof.NO_IDENTIFIER, proof.NOT_BEFORE} <= set(report["limits"])
    swept = sweep(engine, settings, looker(of_identifier(LEAVING)))
    searched = proof.add_identifier(engine, settings.keys, request, swept, RUN).report
    assert searched["identifier"]["places_left"] == 0
    assert proof.NO_IDENTIFIER not in searched["limits"]
    assert proof.NOT_BEFORE in searched["limits"]
    with pytest.raises(NoSuchPerson):
        ask(engine, settings)


def assert_proven(engine: Engine, settings: Settings, done: erasure.Erasure) -> None:
    report = done.report
    assert done.state == "done"
    assert report["rows"]["after"] == dict.fromkeys(report["rows"]["before"], 0)
    assert report["rows"]["before"]["events"] == 2
    assert report["rows"]["before"]["staged"] == 2
    assert "funnel" in report["metrics"]
    assert report["places_left"] == 0
    database = report["stores"][0]
    assert (database["store"], database["places_after"]) == ("database", 0)
    assert database["places_before"] > 0
    assert proof.NOT_BEFORE not in report["limits"]
    assert database["bytes"] > 0
    assert verify_ledgers(engine, settings.keys).reports == 1
    assert reconcile(engine, 0).matches == 1
    witness = Witness(settings.keys)
    assert [entry.body["request"] for entry in witness.verify() if entry.kind == TOMBSTONE] == [
        done.request
    ]
    assert not list((settings.keys / "erasures").iterdir())
    with reading(engine) as connection:
        pseudonyms = connection.execute(select(subjects.c.pseudonym)).scalars().all()
    assert pseudonyms == known_as(settings, STAYING)


def test_what_was_planted_is_found_by_store_and_writing(
    known: Client, engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    request = ask(engine, settings)
    (pseudonym,) = known_as(settings, LEAVING)
    with reading(engine) as connection:
        number = connection.execute(
            select(subjects.c.subject).where(subjects.c.pseudonym == pseudonym)
        ).scalar_one()
    planted = {
        "mlruns/1/artifacts/model.json": b'{"x": "%s"}' % pseudonym.hex().encode(),
        "data/prefect/prefect.db": b"\0\1" + base64.b64encode(b"x" + pseudonym) + b"\0",
        "data/logs/2026.log.gz": gzip.compress(b"subject=%d " % number * 20),
        "data/spool/events.db-wal": number.to_bytes(8, "big"),
        "gx/results.json": quote(pseudonym).encode(),
        "data/metrics/dump.bin": number.to_bytes(8, "little"),
        "tmp/left.tmp": pseudonym,
    }
    for name, content in planted.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)

    run(settings, request)

    report = erasure.read_erasure(engine, request).report
    found = {store["store"]: store["places_after"] > 0 for store in report["stores"]}
    assert found == {name: name != "database" for name in found}
    assert len(found) == 8
    assert sorted(name for store in report["stores"] for name in store["where"]) == sorted(
        name.rpartition("/")[2] for name in planted
    )
    assert str(number) not in str(report)
    assert pseudonym.hex() not in str(report)


@on_postgresql  # SQLite's planner keeps no values
@pytest.mark.parametrize("alone", [False, True])
def test_the_planner_of_postgresql_forgets_the_person(
    known: Client, engine: Engine, settings: Settings, *, alone: bool
) -> None:
    if alone:  # tables that become empty gather no statistics that would replace the old ones
        run(settings, ask(engine, settings, STAYING))
    with writing(engine) as connection:
        connection.execute(text("ANALYZE"))
    (pseudonym,) = known_as(settings, LEAVING)
    with reading(engine) as connection:
        number = connection.execute(
            select(subjects.c.subject).where(subjects.c.pseudonym == pseudonym)
        ).scalar_one()
    needles = [*of_number("subject", number), *of_bytes("pseudonym", pseudonym)]
    before = sweep(engine, settings, looker(needles))[0]
    assert "pg_stats" in before.where
    assert sampled(engine, number, pseudonym) > 2

    request = ask(engine, settings)
    run(settings, request)

    assert sampled(engine, number, pseudonym) == 0
    report = erasure.read_erasure(engine, request).report
    assert report["stores"][0]["places_after"] == 0


def sampled(engine: Engine, number: int, pseudonym: bytes) -> int:
    """Count the columns of which PostgreSQL's planner keeps a value of the person's."""
    with reading(engine) as connection:
        told = connection.execute(
            text("SELECT concat(most_common_vals, histogram_bounds) FROM pg_stats")
        ).scalars()
        return sum(str(number) in one or pseudonym.hex() in one for one in told)


def test_the_identifier_is_searched_for_by_whoever_was_asked(
    known: Client, engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    leak = tmp_path / "data" / "logs" / "access.log"
    leak.parent.mkdir(parents=True, exist_ok=True)
    leak.write_text(f"GET /api/tracking/consent/{quote(LEAVING)}")
    request = ask(engine, settings)
    run(settings, request)

    waiting = Prover(known.app.service).start(request, LEAVING)
    assert waiting is not None
    waiting.join(60)

    report = erasure.read_erasure(engine, request).report
    assert report["identifier"]["places_left"] == 1
    assert [store["store"] for store in report["identifier"]["stores"]] == ["log files"]
    assert "Zo" not in str(report)
    assert verify_ledgers(engine, settings.keys).reports == 1


def test_erasure_that_is_under_way_keeps_no_other_from_its_search(
    known: Client, engine: Engine, settings: Settings
) -> None:
    under_way, request = ask(engine, settings, STAYING), ask(engine, settings)
    run(settings, request)
    prover = Prover(known.app.service)

    for number, identifier in ((under_way, STAYING), ("unknown", "nobody"), (request, LEAVING)):
        prover.start(number, identifier)

    for _ in range(600):
        if erasure.read_erasure(engine, request).report["identifier"] is not None:
            break
        time.sleep(0.1)
    assert erasure.read_erasure(engine, request).report["identifier"]["places_left"] == 0
    assert erasure.read_erasure(engine, under_way).state == "requested"


def test_no_store_holds_the_identifier_that_went_through_the_door(
    known: Client, engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    assert known.post("/api/tracking/consent", json={"user_id": LEAVING, "x": 1}).status_code == 422

    for name in (LEAVING, STAYING):
        swept = sweep(engine, settings, looker(of_identifier(name)))
        assert sum(one.bytes for one in swept) > 1_000
        assert [one for one in swept if one.found] == []


def test_an_erasure_that_would_touch_two_subjects_is_refused(
    known: Client, engine: Engine, settings: Settings
) -> None:
    both = [*known_as(settings, LEAVING), *known_as(settings, STAYING)]

    with pytest.raises(OverMatch, match="2 subjects"), writing(engine) as connection:
        begin_for(connection, settings.keys, both, RUN)

    with reading(engine) as connection:
        assert connection.execute(select(erasures)).all() == []
        assert not any(connection.execute(select(subjects.c.erasing)).scalars())


def test_a_late_event_of_an_erased_person_is_refused_though_they_consented_again(
    known: Client, engine: Engine, settings: Settings
) -> None:
    body = {
        "user_id": LEAVING,
        "match_id": "m-1",
        "occurred_at": "2026-09-01T10:00:00+00:00",
        "decision": True,
        "decision_time_seconds": 1,
    }
    late = "/api/tracking/event/match-decision"
    untimed = {**body, "occurred_at": None, "match_id": "m-9", "event_id": str(uuid4())}
    assert known.post(late, json=untimed).status_code == 200
    request = ask(engine, settings)
    run(settings, request)
    # What a server holds of consent may be half a second old; here no time has passed.
    known.app.service.watch._poll()
    again = {"user_id": LEAVING, "analytics": True}
    assert known.post(late, json=body).status_code == 403
    assert known.post("/api/tracking/consent", json=again).status_code == 200
    known.app.service.watch._poll()

    refused = known.post(late, json=body)
    # Its receipt went with the person: nobody knows that it was stored before.
    forgotten = UUID(untimed["event_id"]) not in stored_event_ids(engine)
    taken = known.post(late, json=untimed)

    assert (refused.status_code, taken.status_code) == (403, 200)
    assert forgotten
    assert UUID(untimed["event_id"]) in stored_event_ids(engine)
    if not is_postgres(engine):
        assert known.post("/api/tracking/events", json=[body]).json()["stored"] == 0


def test_who_answers_the_notice_again_before_the_search_keeps_no_erasure_open(
    known: Client, engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ask(engine, settings)
    delete_subject = erasure.delete_subject

    def come_back(*arguments: Any, **more: Any) -> Any:
        done = delete_subject(*arguments, **more)
        again = {"user_id": LEAVING, "analytics": True}
        assert known.post("/api/tracking/consent", json=again).status_code == 200
        return done

    monkeypatch.setattr(erasure, "delete_subject", come_back)
    run(settings, request)

    done = erasure.read_erasure(engine, request)
    assert (done.state, done.report["places_left"]) == ("done", 0)
    assert done.report["searched_for"] == {"pseudonyms": 0, "subject number": 1}
    assert proof.AGAIN in done.report["limits"]
    assert verify_ledgers(engine, settings.keys).reports == 1
    with reading(engine) as connection:
        held = connection.execute(select(subjects.c.pseudonym)).scalars().all()
    assert sorted(held) == sorted([*known_as(settings, LEAVING), *known_as(settings, STAYING)])
