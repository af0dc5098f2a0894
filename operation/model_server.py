"""The MLflow server of an installation, with a registry to show: made first where there is none.

One process makes the registry and then becomes the server. Two would migrate one store at the
same time, or load MLflow twice.
"""

from __future__ import annotations

import runpy
import sys

from installation import set_up_model
from schemas.environment import prepare
from schemas.settings import Settings


def main() -> None:
    """Register the first champion unless there is one, and serve until stopped."""
    prepare()
    settings = Settings()
    set_up_model(settings)
    sys.argv = ["mlflow", *arguments(settings)]
    runpy.run_module("mlflow", run_name="__main__")


def arguments(settings: Settings) -> list[str]:
    """Return the arguments of MLflow's command line.

    The store has a history of reads without a password: it listens on loopback unless the
    settings say otherwise. Artefacts are read where they lie, so that a process that registers
    a model needs no server.
    """
    return [
        *("server", "--host", settings.ui_host, "--port", str(settings.mlflow_port)),
        *("--backend-store-uri", settings.tracking_uri),
        *("--default-artifact-root", str(settings.artifacts), "--no-serve-artifacts"),
        *("--workers", "1", "--uvicorn-opts", "--log-level=warning"),
    ]


if __name__ == "__main__":
    main()
