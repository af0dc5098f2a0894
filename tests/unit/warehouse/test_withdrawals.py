"""An event on its way when its person withdraws or is erased: nothing of it is stored."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from ingest.service import Service
from privacy.pseudonyms import subject_pseudonym
from schemas.consents import Options
from schemas.events import EventKind
from schemas.tables import events, rejected, staged, subjects
from tests.histories import NOW
from tests.population import KEY, NOTICE, RUN, answer, arrive, event, process
from tests.serving import allow, client_of, proposed
from warehouse import consents, staging
from warehouse.engine import reading, writing
from warehouse.erasure import delete_subject
from warehouse.erasure_requests import begin
from warehouse.leases import lease
from warehouse.rejections import replay_rejected
from warehouse.staging import Arrival, Outcome, Staged

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from schemas.settings import Settings

PROPOSED = "/api/tracking/event/match-proposed"


def rows_of(engine: Engine, subject: int) -> int:
    """Count what is held of a subject before and after it is processed."""
    with reading(engine) as connection:
        return sum(
            len(connection.execute(select(table.c.seq).where(table.c.subject == subject)).all())
            for table in (staged, rejected, events)
        )


def known_arrival(subject: int, name: str) -> Arrival:
    """Return an event whose subject a server knew before anybody had withdrawn."""
    row = event(EventKind.VIEWED, subject, 1)
    return Arrival(Staged(**row), bytes(16), (subject_pseudonym(KEY, name),), key_id="key")


def erase(engine: Engine, subject: int) -> None:
    request = begin(engine, subject, RUN)
    with lease(engine, "erase_subject", 60.0) as held:
        delete_subject(engine, request, held)


def withdraw(engine: Engine, _subject: int) -> None:
    answer(engine, "leaving", "improvement")


@pytest.mark.parametrize("leave", [erase, withdraw])
def test_subject_that_was_known_before_they_left_is_looked_up_again(
    engine: Engine, leave: Callable[[Engine, int], None]
) -> None:
    leaving, staying = (answer(engine, name, "analytics") for name in ("leaving", "staying"))
    arrivals = [known_arrival(leaving, "leaving"), known_arrival(staying, "staying")]

    leave(engine, leaving)

    with writing(engine) as connection:
        outcomes = staging.stage(connection, arrivals, NOW)
    assert outcomes == [Outcome.FORBIDDEN, Outcome.STORED]
    assert (rows_of(engine, leaving), rows_of(engine, staying)) == (0, 1)


def test_who_is_somebody_new_by_now_does_not_get_the_number_of_who_they_were(
    engine: Engine,
) -> None:
    before = answer(engine, "leaving", "analytics")
    arrival = known_arrival(before, "leaving")
    erase(engine, before)
    again = answer(engine, "leaving", "analytics")

    with writing(engine) as connection:
        assert staging.stage(connection, [arrival], NOW) == [Outcome.STORED]

    assert (rows_of(engine, before), rows_of(engine, again)) == (0, 1)


def in_flight(engine: Engine, store: Callable[[Any], object], subject: int) -> int:
    """Erase a subject while a transaction that stores is not committed; count what is left."""
    eraser = threading.Thread(target=erase, args=(engine, subject))
    with writing(engine) as connection:
        store(connection)
        eraser.start()
        time.sleep(0.4)  # time enough to delete everything, if nothing held it back
    eraser.join()
    return rows_of(engine, subject)


def test_erasure_waits_for_an_event_that_is_being_stored(engine: Engine) -> None:
    leaving = answer(engine, "leaving", "analytics")
    arrival = known_arrival(leaving, "leaving")

    left = in_flight(engine, lambda open_: staging.stage(open_, [arrival], NOW), leaving)

    assert left == 0


def test_erasure_waits_for_a_rejected_event_that_is_being_replayed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving = answer(engine, "leaving", "analytics")
    arrive(engine, [event("match_forgotten", leaving, 1)])
    with reading(engine) as connection:
        (seq,) = connection.execute(select(staged.c.seq)).scalars()
    process(engine, broken={"kind: must be one that events have": [seq]})
    eraser = threading.Thread(target=erase, args=(engine, leaving))
    add = staging.accounts.add

    def last_step(connection: Any, entries: Any) -> None:
        if not eraser.ident:
            eraser.start()
            time.sleep(0.4)
        add(connection, entries)

    monkeypatch.setattr(staging.accounts, "add", last_step)
    assert replay_rejected(engine) == 1
    eraser.join()

    assert rows_of(engine, leaving) == 0


@pytest.mark.parametrize("leave", ["erase", "withdraw"])
def test_server_that_has_not_heard_of_it_stores_nothing_more(
    settings: Settings, engine: Engine, leave: str
) -> None:
    with client_of(settings) as client:
        allow(client)
        service: Service = client.app.service  # type: ignore[attr-defined]
        service.watch._interval = 3_600.0
        time.sleep(0.5)  # the turn that it has already begun to wait for
        service.watch.consents_until = math.inf
        known = [client.post(PROPOSED, json=proposed()).status_code for _ in range(2)]
        with reading(engine) as connection:
            ((subject, pseudonym),) = connection.execute(
                select(subjects.c.subject, subjects.c.pseudonym)
            ).tuples()
        if leave == "erase":
            erase(engine, subject)
        else:
            with writing(engine) as connection:
                _withdraw(connection, pseudonym)
        held = rows_of(engine, subject)
        assert service.watch.consents.get(pseudonym) == subject

        late = client.post(PROPOSED, json=proposed()).status_code

    assert (known, late) == ([200, 200], 403)
    assert rows_of(engine, subject) == held


def _withdraw(connection: Any, pseudonym: bytes) -> None:
    nothing = Options(analytics=False, preferences=False, improvement=False)
    person = consents.Person("key", (pseudonym,))
    consents.record(connection, person, consents.Entry(uuid4(), nothing, NOTICE, "t", None, NOW))
