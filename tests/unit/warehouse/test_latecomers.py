"""Whose proposal is stored behind a version that read past it does not look like one unasked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from schemas.events import EventKind
from tests.engines import on_postgresql
from tests.histories import NOW
from tests.population import RUN, answer, arrive, book, days_before, erase, event, process
from warehouse import batches, latecomers
from warehouse.engine import writing
from warehouse.erasure_requests import begin
from warehouse.leases import PROCESS_EVENTS, lease
from warehouse.lineage import standing
from warehouse.training import read_training

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from warehouse.batch_frame import Partition

READ, BOOKS, WITHDRAWAL = "the rows are read", "the books are kept", "the late one withdraws"
LATE, LAST = "the late one is stored", "another late one, stored last"


@pytest.fixture
def waiting(engine: Engine, people: dict[str, int]) -> dict[str, Partition]:
    """Two partitions in staging that come before what ``people`` did, which is stored."""
    for number, name in ((-9, LATE), (-8, LAST)):
        late = answer(engine, name, "analytics", "improvement")
        arrive(engine, [event(EventKind.PROPOSED, late, number, occurred_at=days_before(2))])
        with writing(engine) as connection:
            connection.exec_driver_sql(
                f"UPDATE staged SET seq = {number} WHERE match_key = {number}"
            )
    return dict(zip((LATE, LAST), batches.plan(engine, 1), strict=True))


def store(engine: Engine, partition: Partition) -> None:
    with lease(engine, PROCESS_EVENTS, 60.0) as held:
        batch = batches.read(engine, partition, NOW)
        assert batches.commit(engine, held, batch, {}, {}, as_of=NOW).processed == 1


ORDERS = [
    order
    for order in permutations((READ, BOOKS, LATE, WITHDRAWAL))
    if order.index(READ) < order.index(BOOKS)
]


@pytest.mark.parametrize("order", ORDERS, ids=", ".join)
def test_in_any_order_everybody_had_consented(
    engine: Engine, waiting: dict[str, Partition], order: tuple[str, ...]
) -> None:
    for step in order:
        if step == READ:
            read = read_training(engine, since_day=0, as_of=RUN)
        elif step == BOOKS:
            book(engine, "2", read)
        elif step == WITHDRAWAL:
            subject = answer(engine, LATE, "analytics")
        else:
            store(engine, waiting[step])
    store(engine, waiting[LAST])
    asked = order.index(WITHDRAWAL) > order.index(READ)
    before = standing(engine, "2")
    erase(engine, subject)
    after = standing(engine, "2")

    assert (before.all_consented, before.held) == (True, 3 + asked)
    assert (after.all_consented, after.held, after.erased) == (True, 3, int(asked))


def test_books_that_are_kept_again_cover_the_same_people(
    engine: Engine, people: dict[str, int]
) -> None:
    """The step is tried again, as after any commit without an answer."""
    also = answer(engine, "d", "analytics", "improvement")
    arrive(engine, [event(EventKind.PROPOSED, also, 9, occurred_at=days_before(3))])
    process(engine)
    begin(engine, people["b"], RUN)
    read = read_training(engine, since_day=0, as_of=RUN)
    erase(engine, people["a"])

    found = [(book(engine, "2", read), standing(engine, "2")) for _ in range(2)]

    assert found[0] == found[1]
    assert (found[0][0], found[0][1].held, found[0][1].all_consented) == (1, 2, True)


@on_postgresql  # SQLite has one writer at a time
def test_a_partition_that_is_being_stored_is_waited_for_by_who_keeps_the_books(
    engine: Engine, waiting: dict[str, Partition]
) -> None:
    read = read_training(engine, since_day=0, as_of=RUN)
    batch = batches.read(engine, waiting[LATE], NOW)
    with ThreadPoolExecutor(1) as pool:
        with writing(engine) as storing:
            assert latecomers.expect(storing, batch.seq) == {}
            booking = pool.submit(book, engine, "2", read)
            assert wait([booking], 0.5).not_done
        assert booking.result() == 0
