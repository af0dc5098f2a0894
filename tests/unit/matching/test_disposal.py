"""Versions that have no ground any more: taken out of use, and gone to the last file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient, MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.store.tracking import sqlalchemy_store

from matching import disposal, garbage
from matching.disposal import abandoned, dispose, earlier
from matching.model import first_champion
from matching.registry import Registry
from matching.training import Retraining, retrain
from schemas.errors import NotReady, NotRegistered
from tests.unit.matching.evenings import as_training, simulated

AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIGESTS: dict[str, Any] = {"training_digest": "a" * 64, "consent_digest": "b" * 64}


@pytest.fixture(scope="module")
def found() -> Retraining:
    return retrain(as_training(simulated(6, seed=31)), first_champion(), seed=0)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(f"sqlite:///{tmp_path}/mlflow.db", (tmp_path / "artifacts").as_uri())


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_version_without_ground_is_taken_out_of_use_and_deleted_to_the_last_byte(
    registry: Registry, found: Retraining, tmp_path: Path
) -> None:
    first = registry.register_first_champion()
    assert earlier(registry, {"9"}, {first}) is None
    learned = registry.record(found, as_of=AS_OF, **DIGESTS)
    assert learned.promoted
    # Nothing comes into use before its books are kept.
    assert registry.champion()[1] == first
    registry.follow(lambda: {"champion": learned.version, "previous": first})
    assert registry.champion()[1] == learned.version
    (version,) = registry._client.search_model_versions(f"version_number = {learned.version}")
    model = version.source.removeprefix("models:/").encode()
    digests = [digest.encode() for digest in DIGESTS.values()]
    marks = [found.model.digest.encode(), b"turns-of-the-canary", found.model.to_json().encode()]
    marks += [learned.run_id.encode(), model, *digests]
    canary = ("canary", "turns-of-the-canary")
    registry._client.set_tag(learned.run_id, *canary)
    registry._client.set_model_version_tag(registry.model_name, learned.version, *canary)
    model = model_of(registry, learned.version).encode()
    held = everything(tmp_path)
    assert all(mark in held for mark in marks)
    with pytest.raises(ValueError, match="champion"):
        dispose(registry, [learned.version])

    assert earlier(registry, {learned.version}, {learned.version}) == first
    registry.follow(lambda: {"champion": first})
    assert dispose(registry, [learned.version]) == [learned.version]
    assert dispose(registry, [learned.version]) == []

    left = everything(tmp_path)
    assert [mark for mark in marks if mark in left] == []
    names = " ".join(str(path) for path in tmp_path.rglob("*"))
    assert [mark for mark in marks if mark.decode() in names] == []
    assert [(entry.version, entry.aliases) for entry in registry.versions()] == [
        (first, ("champion",))
    ]
    assert registry.champion()[0].digest == first_champion().digest
    with pytest.raises(NotRegistered):
        registry.load(learned.version)
    again = registry.record(found, as_of=AS_OF, **DIGESTS)
    assert int(again.version) > int(learned.version)


@pytest.mark.parametrize("status", ["RUNNING", "FAILED"])
def test_what_a_retrain_learned_that_was_stopped_before_it_had_a_version_is_deleted(
    registry: Registry,
    found: Retraining,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
) -> None:
    registry.register_first_champion()
    whole = registry.record(found, as_of=AS_OF, **DIGESTS)
    refusal = registry.record_refusal("Too few decisions.", as_of=AS_OF, **DIGESTS)
    assert abandoned(registry) == []
    monkeypatch.setattr(registry._client, "create_model_version", _stop)
    with pytest.raises(OSError, match="stopped"):
        registry.record(found, as_of=AS_OF, **DIGESTS)
    (run,) = abandoned(registry)
    registry._client.update_run(run, status=status)
    assert abandoned(registry) == [run]
    assert run.encode() in everything(tmp_path)

    assert dispose(registry, [], [run]) == []

    assert abandoned(registry) == []
    assert run.encode() not in everything(tmp_path)
    assert run not in " ".join(str(path) for path in tmp_path.rglob("*"))
    assert {entry.run_id for entry in registry.versions()} >= {whole.run_id}
    assert registry.load(whole.version)[0].digest == found.model.digest
    assert registry._client.get_run(refusal).info.status == "FINISHED"


def test_a_retrain_that_was_stopped_is_found_behind_any_number_of_other_runs(
    registry: Registry, found: Retraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register_first_champion()
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_register", _stop)
        with pytest.raises(OSError, match="stopped"):
            registry.record(found, as_of=AS_OF, **DIGESTS)
    (run,) = abandoned(registry)
    (experiment,) = registry._client.search_experiments(filter_string="name = 'smartmatch'")
    for _ in range(5):
        registry._client.create_run(experiment.experiment_id)

    monkeypatch.setattr(disposal, "_PAGE", 2)

    assert abandoned(registry) == [run]


@pytest.mark.parametrize("purged", [False, True])
def test_what_a_version_learned_that_somebody_deleted_in_mlflows_pages_is_deleted(
    registry: Registry, found: Retraining, tmp_path: Path, *, purged: bool
) -> None:
    registry.register_first_champion()
    kept = registry.register_model(found.model, "As good as another.")
    learned = registry.record(found, as_of=AS_OF, **DIGESTS)
    model = found.model.to_json().encode()
    registry._client.delete_model_version(registry.model_name, learned.version)
    if purged:
        registry._client.delete_run(learned.run_id)
        assert registry.forget_deleted_runs(datetime(2100, 1, 1, tzinfo=UTC)) == 1
    assert everything(tmp_path).count(model) == 2

    dispose(registry, [], abandoned(registry))

    assert everything(tmp_path).count(model) == 1
    assert registry.load(kept)[0].digest == found.model.digest
    assert abandoned(registry) == []


def _stop(*_given: Any, **_more: Any) -> None:
    raise OSError("stopped")


def test_the_way_back_leads_past_every_marked_version(
    registry: Registry, found: Retraining
) -> None:
    with pytest.raises(NotRegistered):
        earlier(registry, set(), set())
    first = registry.register_first_champion()
    second, third, fourth = (registry.record(found, as_of=AS_OF, **DIGESTS) for _ in range(3))
    registry.follow(lambda: {"champion": fourth.version})
    every = {second.version, third.version, fourth.version}

    assert earlier(registry, {fourth.version, third.version}, every) == second.version
    assert earlier(registry, every, every) == first
    assert earlier(registry, set(), every) is None
    # What is published no more is about to be deleted.
    assert earlier(registry, {fourth.version}, every - {third.version}) == second.version
    assert earlier(registry, {fourth.version}, set()) == first
    # Nor does it lead forward, to one that was rolled back.
    registry.follow(lambda: {"champion": third.version})
    assert earlier(registry, {third.version}, every) == second.version


def test_the_way_back_leads_to_the_first_champion_anew_where_it_was_deleted(
    registry: Registry, found: Retraining
) -> None:
    first = registry.register_first_champion()
    learned = registry.record(found, as_of=AS_OF, **DIGESTS)
    registry.follow(lambda: {"champion": learned.version})
    registry._client.delete_model_version(registry.model_name, first)

    back = earlier(registry, {learned.version}, {learned.version})

    assert back is not None
    assert registry.load(back)[0].digest == first_champion().digest
    # Whoever was stopped before it came into use finds it again.
    assert earlier(registry, {learned.version}, {learned.version}) == back
    assert earlier(registry, set(), {learned.version}) is None


@pytest.mark.parametrize("nth", [1, 2])
def test_a_busy_store_is_told_and_what_it_keeps_of_a_version_goes_the_next_time(
    registry: Registry,
    found: Retraining,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    nth: int,
) -> None:
    """Busy when its run is gone, or only when the version itself is."""
    registry.register_first_champion()
    learned = registry.record(found, as_of=AS_OF, **DIGESTS)
    canary = ("canary", "turns-of-the-canary")
    registry._client.set_tag(learned.run_id, *canary)
    registry._client.set_model_version_tag(registry.model_name, learned.version, *canary)
    model = model_of(registry, learned.version).encode()

    with monkeypatch.context() as patch:
        patch.setattr(garbage, "sweep", busy_at(nth, tmp_path, patch))
        with pytest.raises(NotReady, match="SQLITE_BUSY"):
            dispose(registry, [learned.version])
    listed = {entry.version for entry in registry.versions()}
    assert (learned.version in listed) == (nth == 1)

    dispose(registry, [learned.version])

    left = everything(tmp_path)
    assert [mark for mark in (b"turns-of-the-canary", model) if mark in left] == []


def test_a_busy_store_is_told_and_what_it_keeps_of_a_run_goes_the_next_time(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register_first_champion()
    run = registry.record_refusal("x" * 400, as_of=AS_OF, **DIGESTS)
    registry._client.delete_run(run)
    later = datetime(2100, 1, 1, tzinfo=UTC)

    with monkeypatch.context() as patch:
        patch.setattr(garbage, "sweep", busy_at(1, tmp_path, patch))
        with pytest.raises(NotReady, match="SQLITE_BUSY"):
            registry.forget_deleted_runs(later)
    assert run.encode() in everything(tmp_path)
    assert registry.forget_deleted_runs(later) == 0

    assert run.encode() not in everything(tmp_path)


def busy_at(nth: int, folder: Path, patch: pytest.MonkeyPatch) -> Any:
    """Return the sweep of a store that somebody reads when it is swept for the nth time."""
    patch.setattr(garbage, "_PATIENCE_SECONDS", 0.1)
    sweep, sweeps = garbage.sweep, list[str]()

    def swept(uri: str) -> None:
        sweeps.append(uri)
        with closing(sqlite3.connect(folder / "mlflow.db", isolation_level=None)) as reader:
            if len(sweeps) == nth:
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM runs").fetchone()
            sweep(uri)

    return swept


def model_of(registry: Registry, version: str) -> str:
    (found,) = registry._client.search_model_versions(f"version_number = {version}")
    return str(found.source.removeprefix("models:/"))


def test_files_of_a_version_go_however_many_were_registered_after_it(
    registry: Registry, found: Retraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlalchemy_store, "SEARCH_LOGGED_MODEL_MAX_RESULTS_DEFAULT", 1)
    registry.register_first_champion()
    old, _, _ = (registry.record(found, as_of=AS_OF, **DIGESTS) for _ in range(3))
    model = model_of(registry, old.version)
    assert model.encode() in everything(tmp_path)

    dispose(registry, [old.version])

    assert model.encode() not in everything(tmp_path)
    assert not list(tmp_path.rglob(model))


def test_store_that_fails_for_a_moment_keeps_the_version_for_the_next_try(
    registry: Registry, found: Retraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register_first_champion()
    learned = registry.record(found, as_of=AS_OF, **DIGESTS)

    def locked(*_: object) -> None:
        raise MlflowException("database is locked", TEMPORARILY_UNAVAILABLE)

    for name in ("delete_run", "delete_logged_model"):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, name, locked)
            with pytest.raises(MlflowException):
                dispose(registry, [learned.version])

    assert dispose(registry, [learned.version]) == [learned.version]
    assert learned.run_id.encode() not in everything(tmp_path)
    assert found.model.to_json().encode() not in everything(tmp_path)
