"""Noisy releases: a bounded part for each person, one price for a question, no overspending."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from schemas.clock import LATE_DAYS, MICROS_PER_DAY, moment
from schemas.errors import InvalidInput
from schemas.events import EventKind
from schemas.retention import Aged
from schemas.tables import private_releases, subjects
from tests.histories import NOW, TODAY, admit, make_row, process, stage
from warehouse.clock_witness import ClockJumped
from warehouse.engine import connect, reading, writing
from warehouse.releases import Budget, BudgetSpent, Question, exact, release, sensitivities
from warehouse.retention import begin_evidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr
    from sqlalchemy import Engine

ROWS = 3
QUESTION = Question(TODAY - 30, TODAY - LATE_DAYS, 100_000, ROWS)
BUDGET = Budget(1_000_000, 365)


def shift(figures: Mapping[str, int], _bounds: Mapping[str, int], epsilon: float) -> dict[str, Any]:
    """Stand in for noise where a test wants to know what was released."""
    return {name: {"value": value, "within": epsilon} for name, value in figures.items()}


def fill(engine: Engine, busy: int = 50) -> None:
    """Let ten people have a proposal each, and the last of them ``busy`` more."""
    admit(engine, range(1, 11))
    rows = []
    for number in [*range(1, 11), *[10] * busy]:
        match = len(rows) + 1
        at = {"subject": number, "match_key": match, "occurred_at": (TODAY - 9) * MICROS_PER_DAY}
        rows += [
            make_row(EventKind.PROPOSED, **at),
            make_row(EventKind.ACCEPTED, **at),
            make_row(EventKind.FEEDBACK, figures={"rating": 5}, **at),
        ]
    stage(engine, rows)
    process(engine, validate=False)


def spent(engine: Engine) -> int:
    with reading(engine) as connection:
        total = select(func.coalesce(func.sum(private_releases.c.epsilon_micro), 0))
        return int(connection.execute(total).scalar_one())


def test_one_person_changes_no_figure_by_more_than_its_sensitivity(engine: Engine) -> None:
    fill(engine)
    with reading(engine) as connection:
        present = exact(connection, QUESTION)
    with writing(engine) as connection:
        connection.execute(subjects.delete().where(subjects.c.subject == 10))
    with reading(engine) as connection:
        absent = exact(connection, QUESTION)

    changed = {name: abs(present[name] - absent[name]) for name in present}
    assert present["proposed"] == 9 + ROWS
    assert changed["accepted"] == ROWS
    assert changed["rating_above_3"] == 2 * ROWS
    assert all(changed[name] <= bound for name, bound in sensitivities(ROWS).items())


def test_who_does_not_allow_analytics_or_is_being_erased_is_not_counted(engine: Engine) -> None:
    fill(engine, busy=0)
    with writing(engine) as connection:
        for subject, column in ((1, {"analytics": False}), (2, {"erasing": True})):
            connection.execute(
                subjects.update().where(subjects.c.subject == subject).values(**column)
            )
    with reading(engine) as connection:
        assert exact(connection, QUESTION)["proposed"] == 8


def test_asked_again_the_answer_is_the_same_and_costs_nothing(engine: Engine) -> None:
    from privacy.noise import add_noise

    fill(engine)

    first = release(engine, QUESTION, BUDGET, NOW, add_noise)
    again = release(engine, QUESTION, BUDGET, NOW + 9 * MICROS_PER_DAY, add_noise)

    assert again == first
    assert spent(engine) == 100_000
    assert first["budget_left"] == pytest.approx(0.9)
    other = Question(QUESTION.since, QUESTION.until, 100_001, ROWS)
    assert release(engine, other, BUDGET, NOW, add_noise)["figures"] != first["figures"]


def test_the_budget_ends_and_comes_back_with_time(engine: Engine) -> None:
    fill(engine)
    small = Budget(250_000, 30)
    for back in (0, 1):
        release(engine, Question(TODAY - 30 - back, TODAY - 5, 100_000, ROWS), small, NOW, shift)
    third = Question(TODAY - 40, TODAY - 5, 100_000, ROWS)

    with pytest.raises(BudgetSpent, match=r"costs epsilon 0\.1, and 0\.05 is left"):
        release(engine, third, small, NOW, shift)
    assert spent(engine) == 200_000
    begin_evidence(engine, "run", [Aged("events", 0)], moment(NOW + 29 * MICROS_PER_DAY))
    assert release(engine, third, small, NOW + 30 * MICROS_PER_DAY, shift)["budget_left"] == 0.15


def test_racing_requests_spend_no_more_than_the_budget(
    engine: Engine, database_url: SecretStr
) -> None:
    fill(engine)
    questions = [Question(TODAY - 30 - n // 2, TODAY - 5, 100_000, ROWS) for n in range(24)]

    def ask(question: Question) -> Any:
        own = connect(database_url)
        try:
            return release(own, question, Budget(500_000, 365), NOW, shift)
        except BudgetSpent:
            return None
        finally:
            own.dispose()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, questions))

    assert spent(engine) == 500_000
    assert sum(answer is not None for answer in answers) == 10
    for one, other in zip(answers[::2], answers[1::2], strict=True):
        assert (one is None) == (other is None)


def test_a_clock_that_jumped_gives_no_new_budget(engine: Engine) -> None:
    fill(engine)
    release(engine, QUESTION, Budget(100_000, 365), NOW, shift)
    begin_evidence(engine, "run", [Aged("events", 0)], moment(NOW))
    later = NOW + 366 * MICROS_PER_DAY

    with pytest.raises(ClockJumped):
        release(
            engine,
            Question(TODAY - 31, TODAY - 5, 100_000, ROWS),
            Budget(100_000, 365),
            later,
            shift,
        )
    assert spent(engine) == 100_000


@pytest.mark.parametrize(("since", "until"), [(-5, -5), (-5, -6), (-5, 1 - LATE_DAYS)])
def test_a_window_that_is_empty_or_still_moves_is_refused(
    engine: Engine, since: int, until: int
) -> None:
    with pytest.raises(InvalidInput):
        release(engine, Question(TODAY + since, TODAY + until, 1, 1), BUDGET, NOW, shift)
    assert spent(engine) == 0
