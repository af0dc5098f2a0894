"""Random bytes that are drawn many at a time are given once, in every process."""

from __future__ import annotations

import multiprocessing
from typing import Any

from privacy.drawing import RandomBytes


def test_nothing_is_given_twice() -> None:
    random = RandomBytes(12)
    drawn = [random.draw() for _ in range(2_000)]

    assert {len(one) for one in drawn} == {12}
    assert len(set(drawn)) == 2_000


def test_a_forked_process_draws_its_own() -> None:
    random = RandomBytes(12)
    random.draw()
    forks = multiprocessing.get_context("fork")
    told: Any = forks.SimpleQueue()
    child = forks.Process(target=lambda: told.put([random.draw() for _ in range(255)]))
    child.start()
    theirs = told.get()
    child.join()

    assert len({*theirs, *(random.draw() for _ in range(255))}) == 510
