"""Runs that were asked for: how they end, and that they end once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from schemas.clock import micros, moment
from tests.histories import NOW
from warehouse import runs
from warehouse.runs import Run

if TYPE_CHECKING:
    from sqlalchemy import Engine

ASKED = moment(NOW)
ENDED = ASKED + timedelta(minutes=1)


def test_a_run_that_has_ended_keeps_its_end(engine: Engine) -> None:
    run = runs.request(engine, "purge_expired", ASKED)
    runs.start(engine, run)
    runs.finish(engine, run, runs.COMPLETED, ENDED, "3 rows")

    runs.finish(engine, run, runs.FAILED, ENDED + timedelta(minutes=1), "killed")
    runs.start(engine, run)

    assert runs.read(engine, run) == Run(
        run, "purge_expired", runs.COMPLETED, micros(ASKED), micros(ENDED), "3 rows"
    )


def test_a_run_that_is_asked_for_again_begins_anew(engine: Engine) -> None:
    run = runs.request(engine, "erase_subject", ASKED, "a-request")
    runs.finish(engine, run, runs.FAILED, ENDED, "killed")

    assert runs.request(engine, "erase_subject", ENDED, run) == run

    assert runs.read(engine, run) == Run(
        run, "erase_subject", runs.REQUESTED, micros(ENDED), None, None
    )
    assert runs.read(engine, "another") is None


def test_a_run_that_failed_in_one_process_and_completed_in_another_completed(
    engine: Engine,
) -> None:
    run = runs.request(engine, "erase_subject", ASKED, "a-request")
    runs.finish(engine, run, runs.FAILED, ENDED, "NotReady")

    runs.finish(engine, run, runs.COMPLETED, ENDED, "done")

    assert runs.read(engine, run) == Run(
        run, "erase_subject", runs.COMPLETED, micros(ASKED), micros(ENDED), "done"
    )
