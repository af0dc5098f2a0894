"""Defaults that our dependencies read from the environment: no telemetry, one home.

Called by each package that imports one of them, before it does. What an operator has set
stays as it is.
"""

from __future__ import annotations

import os
from functools import cache

from schemas.settings import Settings


@cache
def prepare() -> None:
    """Switch telemetry off and put what the dependencies write under our home."""
    settings = Settings()
    # Prefect makes its own directory, but not the one above it.
    settings.data.mkdir(parents=True, exist_ok=True)
    defaults = {
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "False",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PREFECT_HOME": str(settings.data / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "GIT_PYTHON_REFRESH": "quiet",
        "MPLBACKEND": "Agg",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
