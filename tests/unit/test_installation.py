"""Setting up an installation: the first champion, its weights, and a registry that was a demo's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from installation import clear_registry, set_up_model
from operation.up import run_up
from schemas.errors import NotReady
from schemas.settings import DEMO_MARK, Settings
from tasks.opening import registry_of
from warehouse import weights
from warehouse.engine import connect
from warehouse.keyfile import has_ring

if TYPE_CHECKING:
    from pathlib import Path


def test_a_cleared_registry_holds_nothing_but_the_mark_of_its_directory(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    (settings.artifacts / "1" / "model").mkdir(parents=True)
    for name in (".gitkeep", DEMO_MARK, "mlflow.db", "artifacts/1/model/MLmodel"):
        (settings.mlruns / name).write_text("x", encoding="utf-8")

    clear_registry(settings)

    assert [path.name for path in settings.mlruns.iterdir()] == [".gitkeep"]


def test_an_empty_home_gets_a_champion_whose_weights_are_published(
    tmp_path: Path,
) -> None:
    settings = Settings(home=tmp_path)
    (settings.mlruns / "left-by-the-demo").mkdir(parents=True)
    (settings.mlruns / DEMO_MARK).touch()

    first, second = set_up_model(settings), set_up_model(settings)

    engine = connect(settings.url)
    published = weights.newest(engine)
    engine.dispose()
    assert (first, second) == ("1", "1")
    assert has_ring(settings.keys)
    assert not (settings.mlruns / "left-by-the-demo").exists()
    assert not (settings.mlruns / DEMO_MARK).exists()
    assert published is not None
    assert published.version == "1"
    assert msgspec.json.decode(published.document)


def test_what_the_demo_made_stays_while_its_own_database_is_used(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, data_directory=tmp_path / "data" / "demo")
    for made in (settings.data, settings.mlruns):
        made.mkdir(parents=True)
        (made / DEMO_MARK).touch()
    (settings.mlruns / "left-by-the-demo").mkdir()

    set_up_model(settings)

    assert (settings.mlruns / "left-by-the-demo").exists()
    assert (settings.mlruns / DEMO_MARK).exists()


def test_what_the_demo_made_is_kept_from_the_registry_of_a_platform(tmp_path: Path) -> None:
    demo = Settings(home=tmp_path, data_directory=tmp_path / "data" / "demo")
    for made in (demo.data, demo.mlruns):
        made.mkdir(parents=True)
        (made / DEMO_MARK).touch()
    set_up_model(Settings(home=tmp_path))

    for use in (set_up_model, registry_of, run_up):
        with pytest.raises(NotReady, match="run `smartmatch demo` again"):
            use(demo)
