"""An erasure: afterwards all is as if the person had never been there, and a report shows it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from privacy.pseudonyms import subject_pseudonym
from schemas.clock import moment
from schemas.errors import ConsentRequired, LeaseLost
from schemas.events import EventKind
from schemas.tables import (
    erasures,
    events,
    matches,
    metadata,
    receipts,
    rejected,
    runs,
    staged,
    subjects,
    versions,
)
from tests import histories
from tests.histories import TODAY
from tests.population import KEY, RUN, answer, arrive, days_before, erase, event, learn, process
from warehouse import accounts, consents, erasure
from warehouse.audit import balance
from warehouse.engine import connect, create_tables, reading
from warehouse.erasure import (
    NoSuchErasure,
    delete_subject,
    finish_erasure,
    mark_forgotten,
    read_erasure,
)
from warehouse.erasure_requests import begin, pending_erasures
from warehouse.leases import lease
from warehouse.recount import reconcile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine, Table

RULE = "match_score: must be at most 1"


class Killed(BaseException):
    """Ends a step where a kill would."""


def delete(engine: Engine, request: str) -> erasure.Erasure:
    with lease(engine, "erase_subject", 60.0) as held:
        return delete_subject(engine, request, held)


def rows(engine: Engine, table: Table, **where: Any) -> list[tuple[Any, ...]]:
    with reading(engine) as connection:
        query = select(table).filter_by(**where).order_by(*table.primary_key)
        return [tuple(row) for row in connection.execute(query)]


@pytest.fixture
def pair(engine: Engine) -> tuple[int, int]:
    """A person with an event in every table, and the other party of their match."""
    leaving, staying = (answer(engine, name, "analytics", "improvement") for name in "ab")
    happened = [
        event(kind, subject, 1, occurred_at=days_before(10 - place))
        for subject in (leaving, staying)
        for place, kind in enumerate((EventKind.PROPOSED, EventKind.VIEWED, EventKind.ACCEPTED))
    ]
    broken = [event(EventKind.FEEDBACK, subject, 1) for subject in (leaving, staying)]
    arrive(engine, [*happened, *broken])
    with reading(engine) as connection:
        numbers = connection.execute(select(staged.c.seq).order_by(staged.c.seq)).scalars().all()
    process(engine, broken={RULE: numbers[-2:]}, texts={numbers[2]: '["redacted"]'})
    arrive(engine, [event(EventKind.VIEWED, subject, 1) for subject in (leaving, staying)])
    return leaving, staying


def test_every_row_of_the_person_goes_and_every_row_of_the_partner_stays(
    engine: Engine, pair: tuple[int, int]
) -> None:
    leaving, staying = pair
    tables = (staged, rejected, events, matches, subjects)
    before = {table.name: rows(engine, table, subject=staying) for table in tables}

    done = erase(engine, leaving)

    assert {table.name: rows(engine, table, subject=leaving) for table in tables} == {
        table.name: [] for table in tables
    }
    assert {table.name: rows(engine, table, subject=staying) for table in tables} == before
    assert done.deleted == {
        "staged": 1,
        "rejected": 1,
        "events": 3,
        "matches": 1,
        "receipts": 5,
        "subjects": 1,
    }


def test_the_receipts_of_the_person_go_and_no_other(engine: Engine, pair: tuple[int, int]) -> None:
    leaving, staying = pair
    ids = {
        subject: {
            row[1]
            for table in (staged, rejected, events)
            for row in rows(engine, table, subject=subject)
        }
        for subject in pair
    }
    assert {row[0] for row in rows(engine, receipts)} == ids[leaving] | ids[staying]

    erase(engine, leaving)

    assert {row[0] for row in rows(engine, receipts)} == ids[staying]


def test_the_sums_are_what_a_recount_of_the_others_gives(
    engine: Engine, pair: tuple[int, int]
) -> None:
    mutual = {"measure": "mutual", "model_version": "3"}
    assert sum(row[-1] for row in rows(engine, metadata.tables["metric_sums"], **mutual)) == 2

    erase(engine, pair[0])

    assert reconcile(engine, 0).matches == 1
    assert rows(engine, metadata.tables["metric_sums"], **mutual) == []


def test_the_books_stay_balanced(engine: Engine, pair: tuple[int, int]) -> None:
    before = balance(engine)

    erase(engine, pair[0])

    after = balance(engine)
    assert before.agrees
    assert after.agrees
    assert after.erased == {"events": 3, "rejected": 1, "staged": 1}
    assert (after.stored, after.processed) == (before.stored, before.processed)


def test_nothing_that_is_left_names_the_person(engine: Engine, pair: tuple[int, int]) -> None:
    leaving, _ = pair
    ((ledger_id,),) = [(row[3],) for row in rows(engine, subjects, subject=leaving)]
    pseudonym = subject_pseudonym(KEY, "a")

    done = erase(engine, leaving)

    held = [row for table in metadata.sorted_tables for row in rows(engine, table)]
    assert done.subject is None
    assert not [row for row in held if leaving in row or pseudonym in row]
    # The ledger's entries stay and lead nowhere.
    assert [row for row in held if ledger_id in row] == [
        row for row in rows(engine, metadata.tables["consents"]) if row[2] == ledger_id
    ]
    assert consents.verify(engine) == 2


def test_who_answers_again_is_somebody_new(engine: Engine, pair: tuple[int, int]) -> None:
    erase(engine, pair[0])

    again = answer(engine, "a", "analytics")

    assert again not in pair
    assert rows(engine, events, subject=again) == []


def test_nothing_is_collected_from_the_moment_of_the_request(
    engine: Engine, pair: tuple[int, int]
) -> None:
    leaving, staying = pair
    before = rows(engine, versions, name=consents.CHANGES)

    begin(engine, leaving, RUN)

    candidates = {
        subject: (subject_pseudonym(KEY, name),) for subject, name in zip(pair, "ab", strict=True)
    }
    with reading(engine) as connection:
        found = consents.resolve(connection, list(candidates.values()))
    assert found == {candidates[staying]: staying}
    assert rows(engine, versions, name=consents.CHANGES)[0][1] > before[0][1]
    with pytest.raises(ConsentRequired):
        answer(engine, "a", "analytics")
    process(engine)
    assert len(rows(engine, events, subject=leaving)) == 3


def test_a_person_who_asks_twice_has_one_request(engine: Engine, pair: tuple[int, int]) -> None:
    leaving, staying = pair

    first, second = (begin(engine, leaving, RUN) for _ in range(2))
    other = begin(engine, staying, moment(days_before(-1)))

    assert first == second
    assert pending_erasures(engine) == [first, other]
    assert uuid.UUID(first) != uuid.UUID(other)


def test_a_step_that_is_killed_leaves_all_or_nothing_and_runs_again(
    engine: Engine, pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving, _ = pair
    request = begin(engine, leaving, RUN)

    def kill(_connection: Connection, _counts: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(accounts, "add", kill)
        with pytest.raises(Killed):
            delete(engine, request)

    assert read_erasure(engine, request).state == erasure.REQUESTED
    assert len(rows(engine, events, subject=leaving)) == 3
    assert reconcile(engine, 0).matches == 2
    assert balance(engine).agrees

    first = delete(engine, request)
    again = delete(engine, request)

    assert first == again
    assert (first.state, first.deleted["events"]) == (erasure.DELETED, 3)
    assert balance(engine).erased["events"] == 3


def test_each_step_is_done_once_however_often_it_runs(
    engine: Engine, pair: tuple[int, int]
) -> None:
    leaving, _ = pair
    learn(engine, "1", days_before(1))
    request = begin(engine, leaving, RUN)
    states = []
    for _ in range(2):
        delete(engine, request)
        states.append(read_erasure(engine, request).state)
    for _ in range(2):
        mark_forgotten(engine, request)
        states.append(read_erasure(engine, request).state)
    reports = [finish_erasure(engine, request, RUN) for _ in range(2)]

    assert states == ["deleted", "deleted", "forgotten", "forgotten"]
    assert reports[0] == reports[1]
    assert reports[0].state == "done"
    assert len(rows(engine, runs)) == 1
    assert pending_erasures(engine) == []


def test_a_request_that_is_done_stays_done(engine: Engine, pair: tuple[int, int]) -> None:
    done = erase(engine, pair[0])

    delete(engine, done.request)
    mark_forgotten(engine, done.request)

    assert read_erasure(engine, done.request) == done


def test_an_erasure_whose_lease_was_taken_over_deletes_nothing(
    engine: Engine, pair: tuple[int, int]
) -> None:
    request = begin(engine, pair[0], RUN)
    with lease(engine, "erase_subject", 60.0) as held:
        pass
    with lease(engine, "erase_subject", 60.0):
        with pytest.raises(LeaseLost):
            delete_subject(engine, request, held)
        with pytest.raises(LeaseLost):
            finish_erasure(engine, request, RUN, held)
    assert read_erasure(engine, request).state == "requested"

    assert len(rows(engine, events, subject=pair[0])) == 3


def test_an_unknown_number_is_no_request(engine: Engine) -> None:
    with pytest.raises(NoSuchErasure):
        read_erasure(engine, "4b1f")


@pytest.fixture
def other_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = connect(SecretStr(f"sqlite:///{tmp_path / 'other.db'}"))
    create_tables(engine)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("seed", range(4))
def test_all_is_as_if_the_person_had_never_been_there(
    seed: int, engine: Engine, other_engine: Engine
) -> None:
    happened = histories.history(seed, length=120, subjects=5, matches=12)
    histories.admit(engine, range(1, 6))
    histories.admit(other_engine, range(2, 6))
    for start in (0, 60):
        histories.stage(engine, happened[start : start + 60])
        process(engine)
    histories.stage(other_engine, [row for row in happened if row["subject"] != 1])
    process(other_engine)

    erase(engine, 1)

    left, never = histories.tables(engine), histories.tables(other_engine)
    assert [row for row in left["matches"] if row[1] == 1] == []
    for name in ("matches", "sums", "events", "counted", "staged"):
        assert left[name] == never[name], name


def test_no_byte_of_the_person_is_left_in_the_files(tmp_path: Path) -> None:
    engine = connect(SecretStr(f"sqlite:///{tmp_path / 'bytes.db'}"))
    create_tables(engine)
    person = answer(engine, "a", "analytics")
    marks = [b"\xde\xad\xbe\xef" * 4, b"only-they-had-this", subject_pseudonym(KEY, "a")]
    figures = {"model_version": marks[1].decode()}
    other = answer(engine, "b", "analytics")
    own = event(EventKind.PROPOSED, person, 1, event_id=marks[0], figures=figures)
    arrive(engine, [own, event(EventKind.PROPOSED, other, 1)])
    process(engine, texts={1: '["only-they-had-this"]'})

    def content() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.glob("bytes.db*"))

    assert all(mark in content() for mark in marks)

    erase(engine, person)

    assert not [mark for mark in marks if mark in content()]
    engine.dispose()


def test_the_report_holds_the_time_and_no_number_of_the_person(
    engine: Engine, pair: tuple[int, int]
) -> None:
    erase(engine, pair[0])

    with reading(engine) as connection:
        at = connection.execute(select(func.max(erasures.c.finished_at))).scalar_one()
        report = connection.execute(select(erasures.c.report)).scalar_one()
    assert at // 86_400_000_000 == TODAY
    assert str(pair[0]) not in report


def test_the_report_does_not_tell_what_the_person_answered(engine: Engine) -> None:
    people = [answer(engine, name, "analytics") for name in "ab"]
    arrive(
        engine,
        [
            event(kind, subject, number, figures=figures, occurred_at=days_before(5))
            for number, (subject, decision, stars) in enumerate(
                zip(people, (EventKind.ACCEPTED, EventKind.REJECTED), (5, 1), strict=True), 1
            )
            for kind, figures in (
                (EventKind.PROPOSED, {}),
                (decision, {}),
                (EventKind.FEEDBACK, {"rating": stars}),
            )
        ],
    )
    process(engine)

    reports = [erase(engine, subject).report for subject in people]

    assert reports[0] == reports[1]
    assert reports[0]["metrics"] == ["acceptance", "constraints", "funnel", "satisfaction"]
