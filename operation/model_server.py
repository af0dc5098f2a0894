"""The MLflow server of an installation, with a registry to show: made first where there is none.

One process makes the registry and serves it. Two would migrate one store at the same time, and
`mlflow server` starts a second one that loads MLflow, which takes seconds, once more.
"""

from __future__ import annotations

import os

from installation import set_up_model
from schemas.environment import prepare
from schemas.settings import Settings

APP = "mlflow.server.fastapi_app:app"


def main() -> None:
    """Register the first champion unless there is one, and serve until stopped."""
    prepare()
    settings = Settings()
    set_up_model(settings)
    import uvicorn

    os.environ.update(told(settings))
    # The store has a history of reads without a password: it listens on loopback unless the
    # settings say otherwise.
    uvicorn.run(
        APP, host=settings.ui_host, port=settings.mlflow_port, log_level="warning", lifespan="on"
    )


def told(settings: Settings) -> dict[str, str]:
    """Return what `mlflow server` tells the process that serves: where the registry lies.

    Artefacts are read where they lie, so that a process that registers a model needs no server.
    """
    from mlflow.server.constants import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR

    return {
        BACKEND_STORE_URI_ENV_VAR: settings.tracking_uri,
        ARTIFACT_ROOT_ENV_VAR: str(settings.artifacts),
    }


if __name__ == "__main__":
    main()
