"""Watching for drift through the real flow: what is kept, shown, asked for and answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from flows import watch_drift as watching
from flows.process_events import process_events
from flows.retrain_model import retrain_model
from flows.watch_drift import watch_drift
from matching import drift as comparing
from schemas.clock import day_number, iso_day
from schemas.errors import NotReady
from schemas.run_events import DRIFTED
from schemas.tables import drift_days, matches, runs, subjects
from tests.flows.conftest import stage_rounds
from warehouse import runs as queued
from warehouse.drift_days import drift
from warehouse.engine import reading, writing

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.settings import Settings

NOW = datetime.now(UTC)
YESTERDAY = (NOW - timedelta(days=1)).date()


def asked(engine: Engine) -> list[tuple[str, str, str | None]]:
    with reading(engine) as connection:
        columns = (runs.c.flow, runs.c.state, runs.c.detail)
        return [tuple(row) for row in connection.execute(select(*columns))]


@pytest.fixture
def trained(installed: Settings, engine: Engine) -> None:
    """A champion that learned from three rounds, the last of them four days ago."""
    stage_rounds(engine, turns=3, last=YESTERDAY - timedelta(days=3))
    process_events()
    assert retrain_model().promoted


@pytest.mark.usefixtures("trained")
def test_days_like_those_of_training_ask_for_nothing(engine: Engine) -> None:
    stage_rounds(engine, turns=2, last=YESTERDAY)
    process_events()

    watched = watch_drift()

    assert (watched.version, watched.days, watched.beyond) == ("2", 2, 0), watched.sentence
    assert not watched.retrain_asked
    assert asked(engine) == []
    told = drift(engine, 30, NOW, published=False)
    assert told["days_compared"] == 2
    assert set(told["features"]["score"]) == {"stability", "calibration", "slope"}
    assert "constraint:" in "".join(told["features"])
    assert drift(engine, 30, NOW, published=True)["days_compared"] == 0


def move_away(engine: Engine) -> None:
    """Let yesterday be another world than the days of training."""
    stage_rounds(engine, turns=2, last=YESTERDAY)
    process_events()
    with writing(engine) as connection:
        connection.execute(
            update(matches)
            .where(matches.c.day >= day_number(YESTERDAY))
            .values(match_score=matches.c.match_score / 4)
        )


@pytest.mark.usefixtures("trained")
def test_a_retrain_is_told_of_where_the_answer_to_the_note_of_it_was_lost(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_away(engine)
    queue, told = queued.queue, []

    def lose_the_answer(*arguments: Any) -> bool:
        if queue(*arguments):
            raise NotReady("the connection was lost")
        return False

    monkeypatch.setattr(queued, "queue", lose_the_answer)
    monkeypatch.setattr(watching, "emit_event", lambda event, **_: told.append(event))

    assert watch_drift().retrain_asked
    assert not watch_drift().retrain_asked

    assert told == [DRIFTED]
    assert asked(engine) == [("retrain_model", "queued", "drift beyond its bounds")]


@pytest.mark.usefixtures("trained")
def test_another_world_asks_once_for_a_retrain_and_the_retrain_answers(engine: Engine) -> None:
    move_away(engine)

    first, second = watch_drift(), watch_drift()

    assert first.beyond == second.beyond >= 1
    assert (first.retrain_asked, second.retrain_asked) == (True, False)
    assert "a retrain is asked for" in first.sentence
    assert asked(engine) == [("retrain_model", "queued", "drift beyond its bounds")]
    told = drift(engine, 30, NOW, published=False)["features"]["match_score"]["stability"]
    assert [(one["day"], one["beyond"]) for one in told] == [
        (iso_day(day_number(YESTERDAY) - 1), False),
        (iso_day(day_number(YESTERDAY)), True),
    ]
    with reading(engine) as connection:
        kept = connection.execute(select(drift_days)).all()
    assert len(kept) == second.measures

    retrain_model()

    assert asked(engine) == [("retrain_model", "completed", "drift beyond its bounds")]


def test_a_champion_without_decisions_is_held_to_its_calibration(
    installed: Settings, engine: Engine
) -> None:
    stage_rounds(engine, turns=1, last=YESTERDAY)
    process_events()

    watched = watch_drift()

    assert watched.version == "1"
    assert watched.measures == 1
    assert set(drift(engine, 30, NOW, published=False)["features"]) == {"score"}


def test_a_refused_retrain_answers_the_request_all_the_same(
    installed: Settings, engine: Engine
) -> None:
    with writing(engine) as connection:
        connection.execute(
            runs.insert().values(
                run="a", flow="retrain_model", state="queued", requested_at=1, detail="why"
            )
        )

    assert retrain_model().candidate is None

    assert asked(engine) == [("retrain_model", "completed", "why")]


@pytest.mark.usefixtures("trained")
def test_what_prefect_keeps_of_a_comparison_holds_no_figure(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_rounds(engine, turns=1, last=YESTERDAY)
    process_events()
    shown: list[str] = []
    monkeypatch.setattr(
        watching, "create_markdown_artifact", lambda markdown, **_: shown.append(markdown)
    )

    watch_drift()

    told = drift(engine, 30, NOW, published=False)["features"]
    days = [one for measures in told.values() for found in measures.values() for one in found]
    assert f"0 of {len(days)} measures" in shown[0]
    assert shown[0].count("| within |") == len(days) > 0
    figures = (f"{one[name]:.3f}" for one in days for name in ("value", "bound"))
    assert not any(figure in shown[0] for figure in figures)


@pytest.mark.usefixtures("trained")
def test_nothing_is_kept_of_a_comparison_with_somebody_who_leaves_meanwhile(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_rounds(engine, turns=2, last=YESTERDAY)
    process_events()
    compare = comparing.drift

    def leave_meanwhile(*arguments: Any) -> Any:
        with writing(engine) as connection:
            connection.execute(update(subjects).values(improvement=False))
        return compare(*arguments)

    monkeypatch.setattr(comparing, "drift", leave_meanwhile)

    assert watch_drift().measures > 0
    with reading(engine) as connection:
        assert connection.execute(select(drift_days)).all() == []
