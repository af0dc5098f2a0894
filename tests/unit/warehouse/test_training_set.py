"""The training set: whom consent of now lets in, the frame's shape, and what identifies it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from schemas.clock import MICROS_PER_DAY, iso_day, micros
from schemas.events import EventKind
from schemas.tables import subjects, training_sets
from tests.histories import NOW, TODAY
from tests.population import RUN, answer, arrive, days_before, event, process
from warehouse import consents, proposals, weights
from warehouse.engine import connect, create_tables, reading, writing
from warehouse.leases import lease
from warehouse.training import (
    TrainingSet,
    digest_of,
    publish_weights,
    read_training,
    record_training,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

ALL = ("analytics", "preferences", "improvement")


def read(engine: Engine, since_day: int = 0) -> TrainingSet:
    return read_training(engine, since_day=since_day, as_of=RUN)


def story(
    subject: int, match_key: int, *, days: float = 5, accepted: bool | None = True, **figures: Any
) -> list[dict[str, Any]]:
    """Return the events of a proposal and its decision."""
    at = days_before(days)
    proposed = event(EventKind.PROPOSED, subject, match_key, occurred_at=at, figures=figures)
    if accepted is None:
        return [proposed]
    kind = EventKind.ACCEPTED if accepted else EventKind.REJECTED
    return [proposed, event(kind, subject, match_key, occurred_at=at + 1)]


def test_a_proposal_becomes_one_row_with_what_is_known_of_it(engine: Engine) -> None:
    subject = answer(engine, "a", *ALL)
    figures = {
        "match_score": 0.25,
        "alternatives_count": 7,
        "propensity": 0.5,
        "model_version": "4",
        "match_parameters": {"side": 1.0},
        "constraint_satisfaction": {"distance": 0.75},
    }
    rated = event(EventKind.FEEDBACK, subject, 9, figures={"rating": 2})
    arrive(engine, [*story(subject, 9, days=2, accepted=False, **figures), rated])
    process(engine)

    frame = read(engine).frame

    pd.testing.assert_frame_equal(
        frame,
        pd.DataFrame(
            {
                "match_key": np.array([9], dtype="int64"),
                "subject": np.array([subject], dtype="int64"),
                "group": pd.Series([iso_day(TODAY - 2)], dtype="str"),
                "occurred_at": pd.to_datetime([days_before(2)], unit="us", utc=True),
                "match_score": [0.25],
                "alternatives_count": [7.0],
                "propensity": [0.5],
                "model_version": pd.Series(["4"], dtype="str"),
                "preferences": [True],
                "accepted": [0.0],
                "rating": [2.0],
                "constraint:distance": [0.75],
                "parameter:side": [1.0],
            }
        ),
    )


@pytest.mark.parametrize(
    ("most", "days"), [(6, {1, 2, 3}), (5, {1, 2}), (3, {1, 2}), (2, {1}), (1, {1})]
)
def test_of_too_many_proposals_the_newest_whole_days_are_read(
    engine: Engine, most: int, days: set[int]
) -> None:
    subjects = [answer(engine, name, *ALL) for name in "abc"]
    answer_of_another = answer(engine, "d", "analytics")
    for day, of_day in ((1, subjects[:2]), (2, subjects[:1]), (3, subjects)):
        for subject in of_day:
            arrive(engine, story(subject, 10 * day + subject % 7, days=day))
        # Who allows no improvement takes nobody's place.
        arrive(engine, story(answer_of_another, 100 + day, days=day))
    process(engine)

    found = read_training(engine, since_day=TODAY - 9, as_of=RUN, most=most)

    assert set(found.frame["group"]) == {iso_day(TODAY - day) for day in days}
    assert found.since_day == (TODAY - 9 if most == 6 else TODAY - max(days))
    assert found.digest == read(engine, TODAY - max(days)).digest


def test_what_is_not_known_is_missing_and_not_zero(engine: Engine) -> None:
    subject = answer(engine, "a", "analytics", "improvement")
    arrive(engine, story(subject, 1, accepted=None))
    process(engine)

    row = read(engine).frame.iloc[0]

    assert row[["propensity", "accepted", "rating"]].isna().all()
    assert not row["preferences"]
    assert read(engine).decided == 0


def test_rows_read_in_chunks_are_the_rows_read_at_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = answer(engine, "a", *ALL)
    for key, names in enumerate((("pace",), ("craft", "distance"), (), ("distance",)), start=1):
        figures = {"constraint_satisfaction": dict.fromkeys(names, key / 10)}
        arrive(engine, story(subject, key, days=key, model_version=str(key), **figures))
    process(engine)
    whole = read(engine)

    monkeypatch.setattr(proposals, "_CHUNK_ROWS", 1)
    chunked = read(engine)

    pd.testing.assert_frame_equal(chunked.frame, whole.frame)
    assert chunked.digest == whole.digest
    assert "constraint:craft" in whole.frame


def test_an_empty_set_has_the_columns_and_types_of_a_full_one(engine: Engine) -> None:
    empty = read(engine)
    subject = answer(engine, "a", *ALL)
    arrive(engine, story(subject, 1))
    process(engine)
    full = read(engine).frame

    base = [column for column in full.columns if ":" not in column]
    assert list(empty.frame.columns) == base
    assert empty.frame.dtypes.astype(str).to_dict() == full[base].dtypes.astype(str).to_dict()
    assert empty.digest != read(engine).digest


def test_a_new_constraint_is_a_new_column_and_missing_before(engine: Engine) -> None:
    subject = answer(engine, "a", *ALL)
    old: dict[str, Any] = {"constraint_satisfaction": {"distance": 0.5}}
    new: dict[str, Any] = {"constraint_satisfaction": {"distance": 0.25, "wage": 1.0}}
    arrive(engine, [*story(subject, 1, days=3, **old), *story(subject, 2, days=2, **new)])
    process(engine)

    frame = read(engine).frame

    assert frame["constraint:distance"].tolist() == [0.5, 0.25]
    assert frame["constraint:wage"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    "now", [("analytics",), ("analytics", "preferences"), ("preferences",), ()]
)
def test_who_withdraws_is_not_learned_from_any_more(now: tuple[str, ...], engine: Engine) -> None:
    leaving, staying = (answer(engine, name, *ALL) for name in "ab")
    arrive(engine, [*story(leaving, 1), *story(staying, 1)])
    process(engine)
    before = read(engine)

    answer(engine, "a", *now)

    assert set(before.frame["subject"]) == {leaving, staying}
    assert set(read(engine).frame["subject"]) == {staying}


def test_who_allows_it_again_is_learned_from_again(engine: Engine) -> None:
    person = answer(engine, "a", *ALL)
    arrive(engine, story(person, 1))
    process(engine)
    answer(engine, "a", "analytics")
    answer(engine, "a", "analytics", "improvement")

    assert set(read(engine).frame["subject"]) == {person}


def test_who_is_being_erased_gives_no_row(engine: Engine) -> None:
    person = answer(engine, "a", *ALL)
    arrive(engine, story(person, 1))
    process(engine)
    with writing(engine) as connection:
        connection.execute(update(subjects).values(erasing=True))

    assert read(engine).frame.empty
    assert (
        read(engine).consent_digest
        == read_training(engine, since_day=TODAY + 1, as_of=RUN).consent_digest
    )


def test_a_match_whose_person_is_unknown_gives_no_row(engine: Engine) -> None:
    person = answer(engine, "a", *ALL)
    arrive(engine, story(person, 1))
    process(engine)
    with writing(engine) as connection:
        connection.execute(subjects.delete())

    assert read(engine).frame.empty


def test_only_proposals_of_the_window_that_have_come_are_read(engine: Engine) -> None:
    person = answer(engine, "a", *ALL)
    ahead = event(EventKind.PROPOSED, person, 4, occurred_at=NOW + 1)
    orphan = event(EventKind.ACCEPTED, person, 3, occurred_at=days_before(1))
    arrive(engine, [*story(person, 1, days=10), *story(person, 2, days=9), orphan, ahead])
    process(engine)

    assert read(engine, since_day=TODAY - 9).frame["match_key"].tolist() == [2]
    assert read(engine, since_day=TODAY - 10).frame["match_key"].tolist() == [1, 2]
    later = read_training(engine, since_day=0, as_of=RUN + timedelta(microseconds=1))
    assert later.frame["match_key"].tolist() == [1, 2, 4]


def two_parties(engine: Engine, first: int, second: int) -> TrainingSet:
    """Store the same proposals, made at the same instant, with the numbers given to subjects."""
    for number, name in ((first, "a"), (second, "b")):
        given = answer(engine, name, *ALL)
        with writing(engine) as connection:
            connection.execute(
                update(subjects).where(subjects.c.subject == given).values(subject=number)
            )
    arrive(
        engine,
        [
            *story(first, 1, accepted=True, constraint_satisfaction={"distance": 0.1}),
            *story(second, 1, accepted=False, constraint_satisfaction={"distance": 0.9}),
            *story(first, 2, accepted=True),
            *story(second, 2, accepted=True),
        ],
    )
    process(engine)
    return read(engine)


def test_neither_order_nor_digest_depends_on_the_numbers_of_subjects(tmp_path: Path) -> None:
    told = []
    for numbers in ((1, 2), (2, 1), (2**62, 7)):
        engine = connect(SecretStr(f"sqlite:///{tmp_path / str(numbers[0])}.db"))
        create_tables(engine)
        training = two_parties(engine, *numbers)
        names = dict(zip(numbers, "ab", strict=True))
        rows = training.frame.assign(subject=training.frame["subject"].map(names))
        told.append((rows.fillna(-1).astype(str).to_numpy().tolist(), training.digest))
        engine.dispose()

    assert told[0] == told[1] == told[2]
    assert len(told[0][0]) == 4


def test_the_digest_is_of_the_rows_and_not_of_their_order(engine: Engine) -> None:
    frame = two_parties(engine, 1, 2).frame

    assert digest_of(frame.sample(frac=1, random_state=1)) == digest_of(frame)
    assert digest_of(frame[sorted(frame.columns, reverse=True)]) == digest_of(frame)
    assert digest_of(frame.assign(subject=frame["subject"] + 100)) == digest_of(frame)


@pytest.mark.parametrize(
    ("column", "value"),
    [("accepted", 0.0), ("match_score", 0.5), ("constraint:distance", 0.2), ("match_key", 77)],
)
def test_any_changed_figure_changes_the_digest(column: str, value: float, engine: Engine) -> None:
    frame = two_parties(engine, 1, 2).frame
    changed = frame.copy()
    changed.loc[0, column] = value

    assert frame.loc[0, column] != value
    assert digest_of(changed) != digest_of(frame)
    assert digest_of(frame.rename(columns={"rating": "stars"})) != digest_of(frame)
    assert digest_of(frame.iloc[1:]) != digest_of(frame)


def test_the_consent_digest_names_the_entries_that_allow_the_use(engine: Engine) -> None:
    one, other = (answer(engine, name, *ALL, at=days_before(9)) for name in "ab")
    answer(engine, "without-a-row", *ALL)
    arrive(engine, [*story(one, 1), *story(other, 1)])
    process(engine)
    first = read(engine).consent_digest

    answer(engine, "without-a-row", "analytics")
    assert read(engine).consent_digest == first

    answer(engine, "a", "analytics", "improvement")
    confirmed = read(engine).consent_digest
    answer(engine, "b", "analytics")

    assert len({first, confirmed, read(engine).consent_digest}) == 3


def test_the_books_keep_what_a_version_learned_from(engine: Engine) -> None:
    two_parties(engine, 1, 2)
    training = read(engine)

    with lease(engine, "retrain_model", 60.0) as held:
        left = record_training(
            engine, held, "3", training, outcome="refused", reason="It is not better.", now=RUN
        )

    assert left == 0

    with reading(engine) as connection:
        kept = dict(connection.execute(select(training_sets)).mappings().one())
    assert kept == {
        "version": "3",
        "rows": 4,
        "subjects": 2,
        "digest": training.digest,
        "consent_digest": training.consent_digest,
        "as_of": micros(RUN),
        "outcome": "refused",
        "reason": "It is not better.",
        "since": training.since_day * MICROS_PER_DAY,
        "consent_seq": 2,
        "event_seq": training.event_seq,
        "withdrawn": 0,
        "erased": 0,
        "marked_at": None,
        "deleted_at": None,
    }


def test_the_newest_publication_is_the_one_that_is_handed_back(engine: Engine) -> None:
    assert weights.newest(engine) is None

    publish_weights(engine, "1", '{"a":1}', at=RUN + timedelta(days=1))
    publish_weights(engine, "2", '{"a":2}', at=RUN)

    found = weights.newest(engine)
    assert found is not None
    assert (found.version, found.document, found.published_at) == ("2", '{"a":2}', RUN)


def test_a_day_is_the_group_of_its_proposals(engine: Engine) -> None:
    person = answer(engine, "a", *ALL)
    last = (TODAY - 1) * MICROS_PER_DAY - 1
    arrive(
        engine,
        [
            event(EventKind.PROPOSED, person, number, occurred_at=at)
            for number, at in ((1, last), (2, last + 1))
        ],
    )
    process(engine)

    assert read(engine).frame["group"].tolist() == [iso_day(TODAY - 2), iso_day(TODAY - 1)]
    assert consents.verify(engine) == 1


def test_own_history_is_what_was_decided_before_the_day(engine: Engine) -> None:
    subject = answer(engine, "a", *ALL)
    arrive(engine, [*story(subject, 1, days=5), *story(subject, 2, days=5, accepted=False)])
    arrive(engine, [*story(subject, 3, days=3), *story(subject, 4, days=2)])
    process(engine)

    frame = read(engine).frame.set_index("match_key")

    share = frame["parameter:history.accepted"]
    assert share[[1, 2]].isna().all()
    assert share[[3, 4]].tolist() == [(1 + 1) / (2 + 2), (2 + 1) / (3 + 2)]


def test_own_history_is_read_from_nobody_who_does_not_allow_preferences(engine: Engine) -> None:
    for name, match_key in (("a", 10), ("b", 20), ("c", 30)):
        purposes = ALL if name != "b" else ("analytics", "improvement")
        subject = answer(engine, name, *purposes)
        arrive(engine, [*story(subject, match_key), *story(subject, match_key + 1, days=2)])
    process(engine)
    before = read(engine).frame.set_index("match_key")["parameter:history.accepted"]
    answer(engine, "a", "analytics", "improvement")

    after = read(engine).frame.set_index("match_key")["parameter:history.accepted"]

    assert before[[11, 31]].notna().all()
    assert np.isnan(before[21])
    assert np.isnan(after[11])
    assert after[31] == before[31]
