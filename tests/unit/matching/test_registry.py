"""On a real MLflow store in an empty directory, made once for all tests of this module."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from matching import card, figures, story
from matching.model import first_champion, score
from matching.registry import ModelDiffers, Registry
from matching.training import Retraining, retrain
from matching.versions import Recorded
from schemas.errors import NotRegistered
from tests.unit.matching.evenings import as_training, simulated

AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIGESTS: dict[str, Any] = {"training_digest": "a" * 64, "consent_digest": "b" * 64}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def training() -> pd.DataFrame:
    return as_training(simulated(6, seed=31))


@pytest.fixture(scope="module")
def found(training: pd.DataFrame) -> Retraining:
    return retrain(training, first_champion(), seed=0)


@pytest.fixture
def registry(store: Path, request: pytest.FixtureRequest) -> Registry:
    """A model of its own for each test in the store of all."""
    return Registry(f"sqlite:///{store}/mlflow.db", store.as_uri(), request.node.name[:60])


@pytest.fixture
def learned(registry: Registry, found: Retraining) -> Recorded:
    registry.register_first_champion()
    extra = {"turns": 3.0, "why": "nightly"}
    return introduced(registry, registry.record(found, as_of=AS_OF, extra=extra, **DIGESTS))


def introduced(registry: Registry, recorded: Recorded) -> Recorded:
    names = {"champion": recorded.champion_version}
    old, new = registry.champion()[1], recorded.version
    names |= {"previous": old} if recorded.promoted else {"challenger": new}
    registry.follow(lambda: names)
    return recorded


def artifacts(store: Path, run: str) -> dict[str, Path]:
    (folder,) = store.glob(f"**/{run}/artifacts")
    return {path.name: path for path in folder.iterdir()}


def test_version_one_is_registered_once_and_is_the_champion(registry: Registry) -> None:
    with pytest.raises(NotRegistered):
        registry.champion()

    assert registry.register_first_champion() == registry.register_first_champion() == "1"

    model, version = registry.champion()
    assert (model.digest, version) == (first_champion().digest, "1")
    assert [one.aliases for one in registry.versions()] == [("champion",)]


def test_promotion_moves_the_names_and_keeps_the_story(
    registry: Registry, learned: Recorded, found: Retraining, store: Path
) -> None:
    assert (learned.promoted, learned.version, learned.champion_version) == (True, "2", "2")
    newest, oldest = registry.versions()
    assert (newest.aliases, oldest.aliases) == (("champion",), ("previous",))
    assert newest.digest == found.model.digest == registry.champion()[0].digest
    assert newest.sentence == found.verdict.sentence
    run = mlflow.MlflowClient(registry.tracking_uri).get_run(learned.run_id)
    assert run.data.metrics["gain"] == round(found.metrics["gain"], 6)
    assert run.data.metrics["turns"] == 3
    assert run.data.tags["consent_digest"] == "b" * 64
    assert run.data.params["digest"] == found.model.digest
    assert run.inputs is not None
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.digest == "a" * 36
    kept = artifacts(store, learned.run_id)
    assert {"gate.png", "calibration.png", "weights.png", "model_card.md"} <= set(kept)
    assert found.verdict.sentence in kept["model_card.md"].read_text()
    assert json.loads(kept["verdict.json"].read_text())["promote"] is True


def test_a_list_of_runs_and_versions_tells_the_story(
    registry: Registry, learned: Recorded, found: Retraining
) -> None:
    client = mlflow.MlflowClient(registry.tracking_uri)
    experiment = client.get_experiment_by_name(registry.model_name)
    run = client.get_run(learned.run_id)
    version = client.get_model_version(registry.model_name, learned.version)

    assert experiment is not None
    assert "One run a retraining" in experiment.tags["mlflow.note.content"]
    gain = f"{found.metrics['gain']:+.4f}"
    assert run.info.run_name.startswith(f"v2 promoted {gain}, ")
    assert run.info.run_name.endswith(f", {AS_OF:%Y-%m-%d %H:%M}")
    named = client.get_registered_model(registry.model_name)
    assert "champion" in named.description
    for tags in (run.data.tags, version.tags):
        assert tags["gate"] == "promoted"
        checks = [name for name in tags if name.startswith("gate.")]
        assert len(checks) == len(found.verdict.checks)
        assert not any("_" in name for name in checks)
    sides = found.slices[found.slices["slicing"] == "side"]
    for row in sides[sides["label"] != ""].itertuples():
        assert run.data.metrics[f"side/{row.label}/rows"] == row.rows
    assert any(name.startswith("slice/") for name in run.data.metrics)
    for section in ("Intended use", "Data and consent", "Limits", "Checks"):
        assert f"## {section}" in version.description


def test_a_refresh_is_named_as_one_because_its_gain_over_the_champion_says_little(
    found: Retraining,
) -> None:
    first, *others = found.verdict.checks
    checks = (replace(first, name="record"), *others)
    refresh = replace(found, verdict=replace(found.verdict, checks=checks))

    assert story.run_name(refresh, "7", AS_OF).startswith("v7 promoted refresh, ")


def test_the_plot_of_the_gate_calls_the_sides_by_names(found: Retraining) -> None:
    (axes,) = figures.gate_figure(found).axes

    names = {label.get_text() for label in axes.get_yticklabels()}
    assert {"first side", "second side", "all"} <= names
    assert not any(name.startswith("side:") for name in names)


def test_a_card_too_long_for_a_description_ends_with_a_whole_section() -> None:
    long = "# Card\n\n## One\n\n" + "a" * 3_000 + "\n\n## Two\n\n" + "b" * 3_000

    kept = card.as_description(long)

    assert "## One" in kept
    assert "b" not in kept.split("The whole card")[0]
    assert len(kept) < 5_000
    assert card.as_description("short") == "short"


def test_refusal_is_recorded_like_a_promotion_and_the_champion_stays(
    registry: Registry, learned: Recorded, found: Retraining, training: pd.DataFrame
) -> None:
    again = retrain(training, found.model, seed=0)

    refused = introduced(registry, registry.record(again, as_of=AS_OF, **DIGESTS))

    assert (refused.promoted, refused.champion_version) == (False, "2")
    # Nobody is new: what is told of fewer people than are needed is that they were too few.
    run = mlflow.MlflowClient(registry.tracking_uri).get_run(refused.run_id)
    assert set(run.data.metrics) == {"width_share"}
    assert "decisions of fewer than 12 people" in run.data.tags["sentence"]
    assert registry.champion()[1] == "2"
    newest = registry.versions()[0]
    assert (newest.aliases, newest.promoted) == (("challenger",), False)
    assert newest.sentence.startswith("Kept the champion")


def test_rollback_is_exact_and_can_be_undone(
    registry: Registry, learned: Recorded, found: Retraining, training: pd.DataFrame
) -> None:
    before = score(first_champion(), training)

    registry.follow(lambda: {"champion": "1", "previous": "2"})
    model, version = registry.champion()
    assert version == "1"
    pd.testing.assert_frame_equal(score(model, training), before, check_exact=True)
    registry.follow(lambda: {"champion": "2", "previous": "1"})
    assert registry.champion()[0].digest == found.model.digest


def test_who_names_is_told_again_after_each_write(registry: Registry) -> None:
    registry.register_first_champion()
    registry.register_first()
    told = [{"champion": "2", "previous": "1"}, {"champion": "1", "challenger": "2"}]

    registry.follow(lambda: told.pop(0) if len(told) > 1 else told[0])

    assert [one.aliases for one in registry.versions()] == [("challenger",), ("champion",)]


def test_a_version_that_is_not_there_gets_no_name_and_loses_it_to_nobody(
    registry: Registry,
) -> None:
    registry.register_first_champion()

    registry.follow(lambda: {"champion": "7", "previous": "6"})

    assert [one.aliases for one in registry.versions()] == [("champion",)]


def test_retraining_that_made_no_model_is_recorded_without_a_version(registry: Registry) -> None:
    registry.register_first_champion()

    run = registry.record_refusal("Too few decisions.", as_of=AS_OF, metrics={"rows": 3}, **DIGESTS)

    tags = mlflow.MlflowClient(registry.tracking_uri).get_run(run).data.tags
    assert tags["sentence"] == "Too few decisions."
    assert [one.version for one in registry.versions()] == ["1"]


def test_stored_model_that_was_changed_is_not_loaded(
    registry: Registry, learned: Recorded, store: Path
) -> None:
    registry.champion()
    (path,) = [
        one
        for one in store.glob("**/smartmatch.json")
        if learned.run_id in (one.parents[1] / "MLmodel").read_text()
    ]
    whole = path.read_text()
    path.write_text(whole.replace('"trained_rows":1728', '"trained_rows":1729'))

    with pytest.raises(ModelDiffers):
        registry.champion()
    with pytest.raises(ModelDiffers):
        registry.scorer()


def test_nothing_that_is_stored_is_pickled_or_holds_a_row(
    registry: Registry, learned: Recorded, store: Path, training: pd.DataFrame
) -> None:
    names = {path.suffix for path in store.rglob("*") if path.is_file()}
    people = [f'"{one}"'.encode() for one in training["subject"].unique()]

    assert not names & {".pkl", ".pickle", ".joblib", ".cloudpickle"}
    for path in store.rglob("*"):
        if path.is_file() and path.suffix != ".db":
            assert not any(one in path.read_bytes() for one in people), path.name


def test_plain_process_scores_by_the_alias_as_this_one_does(
    registry: Registry, learned: Recorded, training: pd.DataFrame, tmp_path: Path
) -> None:
    frame = training.drop(columns=["accepted", "rating", "occurred_at"]).head(40)
    frame.to_pickle(tmp_path / "frame.pkl")
    code = (
        "import sys, mlflow, pandas as pd\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "model = mlflow.pyfunc.load_model(f'models:/{sys.argv[2]}@champion')\n"
        "out = model.predict(pd.read_pickle(sys.argv[3]))\n"
        "out.to_json(sys.argv[4], double_precision=15)\n"
    )
    arguments = [registry.tracking_uri, registry.model_name, "frame.pkl", "out.json"]
    arguments[2:] = [str(tmp_path / name) for name in arguments[2:]]
    environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "", "HOME": str(tmp_path)}

    subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=True, timeout=120, cwd=tmp_path, env=environment,
    )  # fmt: skip

    assert registry.scorer().predict(frame).equals(score(registry.champion()[0], frame))
    scored = pd.read_json(tmp_path / "out.json")
    assert scored.to_numpy() == pytest.approx(
        score(registry.champion()[0], frame).to_numpy(), abs=1e-12, nan_ok=True
    )


def test_signature_asks_for_the_score_alone_and_takes_whole_numbers(
    registry: Registry, learned: Recorded
) -> None:
    model = mlflow.pyfunc.load_model(f"models:/{registry.model_name}@champion")

    bare = model.predict(pd.DataFrame({"match_score": [0.2, 0.9]}))
    whole = model.predict(
        pd.DataFrame(
            {
                "match_score": [0.5, 0.5],
                "constraint:pace": [0, 1],
                "parameter:side": [0, 1],
                "subject": [4, 5],
                "match_key": ["m", "m"],
            }
        )
    )

    assert bare["p_accept"].is_monotonic_increasing
    assert whole["p_mutual"].notna().all()
    assert whole["p_accept"].is_monotonic_increasing
    with pytest.raises(mlflow.exceptions.MlflowException):
        model.predict(pd.DataFrame({"constraint:pace": [np.nan]}))


def test_old_deleted_runs_are_found_behind_any_number_of_younger_ones(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matching.registry._MOST_RUNS", 2)
    registry.register_first_champion()
    client = mlflow.MlflowClient(registry.tracking_uri)
    experiment = client.get_experiment_by_name(registry.model_name)
    assert experiment is not None
    made = []
    for age in (900, 1, 2, 3, 4):
        at = round((time.time() - age * 86_400) * 1_000)
        run = client.create_run(experiment.experiment_id, start_time=at).info.run_id
        client.set_terminated(run, end_time=at)
        client.delete_run(run)
        made.append(run)

    before = datetime.now(UTC) - timedelta(days=180)

    assert registry.deleted_runs(before) == made[:1]
    assert registry.forget_deleted_runs(before) == 1
    assert registry.deleted_runs(before) == []
    assert len(registry.deleted_runs(datetime.now(UTC))) == 4
