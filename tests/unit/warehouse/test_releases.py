"""Noisy releases: a bounded part for each person, one price for a question, no overspending."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from schemas.clock import LATE_DAYS, MICROS_PER_DAY, moment
from schemas.errors import InvalidInput, NotReady
from schemas.events import EventKind
from schemas.retention import Aged
from schemas.tables import private_releases, subjects
from tests.engines import hold_lock, on_sqlite
from tests.histories import NOW, TODAY, admit, make_row, process, stage
from warehouse import releases
from warehouse.clock_witness import ClockJumped
from warehouse.engine import connect, is_postgres, reading, writing
from warehouse.keyfile import make_ring
from warehouse.ledgers import verify_ledgers
from warehouse.releases import Budget, BudgetSpent, Question, exact, release, sensitivities
from warehouse.retention import begin_evidence
from warehouse.witness import FILE_NAME, RELEASE, Witness, WitnessBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pydantic import SecretStr
    from sqlalchemy import Engine

ROWS = 3
QUESTION = Question(TODAY - 30, TODAY - LATE_DAYS, 100_000, ROWS)
BUDGET = Budget(1_000_000, 365)


def shift(figures: Mapping[str, int], _bounds: Mapping[str, int], epsilon: float) -> dict[str, Any]:
    """Stand in for noise where a test wants to know what was released."""
    return {name: {"value": value, "within": epsilon} for name, value in figures.items()}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_ring(tmp_path / "keys", 1)
    return tmp_path / "keys"


def give(
    engine: Engine,
    keys: Path,
    question: Question,
    budget: Budget = BUDGET,
    *,
    now: int = NOW,
    noise: Callable[..., Any] = shift,
) -> dict[str, Any]:
    return release(engine, keys, question, budget, now=now, add_noise=noise)


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


def test_asked_again_the_answer_is_the_same_and_costs_nothing(engine: Engine, keys: Path) -> None:
    from privacy.noise import add_noise

    fill(engine)

    first = give(engine, keys, QUESTION, noise=add_noise)
    again = give(engine, keys, QUESTION, now=NOW + 9 * MICROS_PER_DAY, noise=add_noise)

    assert again == first
    assert spent(engine) == 100_000
    assert first["budget_left"] == pytest.approx(0.9)
    other = Question(QUESTION.since, QUESTION.until, 100_001, ROWS)
    assert give(engine, keys, other, noise=add_noise)["figures"] != first["figures"]


def test_the_budget_ends_and_comes_back_with_time(engine: Engine, keys: Path) -> None:
    fill(engine)
    small = Budget(250_000, 30)
    for back in (0, 1):
        give(engine, keys, Question(TODAY - 30 - back, TODAY - 5, 100_000, ROWS), small)
    third = Question(TODAY - 40, TODAY - 5, 100_000, ROWS)

    with pytest.raises(BudgetSpent, match=r"costs epsilon 0\.1, and 0\.05 is left"):
        give(engine, keys, third, small)
    assert spent(engine) == 200_000
    begin_evidence(engine, "run", [Aged("events", 0)], moment(NOW + 29 * MICROS_PER_DAY))
    assert give(engine, keys, third, small, now=NOW + 30 * MICROS_PER_DAY)["budget_left"] == 0.15


def test_racing_requests_spend_no_more_than_the_budget(
    engine: Engine, keys: Path, database_url: SecretStr
) -> None:
    fill(engine)
    questions = [Question(TODAY - 30 - n // 2, TODAY - 5, 100_000, ROWS) for n in range(24)]

    def ask(question: Question) -> Any:
        own = connect(database_url)
        try:
            return give(own, keys, question, Budget(500_000, 365))
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


def test_a_clock_that_jumped_gives_no_new_budget(engine: Engine, keys: Path) -> None:
    fill(engine)
    give(engine, keys, QUESTION, Budget(100_000, 365))
    begin_evidence(engine, "run", [Aged("events", 0)], moment(NOW))
    later = NOW + 366 * MICROS_PER_DAY

    with pytest.raises(ClockJumped):
        give(
            engine,
            keys,
            Question(TODAY - 31, TODAY - 5, 100_000, ROWS),
            Budget(100_000, 365),
            now=later,
        )
    assert spent(engine) == 100_000


@pytest.mark.parametrize(("since", "until"), [(-5, -5), (-5, -6), (-5, 1 - LATE_DAYS)])
def test_a_window_that_is_empty_or_still_moves_is_refused(
    engine: Engine, keys: Path, since: int, until: int
) -> None:
    with pytest.raises(InvalidInput):
        give(engine, keys, Question(TODAY + since, TODAY + until, 1, 1))
    assert spent(engine) == 0


def rows(engine: Engine) -> list[dict[str, Any]]:
    with reading(engine) as connection:
        found = connection.execute(select(private_releases).order_by(private_releases.c.question))
        return [dict(row) for row in found.mappings()]


def open_releases(engine: Engine) -> None:
    """Take the triggers off, as somebody with the rights of the owner could."""
    with writing(engine) as connection:
        if is_postgres(engine):
            connection.execute(text("ALTER TABLE private_releases DISABLE TRIGGER ALL"))
            return
        for name in ("update", "delete", "replace"):
            connection.execute(text(f"DROP TRIGGER private_releases_no_{name}"))


def lose(engine: Engine) -> None:
    """Set the releases back to none, as a backup of before them does."""
    open_releases(engine)
    with writing(engine) as connection:
        connection.execute(private_releases.delete())


def test_a_database_that_was_set_back_has_spent_what_it_had_spent(
    engine: Engine, keys: Path
) -> None:
    from privacy.noise import add_noise

    fill(engine)
    small = Budget(200_000, 365)
    first = give(engine, keys, QUESTION, small, noise=add_noise)
    kept = rows(engine)
    lose(engine)

    other = Question(QUESTION.since, QUESTION.until, 100_001, ROWS)
    with pytest.raises(BudgetSpent, match=r"0\.1 is left"):
        give(engine, keys, other, small, noise=add_noise)
    assert give(engine, keys, QUESTION, small, noise=add_noise) == first
    assert rows(engine) == kept


def test_a_release_that_was_killed_before_its_commit_is_paid_and_told_as_it_was_drawn(
    engine: Engine, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from privacy.noise import add_noise

    fill(engine)
    append = Witness.append

    def append_and_die(*arguments: Any) -> Any:
        entry = append(*arguments)
        if entry.kind == RELEASE:
            raise KeyboardInterrupt
        return entry

    with monkeypatch.context() as patched:
        patched.setattr(Witness, "append", append_and_die)
        with pytest.raises(KeyboardInterrupt):
            give(engine, keys, QUESTION, noise=add_noise)
    assert rows(engine) == []
    (witnessed,) = [one.body for one in Witness(keys).verify() if one.kind == RELEASE]

    give(engine, keys, QUESTION, noise=add_noise)

    assert [row["document"] for row in rows(engine)] == [witnessed["document"]]
    assert spent(engine) == 100_000


def test_a_release_that_the_witness_cannot_take_is_not_told(
    engine: Engine, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(engine)

    def fail(*_: Any) -> None:
        raise OSError

    monkeypatch.setattr(Witness, "append", fail)
    with pytest.raises(OSError):  # noqa: PT011  # whatever the disk says
        give(engine, keys, QUESTION)
    assert spent(engine) == 0


@pytest.mark.parametrize(
    "wipe",
    [
        "UPDATE private_releases SET epsilon_micro = 1",
        "DELETE FROM private_releases",
        "replace",
    ],
)
def test_the_database_refuses_to_change_or_forget_a_release(
    engine: Engine, keys: Path, wipe: str
) -> None:
    fill(engine)
    give(engine, keys, QUESTION)
    if wipe == "replace":
        wipe = (
            "TRUNCATE private_releases"
            if is_postgres(engine)
            else "REPLACE INTO private_releases SELECT * FROM private_releases"
        )

    with pytest.raises(DBAPIError, match="append-only"), writing(engine) as connection:
        connection.execute(text(wipe))
    assert spent(engine) == 100_000


def test_a_release_of_before_the_witness_knew_any_is_known_from_the_next_check_on(
    engine: Engine, keys: Path
) -> None:
    give(engine, keys, QUESTION)
    (keys / FILE_NAME).unlink()

    assert verify_ledgers(engine, keys).releases == 1
    lose(engine)

    checked = verify_ledgers(engine, keys)
    assert (checked.releases, checked.releases_put_back) == (1, 1)
    assert spent(engine) == 100_000


def test_a_release_that_was_made_cheaper_is_found(engine: Engine, keys: Path) -> None:
    give(engine, keys, QUESTION)
    open_releases(engine)
    with writing(engine) as connection:
        connection.execute(private_releases.update().values(epsilon_micro=1))

    with pytest.raises(WitnessBroken, match="release"):
        verify_ledgers(engine, keys)


def test_a_clock_that_is_set_back_makes_no_release_older_than_those_before(
    engine: Engine, keys: Path
) -> None:
    fill(engine)
    give(engine, keys, QUESTION)
    early = Question(TODAY - 30, TODAY - 20, 100_000, ROWS)

    give(engine, keys, early, now=NOW - 9 * MICROS_PER_DAY)

    assert {row["released_at"] for row in rows(engine)} == {NOW}


@on_sqlite
def test_nobody_waits_while_noise_is_drawn(
    engine: Engine, keys: Path, database_url: SecretStr
) -> None:
    other = connect(database_url, busy_timeout_ms=50)

    def draw(*arguments: Any) -> dict[str, Any]:
        with writing(other) as connection:
            connection.execute(text("UPDATE versions SET value = value"))
        return shift(*arguments)

    assert give(engine, keys, QUESTION, noise=draw)["figures"]["proposed"]["value"] == 0
    other.dispose()


@on_sqlite
def test_a_release_waits_for_who_holds_the_database_longer_than_one_statement_does(
    engine: Engine, keys: Path, database_url: SecretStr, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = connect(database_url, busy_timeout_ms=50)
    holder = hold_lock(engine, 1.0)
    assert give(hasty, keys, QUESTION)["budget_left"] == pytest.approx(0.9)
    holder.join()

    monkeypatch.setattr(releases, "WAIT_SECONDS", 0.2)
    holder = hold_lock(engine, 1.0)
    with pytest.raises(NotReady):
        give(hasty, keys, Question(TODAY - 31, TODAY - 5, 100_000, ROWS))
    holder.join()
    hasty.dispose()
    assert spent(engine) == 100_000


def test_racing_requests_of_one_question_get_one_answer_and_pay_once(
    engine: Engine, keys: Path, database_url: SecretStr
) -> None:
    from privacy.noise import add_noise

    fill(engine)

    def ask(_number: int) -> Any:
        own = connect(database_url)
        try:
            return give(own, keys, QUESTION, noise=add_noise)
        finally:
            own.dispose()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(16)))

    assert all(answer == answers[0] for answer in answers)
    assert spent(engine) == 100_000
