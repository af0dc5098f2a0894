"""Where the demo lives: its own database and keys, and the home's registry while it is free."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from pydantic import SecretStr

from installation import DEMO_MARK, clear_registry

if TYPE_CHECKING:
    from schemas.settings import Settings


def prepare_home(settings: Settings) -> Settings:
    """Empty the demo's own database and keys, choose its registry, and say so in the environment.

    The registry of the home is used while no platform has its models there, so that
    ``models:/smartmatch@champion`` is found where it will always be; else the demo has one of
    its own under ``data/demo``.
    """
    own = settings.data / "demo"
    if own.exists():
        shutil.rmtree(own)
    own.mkdir(parents=True)
    home = own if _is_a_platforms(settings) else settings.home
    demo = settings.model_copy(
        update={
            "home": home,
            "database_url": SecretStr(f"sqlite:///{own / 'smartmatch.db'}"),
            "key_directory": own / "keys",
        }
    )
    demo.mlruns.mkdir(parents=True, exist_ok=True)
    clear_registry(demo)
    for made in (own, demo.mlruns):
        (made / DEMO_MARK).touch()
    os.environ.update(
        SMARTMATCH_HOME=str(demo.home),
        SMARTMATCH_DATABASE_URL=demo.url.get_secret_value(),
        SMARTMATCH_KEY_DIRECTORY=str(demo.keys),
        PREFECT_HOME=str(own / "prefect"),
    )
    return demo


def _is_a_platforms(settings: Settings) -> bool:
    registered = (settings.mlruns / "mlflow.db").exists()
    return registered and not (settings.mlruns / DEMO_MARK).exists()
