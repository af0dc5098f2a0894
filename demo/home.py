"""Where the demo lives: a data directory of its own, and the home's registry while it is free."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from installation import clear_registry
from schemas.settings import DEMO_MARK

if TYPE_CHECKING:
    from schemas.settings import Settings


def prepare_home(settings: Settings) -> Settings:
    """Empty the demo's own directory, choose its registry, and say so in the environment.

    The registry of the home is used while no platform has its models there, so that
    ``models:/smartmatch@champion`` is found where it will always be; else the demo has one of
    its own under ``data/demo``.
    """
    own = settings.data / "demo"
    if own.exists():
        shutil.rmtree(own)
    own.mkdir(parents=True)
    home = own if _is_a_platforms(settings) else settings.home
    moved: dict[str, Any] = {"home": home, "data_directory": own}
    # What an operator set for their own would hold for the demo too.
    if settings.database_url is not None:
        moved["database_url"] = SecretStr(f"sqlite:///{own / 'smartmatch.db'}")
    if settings.key_directory is not None:
        moved["key_directory"] = own / "keys"
    demo = settings.model_copy(update=moved)
    demo.mlruns.mkdir(parents=True, exist_ok=True)
    clear_registry(demo)
    for made in (own, demo.mlruns):
        (made / DEMO_MARK).touch()
    os.environ.update(environment(demo), PREFECT_HOME=str(own / "prefect"))
    return demo


def environment(demo: Settings) -> dict[str, str]:
    """Return the variables by which a command finds the demo and not the installation."""
    places = {
        "HOME": demo.home,
        "DATA_DIRECTORY": demo.data_directory,
        "DATABASE_URL": demo.database_url and demo.database_url.get_secret_value(),
        "KEY_DIRECTORY": demo.key_directory,
    }
    return {f"SMARTMATCH_{name}": str(place) for name, place in places.items() if place}


def _is_a_platforms(settings: Settings) -> bool:
    registered = (settings.mlruns / "mlflow.db").exists()
    return registered and not (settings.mlruns / DEMO_MARK).exists()
