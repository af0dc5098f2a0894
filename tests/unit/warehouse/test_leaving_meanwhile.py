"""Who leaves while a version is learned, booked, published or answered for is not passed over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from schemas.tables import runs, subjects
from tests.engines import on_postgresql
from tests.population import RUN, answer, book, erase, learn
from warehouse import drift_days, shadow_prices
from warehouse.engine import reading, writing
from warehouse.erasure import delete_subject
from warehouse.erasure_requests import begin
from warehouse.leases import lease
from warehouse.lineage import (
    RETRAIN,
    WITHDRAWN,
    mark_withdrawn,
    marked,
    owed_since,
    standing,
    superseded,
)
from warehouse.runs import queue
from warehouse.training import (
    answer_requests,
    publish_weights,
    read_training,
)
from warehouse.weights import aliases, published

if TYPE_CHECKING:
    from sqlalchemy import Engine


def marked_in(engine: Engine) -> set[str]:
    with reading(engine) as connection:
        return marked(connection)


@pytest.mark.parametrize("way", ["withdraws", "asks to be erased", "is erased"])
def test_who_leaves_while_a_version_is_being_learned_is_found_when_its_books_are_kept(
    engine: Engine, people: dict[str, int], way: str
) -> None:
    read = read_training(engine, since_day=0, as_of=RUN)
    if way == "withdraws":
        answer(engine, "a", "analytics")
    elif way == "is erased":
        erase(engine, people["a"])
    else:
        request = begin(engine, people["a"], RUN)

    assert book(engine, "2", read) == 1
    if way == "asks to be erased":
        with lease(engine, "erase_subject", 60.0) as held:
            assert delete_subject(engine, request, held).models == ["2"]

    found = standing(engine, "2")
    gone = int(way != "withdraws")
    assert marked_in(engine) == {"2"}
    with reading(engine) as connection:
        assert superseded(connection, in_use=["1"], before=0) == ["2"]
    assert (found.withdrawn, found.erased, found.held) == (1 - gone, gone, 2 - gone)
    assert found.all_consented is True
    with reading(engine) as connection:
        assert connection.execute(select(runs.c.flow, runs.c.state)).first() == (
            "retrain_model",
            "queued",
        )


@on_postgresql  # SQLite has one writer at a time
def test_somebody_who_leaves_is_waited_for_by_who_keeps_the_books(
    engine: Engine, people: dict[str, int]
) -> None:
    read = read_training(engine, since_day=0, as_of=RUN)
    with ThreadPoolExecutor(1) as pool:
        with writing(engine) as leaving:
            mark_withdrawn(leaving, people["a"], RUN)
            booking = pool.submit(book, engine, "2", read)
            assert wait([booking], 0.5).not_done
            leaving.execute(
                update(subjects).where(subjects.c.subject == people["a"]).values(improvement=False)
            )
        assert booking.result() == 1


@pytest.mark.parametrize("way", ["withdraws", "is erased"])
def test_a_version_that_somebody_leaves_behind_its_books_does_not_come_into_use(
    engine: Engine, people: dict[str, int], way: str
) -> None:
    publish_weights(engine, "1", "{}", at=RUN)
    learn(engine, "2")
    assert aliases(engine) == {"champion": "1"}  # nor is it a challenger, which the gate refuses
    if way == "withdraws":
        answer(engine, "a", "analytics")
    else:
        erase(engine, people["a"])

    assert not publish_weights(engine, "2", "{}", at=RUN)

    assert aliases(engine) == {"champion": "1"}


@on_postgresql  # SQLite has one writer at a time
def test_somebody_who_leaves_is_waited_for_by_who_publishes_weights_and_prices(
    engine: Engine, people: dict[str, int]
) -> None:
    publish_weights(engine, "1", "{}", at=RUN)
    learn(engine, "2")
    priced = [shadow_prices.Priced("far", 0.5, 9, 3, 2, 0.1, None, None)]
    with ThreadPoolExecutor(2) as pool:
        with writing(engine) as leaving:
            mark_withdrawn(leaving, people["a"], RUN)
            tries = [
                pool.submit(publish_weights, engine, "2", "{}", at=RUN),
                pool.submit(
                    shadow_prices.keep, engine, priced, "1", RUN, people=set(people.values())
                ),
            ]
            assert wait(tries, 0.5).not_done == set(tries)
            leaving.execute(
                update(subjects).where(subjects.c.subject == people["a"]).values(improvement=False)
            )
        assert [one.result() for one in tries] == [False, None]
    with reading(engine) as connection:
        assert published(connection) == ["1"]
        assert shadow_prices.read(connection, published=False) == {}


@on_postgresql  # SQLite has one writer at a time
def test_somebody_who_leaves_is_waited_for_by_who_answers_requests(
    engine: Engine, people: dict[str, int]
) -> None:
    """They find their request made already, by somebody who is answered here."""
    learn(engine, "2")
    publish_weights(engine, "2", "{}", at=RUN)
    queue(engine, RETRAIN, RUN - timedelta(hours=1), WITHDRAWN)
    with ThreadPoolExecutor(1) as pool:
        with writing(engine) as leaving:
            mark_withdrawn(leaving, people["a"], RUN)
            answering = pool.submit(answer_requests, engine, asked_until=RUN, now=RUN)
            assert wait([answering], 0.5).not_done
        assert answering.result() == 1

    assert owed_since(engine) is not None


@on_postgresql  # SQLite has one writer at a time
def test_somebody_who_leaves_is_waited_for_by_who_keeps_comparisons(
    engine: Engine, people: dict[str, int]
) -> None:
    compared = [drift_days.Measured(1, "score", "stability", 9, 0.1, 0.2)]
    whose = {"since_day": 0, "at": RUN, "people": set(people.values())}
    with lease(engine, "watch_drift", 60.0) as held, ThreadPoolExecutor(1) as pool:
        with writing(engine) as leaving:
            mark_withdrawn(leaving, people["a"], RUN)
            keeping = pool.submit(drift_days.keep, engine, held, compared, "1", **whose)
            assert wait([keeping], 0.5).not_done
            leaving.execute(
                update(subjects).where(subjects.c.subject == people["a"]).values(improvement=False)
            )
        assert not keeping.result()


@pytest.mark.parametrize("leaves", [True, False])
def test_who_leaves_the_version_in_use_while_a_retrain_answers_others_is_owed_one_of_their_own(
    engine: Engine, people: dict[str, int], *, leaves: bool
) -> None:
    learn(engine, "2")
    publish_weights(engine, "2", "{}", at=RUN)
    queue(engine, RETRAIN, RUN - timedelta(hours=1), WITHDRAWN)
    if leaves:
        answer(engine, "a", "analytics")

    assert answer_requests(engine, asked_until=RUN, now=RUN + timedelta(minutes=1)) == 1

    assert (owed_since(engine) is not None) is leaves
