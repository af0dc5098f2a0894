"""Retraining through the real flow, registry and gate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sqlalchemy import delete, func, select, update

from cli import main
from flows import retrain_model as retraining
from flows.process_events import process_events
from flows.retrain_model import retrain_model
from installation import roll_back, set_up_database
from matching import training as learning
from matching.logistic import Gaussian, posterior
from matching.model import first_champion
from matching.refit import MAX_PROBABILITY, RefitDiffers
from matching.registry import Registry
from schemas.clock import day_number
from schemas.tables import (
    matches,
    published_weights,
    runs,
    subjects,
    training_sets,
    versions,
)
from tests.engines import end_commands, on_sqlite
from tests.flows.conftest import stage_rounds
from tests.population import erase
from warehouse import shadow_prices, tombstones, validations
from warehouse import training as books
from warehouse.access import export
from warehouse.engine import reading, writing
from warehouse.lineage import UNBOOKED, mark_withdrawn, owed_since, unbooked_note

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from schemas.settings import Settings

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).date()


def open_registry(settings: Settings) -> Registry:
    return Registry(settings.tracking_uri, str(settings.artifacts), settings.model_name)


def test_decisions_become_a_promoted_version_that_scores(
    installed: Settings, engine: Engine
) -> None:
    stage_rounds(engine, turns=4, last=YESTERDAY)
    process_events()

    retrained = retrain_model()

    assert retrained.promoted, retrained.sentence
    assert retrained.version == retrained.candidate == "2"
    mlflow.set_tracking_uri(installed.tracking_uri)
    champion = mlflow.pyfunc.load_model("models:/smartmatch@champion")
    scored = champion.predict(pd.DataFrame({"match_score": [0.2, 0.9]}))
    assert scored["p_accept"].between(0, 1).all()
    with reading(engine) as connection:
        learned = connection.execute(select(training_sets)).mappings().one()
        published = connection.execute(
            select(published_weights.c.version).order_by(published_weights.c.seq)
        ).scalars()
        assert list(published) == ["1", "2"]
        prices = shadow_prices.read(connection, published=False)
    assert prices
    assert {price["model_version"] for price in prices.values()} == {"2"}
    assert all(0 <= price["cost"] <= 1 for price in prices.values())
    assert (learned["version"], learned["outcome"]) == ("2", "promoted")
    checked = validations.read(
        validations.directory(installed), 1, datetime.now(UTC), smallest=10, published=False
    )["suites"]["training_set"]
    assert checked["days"][0]["rows"] >= retrained.decisions
    assert not checked["days"][0]["broken"]
    assert "match_score: must be known" in checked["rules"]
    assert learned["rows"] >= retrained.decisions


def test_a_run_keeps_how_far_updating_is_from_the_refit_and_fails_where_they_differ(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_rounds(engine, turns=3, last=YESTERDAY)
    process_events()
    retrain_model()

    def forget_the_past(rows: Any, accepted: Any, belief: Gaussian) -> Gaussian:
        return posterior(rows, accepted, Gaussian(0 * belief.mean, np.eye(len(belief.mean))))

    monkeypatch.setattr("matching.updating.posterior", forget_the_past)
    with pytest.raises(RefitDiffers, match="differs from the fit of all"):
        retrain_model()

    newest, first, _ = open_registry(installed).versions()
    mlflow.set_tracking_uri(installed.tracking_uri)
    measured = [
        mlflow.get_run(version.run_id).data.metrics["refit_probability_difference"]
        for version in (first, newest)
    ]
    assert 0 < measured[0] < MAX_PROBABILITY < measured[1]
    # The full fit is sound: it is registered, and the next night starts from it.
    assert (newest.version, newest.digest) == ("3", first.digest)


def test_of_more_proposals_than_the_settings_allow_the_newest_day_is_learned_from(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_rounds(engine, turns=2, last=YESTERDAY)
    process_events()
    of_yesterday = (matches.c.day == day_number(YESTERDAY), matches.c.accepted.is_not(None))
    with reading(engine) as connection:
        decided = connection.execute(
            select(func.count()).select_from(matches).where(*of_yesterday)
        ).scalar_one()
    monkeypatch.setenv("SMARTMATCH_TRAINING_PROPOSALS", "1")

    assert retrain_model().decisions == decided > 0


def test_without_decisions_nothing_is_promoted_and_the_refusal_is_recorded(
    installed: Settings, engine: Engine
) -> None:
    retrained = retrain_model()

    assert not retrained.promoted
    assert retrained.version == "1"
    assert retrained.candidate is None
    mlflow.set_tracking_uri(installed.tracking_uri)
    stories = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert any("accepted and rejected" in str(run.data.tags) for run in stories)


def test_the_same_rows_give_the_same_model_and_other_consents_another_training_set(
    installed: Settings, engine: Engine
) -> None:
    people = stage_rounds(engine, turns=3, last=YESTERDAY)
    process_events()
    retrain_model()
    retrain_model()
    with writing(engine) as connection:
        gone = sorted(people)[: len(people) // 4]
        connection.execute(
            update(subjects).where(subjects.c.subject.in_(gone)).values(improvement=False)
        )

    retrain_model()

    registry = open_registry(installed)
    digests = {version.version: version.digest for version in registry.versions()}
    assert digests["2"] == digests["3"] != digests["4"]
    with reading(engine) as connection:
        sets = connection.execute(
            select(training_sets.c.digest, training_sets.c.subjects).order_by(training_sets.c.as_of)
        ).all()
    assert sets[0].digest == sets[1].digest != sets[2].digest
    assert sets[2].subjects < sets[1].subjects


def test_a_version_whose_person_leaves_while_it_is_learned_is_never_used(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = stage_rounds(engine, turns=4, last=YESTERDAY)
    process_events()
    learn = learning.retrain

    def leave_meanwhile(*arguments: Any, **more: Any) -> Any:
        leave(engine, min(people))
        return learn(*arguments, **more)

    monkeypatch.setattr(learning, "retrain", leave_meanwhile)
    retrained = retrain_model()

    assert (retrained.promoted, retrained.version, retrained.candidate) == (False, "1", "2")
    assert retrained.sentence.startswith("Not used: 1 of those")
    assert [one.version for one in open_registry(installed).versions()] == ["1"]
    assert owed_since(engine) is not None


def test_what_a_killed_retrain_registered_without_books_is_never_used(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_rounds(engine, turns=4, last=YESTERDAY)
    process_events()
    with monkeypatch.context() as patch:
        patch.setattr(books, "publish_weights", _die)
        with pytest.raises(SystemExit):
            retrain_model()
    assert open_registry(installed).champion()[1] == "1"
    with writing(engine) as connection:
        connection.execute(delete(training_sets))

    assert retrain_model().version == "3"
    assert [one.version for one in open_registry(installed).versions()] == ["3", "1"]


def leave(engine: Engine, subject: int) -> None:
    with writing(engine) as connection:
        mark_withdrawn(connection, subject, datetime.now(UTC))
        connection.execute(
            update(subjects).where(subjects.c.subject == subject).values(improvement=False)
        )


@pytest.mark.parametrize("decisions", [False, True])
def test_where_there_is_no_champion_the_first_retrain_makes_one(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, *, decisions: bool
) -> None:
    monkeypatch.setenv("SMARTMATCH_DATABASE_URL", settings.url.get_secret_value())
    set_up_database(settings)
    if decisions:
        stage_rounds(engine, turns=4, last=YESTERDAY)
        process_events()

    retrained = retrain_model()

    assert (retrained.promoted, retrained.version) == (decisions, "2" if decisions else "1")
    registry = open_registry(settings)
    assert registry.load("1")[0].digest == first_champion().digest
    with reading(engine) as connection:
        published = select(published_weights.c.version).order_by(published_weights.c.seq)
        assert connection.execute(published).scalars().all() == ["1", "2"][: 1 + decisions]


def told_of_unbooked(engine: Engine, settings: Settings, subject: int) -> list[bool]:
    """Tell whether a copy of a person's data, the lineage and a withdrawal reckon with more."""
    copy = export(engine, subject, settings, lambda *_: [])
    with reading(engine) as connection:
        noted = unbooked_note(connection)
    return [copy["unbooked_versions"] is not None, noted is not None]


def test_a_clock_that_jumped_deletes_no_version_by_its_age_but_those_that_somebody_left(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Jumped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(days=300)

    people = stage_rounds(engine, turns=4, last=YESTERDAY)
    process_events()
    assert retrain_model().doubt is None
    assert roll_back(installed) == "1"
    monkeypatch.setattr(retraining, "datetime", Jumped)

    doubt = retrain_model().doubt

    assert doubt is not None
    assert "by its age" in doubt
    assert "2" in [one.version for one in open_registry(installed).versions()]
    with reading(engine) as connection:
        deleted = select(training_sets.c.version).where(training_sets.c.deleted_at.is_not(None))
        assert connection.execute(deleted).all() == []

    with writing(engine) as connection:
        mark_withdrawn(connection, min(people), datetime.now(UTC))
    retrain_model()
    with reading(engine) as connection:
        assert "2" in connection.execute(deleted).scalars().all()


def test_books_that_were_set_back_are_told_of_until_a_retrain_deletes_their_version(
    installed: Settings, engine: Engine
) -> None:
    people = sorted(stage_rounds(engine, turns=4, last=YESTERDAY))
    process_events()
    assert retrain_model().promoted
    assert told_of_unbooked(engine, installed, people[0]) == [False, False]
    with writing(engine) as connection:  # as a backup of before has it
        connection.execute(delete(training_sets))
        connection.execute(update(versions).where(versions.c.name == "marks").values(value=0))

    tombstones.catch_up(engine, installed.keys)

    assert told_of_unbooked(engine, installed, people[0]) == [True, True]
    with reading(engine) as connection:
        queued = select(runs.c.detail).where(runs.c.state == "queued")
        assert connection.execute(queued).scalars().all() == ["books were lost"]
    erased = erase(engine, people[0])
    assert (erased.models, erased.report["unbooked_versions"]) == ([], UNBOOKED)
    with writing(engine) as connection:
        mark_withdrawn(connection, people[1], datetime.now(UTC))
    with reading(engine) as connection:
        assert set(connection.execute(queued).scalars()) == {
            "after a withdrawal",
            "after an erasure",
            "books were lost",
        }

    retrained = retrain_model()

    assert [one.version for one in open_registry(installed).versions()] == ["3", "1"]
    assert told_of_unbooked(engine, installed, people[1]) == [False, False]
    assert retrained.version in {"1", "3"}
    assert erase(engine, people[1]).report["unbooked_versions"] is None


def test_a_retrain_that_is_killed_before_its_books_is_reckoned_with(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = stage_rounds(engine, turns=4, last=YESTERDAY)
    process_events()
    record = Registry.record

    def record_and_die(*arguments: Any, **more: Any) -> None:
        record(*arguments, **more)
        raise SystemExit

    monkeypatch.setattr(Registry, "record", record_and_die)
    with pytest.raises(SystemExit):
        retrain_model()

    assert [one.version for one in open_registry(installed).versions()] == ["2", "1"]
    assert told_of_unbooked(engine, installed, min(people)) == [True, True]


@on_sqlite
def test_a_restore_takes_a_champion_out_of_use_that_was_learned_since_the_backup(
    installed: Settings, engine: Engine, tmp_path: Path
) -> None:
    people = stage_rounds(engine, turns=4, last=YESTERDAY)
    process_events()
    call = CliRunner()
    assert call.invoke(main, ["backup", str(tmp_path / "before.db")]).exit_code == 0
    assert retrain_model().version == "2"
    engine.dispose()
    end_commands()

    told = call.invoke(main, ["restore", "--yes", str(tmp_path / "before.db")])

    assert told.exit_code == 0, told.output
    assert "version 1" in told.output
    assert open_registry(installed).champion()[1] == "1"
    assert told_of_unbooked(engine, installed, min(people)) == [True, True]


def _die(*_arguments: Any, **_more: Any) -> None:
    raise SystemExit


def test_no_price_outlives_the_rows_that_made_it(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = stage_rounds(engine, turns=4, last=YESTERDAY)
    process_events()
    retrain_model()
    assert prices_in(engine)
    keep_books = books.record_training

    def leave_before(*arguments: Any, **more: Any) -> Any:
        leave(engine, min(people))
        return keep_books(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(books, "record_training", leave_before)
        assert retrain_model().sentence.startswith("Not used: 1 of those")
    assert not prices_in(engine)
    retrain_model()
    assert prices_in(engine)
    with writing(engine) as connection:
        connection.execute(delete(matches))

    assert retrain_model().candidate is None

    assert not prices_in(engine)


def prices_in(engine: Engine) -> dict[str, Any]:
    with reading(engine) as connection:
        return shadow_prices.read(connection, published=False)
