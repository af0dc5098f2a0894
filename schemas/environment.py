"""Defaults that our dependencies read from the environment: no telemetry, one home.

Called by each package that imports one of them, before it does. What an operator has set
stays as it is.
"""

from __future__ import annotations

import json
import os
import socket
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from schemas.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

HEARTBEAT_SECONDS = 30
"""How often a flow run says that it lives."""
RUNNING = "running.json"
"""File under data/ that says where the parts of a running installation answer."""


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
        # Its server would start workers for jobs that we have none of.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PREFECT_HOME": str(settings.data / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        # A first start migrates its database; on a busy machine that takes longer than 20 s.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        # Runs go by our purge, which does not believe every clock; this takes what they leave.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,orphans",
        # This one alone is no number of seconds.
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"P{settings.run_events_retention_days}D",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "GIT_PYTHON_REFRESH": "quiet",
        "MPLBACKEND": "Agg",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    server = running_prefect(settings.data)
    if server:
        os.environ.setdefault("PREFECT_API_URL", server)


def running_prefect(data: Path) -> str:
    """Return the API of the Prefect server that runs for this home, or nothing.

    A command beside a running installation then uses its server, instead of starting one for
    itself, which costs ten times as long.
    """
    try:
        noted = json.loads((data / RUNNING).read_text(encoding="utf-8"))
        api = urlsplit(str(noted["prefect_api"]))
        socket.create_connection((api.hostname or "", api.port or 80), timeout=1).close()
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return api.geturl()


def inherited(settings: Settings) -> dict[str, str]:
    """Return the environment in which a process finds the same settings."""
    given = dict(os.environ)
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if value is None or value == field.default:
            continue
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        if isinstance(value, tuple):
            text = ",".join(value)
        given[f"SMARTMATCH_{name.upper()}"] = text
    return given
