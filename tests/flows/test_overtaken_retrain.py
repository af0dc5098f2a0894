"""Retrains that another one overtakes, or somebody who leaves: what is in use is not theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, select, update

from flows.process_events import process_events
from flows.retrain_model import retrain_model
from installation import set_up_database
from matching import insisting
from matching import training as learning
from matching.handback import weights_document
from matching.model import first_champion
from matching.registry import Registry
from schemas.errors import LeaseLost, NotReady
from schemas.tables import leases, matches, training_sets
from tasks import training as steps
from tests.flows.conftest import stage_rounds
from tests.flows.test_retrain_model import YESTERDAY, leave, open_registry, prices_in
from warehouse import training as books
from warehouse import weights
from warehouse.engine import reading, writing
from warehouse.lineage import owed_since

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.settings import Settings


def overtaken(engine: Engine, call: Any, when: Any = None) -> Any:
    """Return a call before which another run takes the lease, as if it had run out."""

    def called(*arguments: Any, **more: Any) -> Any:
        if when is None or when():
            with writing(engine) as connection:
                connection.execute(update(leases).values(fence=leases.c.fence + 1))
        return call(*arguments, **more)

    return called


def in_use(settings: Settings, engine: Engine) -> dict[str, Any]:
    """What only the holder of the lease may change."""
    registry = open_registry(settings)
    with reading(engine) as connection:
        return {
            "names": {entry.version: entry.aliases for entry in registry.versions()},
            "files": sorted(settings.artifacts.rglob("*")),
            "published": weights.published(connection),
            "books": connection.execute(select(training_sets)).all(),
        }


@pytest.mark.parametrize(
    ("where", "name"), [(learning, "retrain"), (Registry, "record"), (books, "record_training")]
)
def test_a_retrain_that_lost_its_lease_changes_nothing(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, where: Any, name: str
) -> None:
    stage_rounds(engine, turns=4, last=YESTERDAY)
    process_events()
    before = in_use(installed, engine)

    monkeypatch.setattr(where, name, overtaken(engine, getattr(where, name)))
    with pytest.raises(LeaseLost):
        retrain_model()

    assert in_use(installed, engine) == before


@pytest.mark.parametrize(
    ("name", "nth"), [("publish_weights", 1), ("publish_weights", 2), ("condemn", 1)]
)
def test_no_step_back_promotion_or_deletion_comes_from_a_retrain_that_lost_its_lease(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, name: str, nth: int
) -> None:
    people = stage_rounds(engine, turns=4, last=YESTERDAY)
    process_events()
    assert retrain_model().version == "2"
    leave(engine, min(people))
    seen: list[dict[str, Any]] = []

    def note() -> bool:
        seen.append(in_use(installed, engine))
        return len(seen) == nth

    monkeypatch.setattr(books, name, overtaken(engine, getattr(books, name), note))
    with pytest.raises(LeaseLost):
        retrain_model()

    assert len(seen) == nth
    assert in_use(installed, engine) == seen[-1]


def test_where_somebody_deleted_the_first_champion_the_way_back_makes_it_anew(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a run that holds its lease: one that was overtaken registers nothing."""
    people = stage_rounds(engine, turns=4, last=YESTERDAY)
    process_events()
    assert retrain_model().version == "2"
    registry = open_registry(installed)
    registry._client.delete_model_version(registry.model_name, "1")
    leave(engine, min(people))
    with monkeypatch.context() as patch:
        patch.setattr(steps, "_learned", overtaken(engine, steps._learned))
        with pytest.raises(LeaseLost):
            retrain_model()
    assert [entry.version for entry in registry.versions()] == ["2"]
    with writing(engine) as connection:
        connection.execute(update(leases).values(expires_at=0))
        connection.execute(delete(matches))

    assert retrain_model().candidate is None

    names = {entry.version: entry.aliases for entry in registry.versions()}
    assert names == {"3": ("champion",)}
    assert registry.champion()[0].digest == first_champion().digest
    published = weights.newest(engine)
    assert published is not None
    assert (published.version, owed_since(engine)) == ("3", None)


def test_what_was_published_and_not_named_is_named_by_the_next_retrain(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_rounds(engine, turns=4, last=YESTERDAY)
    process_events()
    with monkeypatch.context() as patch:
        patch.setattr(Registry, "_point", _die)
        with pytest.raises(SystemExit):
            retrain_model()
    assert open_registry(installed).champion()[1] == "1"
    with writing(engine) as connection:
        connection.execute(delete(matches))

    assert retrain_model().candidate is None

    names = {entry.version: entry.aliases for entry in open_registry(installed).versions()}
    assert names == {"2": ("champion",), "1": ("previous",)}


def _die(*_arguments: Any) -> None:
    raise SystemExit


def test_a_version_whose_person_leaves_before_it_is_published_is_never_used(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = stage_rounds(engine, turns=4, last=YESTERDAY)
    process_events()

    def leave_meanwhile(*told: Any) -> str:
        leave(engine, min(people))
        return weights_document(*told)

    monkeypatch.setattr(steps, "weights_document", leave_meanwhile)
    retrained = retrain_model()

    assert (retrained.promoted, retrained.version, retrained.candidate) == (False, "1", "2")
    assert retrained.sentence.startswith("Not used: somebody")
    assert [one.version for one in open_registry(installed).versions()] == ["1"]
    assert owed_since(engine) is not None


def test_the_first_champion_is_registered_once_though_it_could_not_be_published_at_once(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_DATABASE_URL", settings.url.get_secret_value())
    set_up_database(settings)
    publish, tries = books.publish_weights, list[str]()

    def unanswered_once(engine: Engine, version: str, *rest: Any, **more: Any) -> bool:
        tries.append(version)
        if len(tries) == 1:
            raise NotReady("the database did not answer")
        return publish(engine, version, *rest, **more)

    monkeypatch.setattr(books, "publish_weights", unanswered_once)
    retrain_model()

    names = {entry.version: entry.aliases for entry in open_registry(settings).versions()}
    assert (names, tries) == ({"1": ("champion",)}, ["1", "1"])


def test_no_price_is_kept_of_somebody_who_leaves_while_it_is_made(
    installed: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = stage_rounds(engine, turns=4, last=YESTERDAY)
    process_events()
    price = insisting.price_constraints

    def leave_meanwhile(*arguments: Any, **more: Any) -> Any:
        found = price(*arguments, **more)
        assert found
        leave(engine, min(people))
        return found

    monkeypatch.setattr(insisting, "price_constraints", leave_meanwhile)

    assert retrain_model().promoted
    assert not prices_in(engine)
