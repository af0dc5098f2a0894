"""What a killed erasure leaves beside the keys: taken up again, or closed for good."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from privacy import traces
from schemas.errors import LeaseLost
from tasks import erasure as steps
from tests.erasing import (
    LEAVING,
    NOW,
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
from warehouse import erasure_requests, proof
from warehouse.case_file import CaseFile, open_cases, read_case, write_case
from warehouse.consents import NoSuchPerson
from warehouse.engine import writing
from warehouse.erasure import read_erasure
from warehouse.erasure_requests import begin_for, close_left_cases, pending_erasures
from warehouse.leases import lease

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings


@pytest.fixture(autouse=True)
def known(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    with a_client_of(settings, tmp_path, monkeypatch) as client:
        let_people_in(client, engine, LEAVING, STAYING)
        engine.dispose()
        yield


def killed_at(module: Any, name: str, settings: Settings, request: str) -> None:
    """Run an erasure in a process that dies where it calls a function."""

    def work() -> None:
        setattr(module, name, die)
        run(settings, request, name=LEAVING)

    assert in_a_child(work) == signal.SIGKILL


def killed_before_the_commit(settings: Settings, engine: Engine) -> None:
    def work() -> None:
        with writing(engine) as connection:
            begin_for(connection, settings.keys, known_as(settings, LEAVING), RUN)
            die()

    assert in_a_child(work) == signal.SIGKILL
    assert len(open_cases(settings.keys)) == 1


def test_case_of_a_request_that_was_never_committed_is_closed(
    settings: Settings, engine: Engine
) -> None:
    killed_before_the_commit(settings, engine)

    assert close_left_cases(engine, settings.keys) == 1

    assert list((settings.keys / "erasures").iterdir()) == []


def test_case_of_a_request_that_was_never_committed_goes_with_the_next_erasure(
    settings: Settings, engine: Engine
) -> None:
    killed_before_the_commit(settings, engine)

    run(settings, ask(engine, settings))

    assert list((settings.keys / "erasures").iterdir()) == []


def test_case_of_a_request_that_is_about_to_be_committed_stays(
    settings: Settings, engine: Engine
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with writing(engine) as connection:
            request = begin_for(connection, settings.keys, known_as(settings, LEAVING), RUN)
            closing = pool.submit(close_left_cases, engine, settings.keys)
            # It waits for this transaction: what it finds afterwards is committed.
            with pytest.raises(TimeoutError):
                closing.result(0.3)
        assert closing.result(30) == 0

    assert open_cases(settings.keys) == [request]
    assert close_left_cases(engine, settings.keys) == 0


def test_case_of_a_request_that_is_done_is_closed(settings: Settings, engine: Engine) -> None:
    request = ask(engine, settings)
    killed_at(erasure_requests, "close_case", settings, request)
    assert read_erasure(engine, request).state == "done"
    assert pending_erasures(engine) == []
    assert open_cases(settings.keys) == [request]

    assert close_left_cases(engine, settings.keys) == 1

    assert list((settings.keys / "erasures").iterdir()) == []


def test_asked_again_after_a_stop_at_the_last_step_it_is_the_same_request(
    settings: Settings, engine: Engine
) -> None:
    request = ask(engine, settings)
    killed_at(erasure_requests, "close_case", settings, request)

    assert ask(engine, settings) == request
    run(settings, request, name=LEAVING)

    assert list((settings.keys / "erasures").iterdir()) == []
    with pytest.raises(NoSuchPerson):
        ask(engine, settings)


@pytest.mark.parametrize(("module", "name"), [(traces, "of_identifier"), (proof, "add_identifier")])
def test_asked_again_after_a_stop_in_the_search_for_the_identifier_it_searches_again(
    module: Any, name: str, settings: Settings, engine: Engine
) -> None:
    request = ask(engine, settings)
    killed_at(module, name, settings, request)
    assert read_erasure(engine, request).report["identifier"] is None

    assert ask(engine, settings) == request
    run(settings, request, name=LEAVING)

    done = read_erasure(engine, request)
    assert done.state == "done"
    assert done.report["identifier"]["places_left"] == 0
    assert done.report["identifier"]["bytes"] > 1_000
    assert proof.NO_IDENTIFIER not in done.report["limits"]


def test_the_identifier_is_forgotten_with_the_run(settings: Settings, engine: Engine) -> None:
    first = ask(engine, settings)
    run(settings, first, name=LEAVING)
    second = ask(engine, settings, STAYING)
    run(settings, second)

    assert read_erasure(engine, first).report["identifier"]["places_left"] == 0
    assert read_erasure(engine, second).report["identifier"] is None


def test_what_a_kill_left_of_a_case_is_closed_with_it(settings: Settings, engine: Engine) -> None:
    write_case(settings.keys, "4b1f", CaseFile(7, [b"pseudonym"], b"ledger"))
    case = settings.keys / "erasures" / "4b1f.json"
    case.rename(case.with_name("4b1f.json.closed"))
    case.with_name(".7c.json.0123abcd").write_bytes(b"pseudonym")

    assert close_left_cases(engine, settings.keys) == 2

    assert list((settings.keys / "erasures").iterdir()) == []


def test_nobody_is_looked_for_in_what_a_kill_left_of_a_case_that_was_being_closed(
    settings: Settings, engine: Engine
) -> None:
    request = ask(engine, settings)
    run(settings, request)
    (settings.keys / "erasures" / f"{request}.json.closed").write_bytes(b"pseudonym")

    with pytest.raises(NoSuchPerson):
        ask(engine, settings, "nobody")


def test_a_case_that_cannot_be_closed_keeps_no_other_open_and_no_erasure_from_its_end(
    settings: Settings, engine: Engine
) -> None:
    obstacle = settings.keys / "erasures" / "0.json"
    obstacle.mkdir(parents=True)  # closing it raises, as on a disk that takes no write
    for name in ("00", "4b1f"):
        write_case(settings.keys, name, CaseFile(7, [b"pseudonym"], b"ledger"))

    with pytest.raises(OSError, match="directory"):
        close_left_cases(engine, settings.keys)
    assert open_cases(settings.keys) == ["0"]
    request = ask(engine, settings)
    run(settings, request)

    assert read_erasure(engine, request).state == "done"
    assert open_cases(settings.keys) == ["0"]


def test_an_erasure_whose_own_case_cannot_be_closed_says_so(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("read-only file system")

    request = ask(engine, settings)
    with monkeypatch.context() as patch:
        patch.setattr(erasure_requests, "close_case", refuse)
        with pytest.raises(OSError, match="read-only"):
            run(settings, request)

    assert read_erasure(engine, request).state == "done"
    assert open_cases(settings.keys) == [request]
    assert close_left_cases(engine, settings.keys) == 1


def test_a_run_whose_lease_was_taken_over_closes_no_case(
    settings: Settings, engine: Engine
) -> None:
    killed_before_the_commit(settings, engine)
    with lease(engine, "erase_subject", 60.0) as held:
        pass

    with lease(engine, "erase_subject", 60.0), pytest.raises(LeaseLost):
        close_left_cases(engine, settings.keys, held)

    assert len(open_cases(settings.keys)) == 1


def test_case_of_who_is_asked_for_again_keeps_every_name_that_they_had(
    settings: Settings, engine: Engine
) -> None:
    names = known_as(settings, LEAVING)
    requests = set()
    for known in (names, [*names, b"n" * 32], names):
        with writing(engine) as connection:
            requests.add(begin_for(connection, settings.keys, known, RUN))

    (request,) = requests
    case = read_case(settings.keys, request)
    assert case is not None
    assert case.pseudonyms == sorted({*names, b"n" * 32})


def test_who_is_asked_for_again_while_their_erasure_is_at_work_takes_nothing_from_its_case(
    settings: Settings, engine: Engine
) -> None:
    request = ask(engine, settings)
    with lease(engine, "erase_subject", 60.0) as held:
        steps.remember.fn(settings.url, settings.keys, request, NOW)
        steps.look_before.fn(request, held)
    noted = read_case(settings.keys, request)

    assert ask(engine, settings) == request

    assert noted is not None
    assert noted.found_before["database"] > 0
    assert read_case(settings.keys, request) == noted
