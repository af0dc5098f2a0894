"""What a server holds of keys and consent: fresh, or not used at all."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from ingest.service import Service
from schemas.errors import NotReady
from schemas.tables import staged, versions
from tests.restoring import snapshot
from tests.serving import allow, client_of, proposed
from warehouse import api_keys, consents, withdrawals
from warehouse import watch as watching
from warehouse import witness as witnessed
from warehouse.api_keys import Scope
from warehouse.engine import add_to, connect, reading, writing
from warehouse.key_rotation import rotate
from warehouse.keyfile import make_ring
from warehouse.revision import HEAD
from warehouse.watch import KnownConsents, Watch
from warehouse.witness import TOMBSTONE, Witness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from schemas.settings import Settings

NOW = datetime(2026, 11, 1, tzinfo=UTC)
PROPOSED = "/api/tracking/event/match-proposed"


@pytest.fixture
def watch(settings: Settings, engine: Engine) -> Iterator[Watch]:
    make_ring(settings.keys, 0)
    watch = Watch(engine, settings.keys, staleness_seconds=0.5)
    yield watch
    watch.close()


def starve(watch: Watch) -> None:
    """Let the thread have no turn of its own any more, and what it read be too old."""
    watch._interval = 3_600.0
    time.sleep(0.5)  # the turn that it has already begun to wait for
    watch.api_keys_until = watch.consents_until = 0.0


def test_keys_that_are_too_old_are_read_before_anybody_is_refused(
    watch: Watch, engine: Engine, settings: Settings
) -> None:
    starve(watch)
    made, _ = api_keys.create(engine, settings.keys, "late", {Scope.INGEST}, NOW)

    assert watch.has_fresh_keys()
    assert watch.api_keys is not None
    assert [key.digest for key in watch.api_keys.values()]
    api_keys.revoke(engine, settings.keys, made.key_id, NOW)
    watch.api_keys_until = 0.0
    assert watch.has_fresh_keys()
    assert watch.api_keys == {}


def test_keys_that_cannot_be_read_are_not_used_and_waited_for_once(
    watch: Watch, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    starve(watch)

    def unreadable(_self: Watch) -> None:
        raise NotReady("the database did not answer")

    monkeypatch.setattr(Watch, "_poll", unreadable)
    waits: list[float] = []
    wait_for = watch._polled.wait_for
    monkeypatch.setattr(
        watch._polled, "wait_for", lambda *given: waits.append(given[1]) or wait_for(*given)
    )

    assert [watch.has_fresh_keys() for _ in range(20)] == [False] * 20
    assert len(waits) == 1
    monkeypatch.undo()
    watch._vain_until = 0.0
    assert watch.has_fresh_keys()


def test_readers_that_hold_every_connection_do_not_close_the_door(settings: Settings) -> None:
    with client_of(settings) as client, ExitStack() as held:
        service: Service = client.app.service  # type: ignore[attr-defined]
        for _ in range(100):
            try:
                service.engine.pool._timeout = 0.1  # type: ignore[attr-defined]
                held.enter_context(reading(service.engine))
            except NotReady:
                break
        service.watch.api_keys_until = 0.0

        refused = client.get("/api/metrics/funnel")
        answered = client.get("/health"), client.get("/openapi.json")

    assert refused.status_code == 503
    assert [answer.status_code for answer in answered] == [200, 200]


def test_wait_for_a_connection_is_bounded_like_that_for_a_lock(settings: Settings) -> None:
    engine = connect(settings.url, busy_timeout_ms=20)
    most: int = engine.pool.size() + engine.pool._max_overflow  # type: ignore[attr-defined]
    begun = time.monotonic()
    with ExitStack() as held:
        for _ in range(most):
            held.enter_context(reading(engine))
        with pytest.raises(NotReady, match="every connection"):
            held.enter_context(reading(engine))
    engine.dispose()

    assert time.monotonic() - begun < 20  # the default is thirty seconds for the wait alone


def test_what_was_read_before_a_change_is_not_learned_after_it() -> None:
    known = KnownConsents()
    known.forget([b"person"], seen=2)

    known.learn({b"person": 7}, seen=1)
    assert known.get(b"person") is None
    known.learn({b"person": 7}, seen=2)
    assert known.get(b"person") == 7


def test_keys_are_used_for_less_than_a_second_after_they_were_read(watch: Watch) -> None:
    watch.close()
    begun = time.monotonic()
    watch._poll()

    assert begun < watch.api_keys_until < time.monotonic() + 1


def test_a_new_key_ring_makes_everything_that_is_known_forgotten(
    watch: Watch, settings: Settings
) -> None:
    watch.close()
    watch.consents.learn({b"person": 7}, seen=0)
    rotate(settings.keys, 1)
    watch._poll()

    assert watch.consents.get(b"person") is None
    assert len(watch.ring.pseudonym_keys) == 2


def test_everybody_who_was_erased_is_known_whoever_was_erased_before(
    watch: Watch, settings: Settings
) -> None:
    watch.close()
    witness = Witness(settings.keys)
    for number, name in enumerate(("one", "other"), 1):
        witness.append(TOMBSTONE, {"pseudonyms": [name]}, number)
        watch._poll()

    assert watch.erased_at == {"one": 1, "other": 2}


def test_only_what_is_new_in_the_witness_is_read(
    watch: Watch, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.close()
    witness, read = Witness(settings.keys), list[str]()
    decode = witnessed._decode

    def note(line: bytes, number: int) -> Any:
        read.append(decode(line, number).body["pseudonyms"][0])
        return decode(line, number)

    for number, name in enumerate(("one", "other", "third"), 1):
        witness.append(TOMBSTONE, {"pseudonyms": [name]}, number)
        with monkeypatch.context() as patched:
            patched.setattr(witnessed, "_decode", note)
            watch._poll()
    (settings.keys / witnessed.FILE_NAME).unlink()
    witness.append(TOMBSTONE, {"pseudonyms": ["put back"]}, 4)
    watch._poll()

    assert read == ["one", "other", "third"]
    assert watch.erased_at == {"put back": 4}


def test_a_withdrawal_is_counted_when_what_it_made_untrue_is_forgotten(
    watch: Watch, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.close()
    with writing(engine) as connection:
        rows = [{"name": name, "value": 1} for name in (consents.CHANGES, withdrawals.COUNT)]
        connection.execute(add_to(connection, versions, ["name"]), rows)
    forget, counted = watch.consents.forget, list[int]()

    def note(*arguments: Any) -> None:
        counted.append(watch.withdrawals)
        forget(*arguments)

    monkeypatch.setattr(watch.consents, "forget", note)
    watch._poll()

    assert (counted, watch.withdrawals) == ([0], 1)


def test_a_server_under_which_an_older_database_is_put_lets_nobody_back(
    settings: Settings, engine: Engine
) -> None:
    make_ring(settings.keys, 0)
    revoked, key = api_keys.create(engine, settings.keys, "shop", {Scope.INGEST}, NOW)
    _, other = api_keys.create(engine, settings.keys, "other", {Scope.INGEST}, NOW)
    with client_of(settings) as client:
        client.headers = {"x-api-key": other}
        allow(client)
        assert client.post(PROPOSED, json=proposed()).status_code == 200
        put_back = snapshot(engine)
        client.post("/api/tracking/consent", json={"user_id": "u1"})
        api_keys.revoke(engine, settings.keys, revoked.key_id, NOW)
        watch = client.app.service.watch
        watch.close()
        watch._poll()
        put_back()

        watch._poll()
        is_open = watch.sees or time.monotonic() < watch.api_keys_until
        watch._poll()
        withdrawn = client.post(PROPOSED, json=proposed()).status_code
        watch._poll()
        unknown = client.post(PROPOSED, json=proposed(), headers={"x-api-key": key}).status_code

    assert (is_open, withdrawn, unknown) == (False, 403, 401)


def test_a_server_that_could_not_read_for_three_seconds_says_so(watch: Watch) -> None:
    watch.close()
    watch._poll()
    assert watch.sees

    watch._seen_at -= 3.1

    assert not watch.sees


@pytest.mark.parametrize("moved", ["0007", "9999"])
def test_a_server_whose_database_gets_another_schema_takes_nothing_until_it_is_its_own_again(
    settings: Settings,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    moved: str,
) -> None:
    monkeypatch.setattr(watching, "_BLIND_SECONDS", 60.0)  # it does not wait for that
    with client_of(settings) as client:
        allow(client)
        watch = client.app.service.watch
        caplog.set_level("WARNING")

        move_to(engine, moved)
        wait_until(lambda: not watch.sees)
        answers = [client.post(PROPOSED, json=proposed()).status_code, client.get("/ready")]
        # Of this server alone: one that another test left running may say something, too.
        said = [one.getMessage() for one in caplog.records if "schema" in one.getMessage()]
        move_to(engine, HEAD)
        wait_until(lambda: watch.sees)
        again = client.post(PROPOSED, json=proposed()).status_code

    assert [answers[0], answers[1].status_code, again] == [503, 503, 200]
    assert len(said) == 1
    assert f"the database has schema {moved}" in said[0]
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(staged)).scalar_one() == 1


def move_to(engine: Engine, revision: str) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)
