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
    kept_seconds = str(settings.logs_retention_days * 86_400)
    defaults = {
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "False",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PREFECT_HOME": str(settings.data / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        # A first start migrates its database; on a busy machine that takes longer than 20 s.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        # By default its server keeps runs, their logs and artifacts for ever.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": kept_seconds,
        "GIT_PYTHON_REFRESH": "quiet",
        "MPLBACKEND": "Agg",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
