"""A model that is not the one that was registered is refused before it is loaded."""

from __future__ import annotations

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pytest

from matching.model import first_champion
from matching.registry import CHAMPION, ModelDiffers, Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.conftest import Tally

pytestmark = pytest.mark.promise(
    "a tampered model or a pickle in the registry is never loaded by our code"
)


class _Marker:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (self._path, "w"))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    made = Registry(f"sqlite:///{tmp_path}/mlflow.db", (tmp_path / "artifacts").as_uri())
    made.register_first_champion()
    return made


def _stored(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "artifacts").glob("**/smartmatch.json")
    return path


TAMPERED = {
    "a coefficient": lambda text: text.replace("0.", "1.", 1),
    "another model": lambda text: text[:-1] + " }",
    "a cut file": lambda text: text[: len(text) // 2],
    "an empty file": lambda _text: "",
    "no JSON": lambda _text: "cos\nsystem\n(S'true'\ntR.",
    "deep nesting": lambda _text: "[" * 100_000,
    "wrong types": lambda _text: '{"kind": 7}',
}


def test_artefact_that_was_changed_is_refused(
    registry: Registry, tmp_path: Path, tally: Tally
) -> None:
    path = _stored(tmp_path)
    sound = path.read_text()
    for what, change in TAMPERED.items():
        path.write_text(change(sound))
        assert what == "another model" or path.read_text() != sound
        try:
            loaded, _ = registry.champion()
        except ModelDiffers:
            tally.count()
        else:
            same = loaded.digest == first_champion().digest
            tally.count(None if same else f"{what} was loaded")
    path.write_text(sound)

    assert registry.champion()[0].digest == first_champion().digest
    assert tally.failures == []


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("put", [_pipe, _huge, Path.mkdir])
def test_artefact_that_is_no_file_of_a_model_is_refused_at_once(
    registry: Registry, tmp_path: Path, tally: Tally, put: Callable[[Path], None]
) -> None:
    path = _stored(tmp_path)
    path.unlink()
    put(path)

    # By a reader of its own, which a pipe would hold for good.
    with ThreadPoolExecutor(1) as reader:
        found = reader.submit(registry.champion)
        try:
            refused = isinstance(found.exception(timeout=30), ModelDiffers)
        except TimeoutError:
            refused = False
            path.write_bytes(b"")
    tally.count(None if refused else f"{put.__name__} was read")
    assert tally.failures == []


def test_pickle_in_the_registry_is_never_opened(
    registry: Registry, tmp_path: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = tmp_path / "opened"
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "model.pkl").write_bytes(pickle.dumps(_Marker(str(opened))))
    (evil / "MLmodel").write_text(
        "flavors:\n"
        "  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n"
        "    predict_fn: predict\n"
        "  sklearn:\n    pickled_model: model.pkl\n    serialization_format: pickle\n"
        "    sklearn_version: 1.9.0\n"
    )
    client = mlflow.MlflowClient(registry.tracking_uri, registry.tracking_uri)
    digest = first_champion().digest
    version = client.create_model_version(
        "smartmatch", evil.as_uri(), tags={"model_digest": digest}
    ).version
    client.set_registered_model_alias("smartmatch", CHAMPION, version)

    with pytest.raises(ModelDiffers):
        registry.scorer()
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    with pytest.raises(mlflow.exceptions.MlflowException, match=r"(?i)pickle"):
        mlflow.pyfunc.load_model("models:/smartmatch@champion")
    tally.count("the pickle was opened" if opened.exists() else None, trials=2)
    pickle.loads((evil / "model.pkl").read_bytes())
    tally.mutant_caught = opened.exists()

    assert tally.failures == []
    assert tally.mutant_caught
    client.set_registered_model_alias("smartmatch", CHAMPION, "1")
    assert registry.champion()[0].digest == digest
