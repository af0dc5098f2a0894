"""Sums and model after an erasure are, bit for bit, those of a history without the person."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from matching.drift import drift
from matching.model import first_champion
from matching.training import Retraining, retrain
from matching.watching import split
from schemas.clock import day_number
from schemas.events import EventKind
from tasks.drift import measured
from tests.histories import tables
from tests.population import RUN, answer, arrive, days_before, event, process
from warehouse import drift_days
from warehouse.engine import connect, create_tables
from warehouse.erasure import delete_subject
from warehouse.erasure_requests import begin
from warehouse.leases import lease
from warehouse.training import read_training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

PURPOSES = ("analytics", "preferences", "improvement")
SIDE, ROUNDS = 7, 5
LEAVING = "0-3"
"""A person in the middle: proposals to others come before and after theirs."""


@pytest.fixture
def other_engine(tmp_path: Path) -> Iterator[Engine]:
    """A database for the history in which the person never was."""
    engine = connect(SecretStr(f"sqlite:///{tmp_path / 'never.db'}"))
    create_tables(engine)
    yield engine
    engine.dispose()


def live(engine: Engine, *, without: str = "") -> dict[str, int]:
    """Let people of two sides meet and decide, all but one; return their subjects by name."""
    names = [f"{side}-{one}" for side in (0, 1) for one in range(SIDE)]
    people = {name: answer(engine, name, *PURPOSES) for name in names if name != without}
    rows = [row for row in _happened(people) if row["subject"]]
    for start in range(0, len(rows), 150):
        arrive(engine, rows[start : start + 150])
        process(engine)
    return people


def _happened(people: dict[str, int]) -> Iterator[dict[str, Any]]:
    draw = random.Random(11)
    for turn in range(ROUNDS):
        for number in range(SIDE * SIDE):
            for side in (0, 1):
                mine = number // SIDE if side == 0 else number % SIDE
                wanted, near = draw.random(), draw.random()
                kind = EventKind.ACCEPTED if wanted > draw.random() else EventKind.REJECTED
                ids = draw.randbytes(16), draw.randbytes(16)
                at = days_before(ROUNDS - turn)
                who = people.get(f"{side}-{mine}", 0), 1_000 * turn + number
                figures = {
                    "match_score": round((wanted + near) / 2, 3),
                    "match_parameters": {"side": float(side)},
                    "constraint_satisfaction": {"wanted": wanted, "near": near},
                }
                yield event(
                    EventKind.PROPOSED, *who, event_id=ids[0], occurred_at=at, figures=figures
                )
                yield event(kind, *who, event_id=ids[1], occurred_at=at + 1)


def learn(engine: Engine) -> tuple[str, Retraining]:
    """Read the training set and retrain; return what identifies the rows, and what was found."""
    read = read_training(engine, since_day=0, as_of=RUN)
    return read.digest, retrain(read.frame, first_champion(), seed=3)


def test_sums_and_model_are_those_of_a_history_in_which_the_person_never_was(
    engine: Engine, other_engine: Engine
) -> None:
    people = live(engine)
    live(other_engine, without=LEAVING)
    rows_before, before = learn(engine)
    sums_before = tables(engine)["sums"]

    request = begin(engine, people[LEAVING], RUN)
    with lease(engine, "erase_subject", 60.0) as held:
        delete_subject(engine, request, held)

    assert tables(engine)["sums"] == tables(other_engine)["sums"] != sums_before
    rows_left, left = learn(engine)
    rows_never, never = learn(other_engine)
    assert rows_left == rows_never != rows_before
    assert left.model.digest != before.model.digest
    assert left.model.to_json() == never.model.to_json()
    assert (left.training_rows, left.metrics) == (never.training_rows, never.metrics)
    assert left.verdict == never.verdict


def watch(engine: Engine) -> None:
    rows = read_training(engine, since_day=0, as_of=RUN).frame
    champion = first_champion()
    watched = split(rows, champion, today=RUN.date() + timedelta(days=1), smallest=2)
    found = drift(watched.reference, watched.current, champion)
    with lease(engine, "watch_drift", 60.0) as held:
        since = day_number(RUN) - 10
        drift_days.keep(engine, held, measured(found), "1", since_day=since, at=RUN)


def compared(engine: Engine) -> dict[str, Any]:
    features: dict[str, Any] = drift_days.drift(engine, 700, RUN, published=False)["features"]
    return features


def put(engine: Engine, back: int, version: str) -> None:
    one = drift_days.Measured(day_number(RUN) - back, "score", "calibration", 40, 0.1, 0.2)
    with lease(engine, "watch_drift", 60.0) as held:
        drift_days.keep(engine, held, [one], version, since_day=one.day, at=RUN)


def erase(engine: Engine, subject: int) -> None:
    request = begin(engine, subject, RUN)
    with lease(engine, "erase_subject", 60.0) as held:
        delete_subject(engine, request, held)


def withdraw(engine: Engine, subject: int) -> None:
    assert subject
    answer(engine, LEAVING, "analytics", "preferences")


@pytest.mark.parametrize("leave", [erase, withdraw])
def test_drift_is_that_of_a_history_in_which_the_person_never_was(
    engine: Engine, other_engine: Engine, leave: Callable[[Engine, int], None]
) -> None:
    people = live(engine)
    live(other_engine, without=LEAVING)
    for one in (engine, other_engine):
        put(one, 400, "0")
        watch(one)
    with_them, never = compared(engine), compared(other_engine)
    assert with_them != never

    leave(engine, people[LEAVING])

    left = compared(engine)["score"]["calibration"]
    assert [day["model_version"] for day in left] == ["0"]
    watch(engine)
    assert compared(engine) == never
