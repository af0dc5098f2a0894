"""Setting up an installation: the first champion, its weights, and a registry that was a demo's."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest

from installation import clear_registry, roll_back, set_up_database, set_up_model, step_back
from matching.disposal import dispose
from matching.model import first_champion
from operation.up import run_up
from schemas.errors import NotReady
from schemas.settings import DEMO_MARK, Settings
from tasks.opening import registry_of
from warehouse import weights
from warehouse.backups import back_up, put_back
from warehouse.engine import connect
from warehouse.keyfile import has_ring
from warehouse.training import publish_weights

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


@pytest.mark.parametrize("deleted", [False, True])
def test_what_a_restored_database_publishes_is_what_the_registry_calls_champion(
    tmp_path: Path, *, deleted: bool
) -> None:
    """The backup is of when version 2 was in use, which was rolled back since, or deleted too."""
    settings = Settings(home=tmp_path)
    set_up_model(settings)
    registry, engine = registry_of(settings), connect(settings.url)
    registry.register_model(first_champion(), "The same again.", {"promoted": "true"})
    publish_weights(engine, "2", "{}", at=datetime.now(UTC))
    registry.follow(partial(weights.aliases, engine))
    back_up(engine, tmp_path / "backup.db")
    assert roll_back(settings) == "1"
    if deleted:
        dispose(registry, ["2"])
    put_back(engine, tmp_path / "backup.db", settings.keys)

    changed = step_back(settings)

    published, in_use = weights.newest(engine), registry.champion()[1]
    engine.dispose()
    assert published is not None
    assert (changed, published.version, in_use) == (("1",) * 3 if deleted else ("2",) * 3)


def test_a_restored_database_that_publishes_nothing_publishes_the_champion(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    set_up_database(settings)
    engine = connect(settings.url)
    back_up(engine, tmp_path / "backup.db")
    set_up_model(settings)
    put_back(engine, tmp_path / "backup.db", settings.keys)

    changed, published = step_back(settings), weights.newest(engine)
    engine.dispose()

    assert published is not None
    assert changed == published.version == registry_of(settings).champion()[1] == "1"
