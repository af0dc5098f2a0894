"""The parts of an installation: how each is started, and where it answers."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from schemas.settings import address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.settings import Settings

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Part:
    """One process of an installation, with what it starts itself.

    Attributes:
        name: As it stands in front of its lines in the log.
        command: For a shell.
        address: What a person opens; empty where there is nothing to open.
        health: What answers with 200 when the part works; empty where only its work shows.
        environment: Variables beside those of the installation.
        is_needed_by_others: It ends last, because others tell it how they ended.
    """

    name: str
    command: str
    address: str = ""
    health: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    is_needed_by_others: bool = False


def parts(settings: Settings) -> list[Part]:
    """Return the parts of an installation in the order in which they are started."""
    ingest = address(ingest_host(settings), settings.port)
    prefect, mlflow = prefect_url(settings), mlflow_url(settings)
    scheduled = {"PREFECT_API_URL": f"{prefect}/api"}
    # What a run says is read in the UI; on a terminal its warnings are enough.
    told = scheduled | {
        "PREFECT_LOGGING_LEVEL": "INFO",
        # Its runner says so of itself at every stop.
        "PYTHONWARNINGS": "ignore:coroutine 'Runner.astop':RuntimeWarning",
    }
    return [
        Part(
            "prefect",
            _prefect(settings),
            prefect,
            f"{prefect}/api/health",
            # The page would otherwise ask the usual port, whatever the port is.
            {"PREFECT_SERVER_UI_API_URL": f"{prefect}/api"},
            is_needed_by_others=True,
        ),
        Part("flows", _python("deployments"), environment=told),
        Part("ingest", _ingest(settings), f"{ingest}/docs", f"{ingest}/health", scheduled),
        # It warns at every start of what its own modules import.
        Part(
            "mlflow",
            _python("operation.model_server"),
            settings.model_page,
            f"{mlflow}/health",
            {"PYTHONWARNINGS": "ignore"},
        ),
    ]


def ingest_host(settings: Settings) -> str:
    """Return where the ingest server listens: on loopback unless HOST says otherwise."""
    return settings.host if "host" in settings.model_fields_set else LOOPBACK


def prefect_url(settings: Settings) -> str:
    """Return the address of the Prefect server that runs beside the others."""
    return settings.prefect_page


def mlflow_url(settings: Settings) -> str:
    """Return the address of the MLflow UI."""
    return address(settings.ui_host, settings.mlflow_port)


def _prefect(settings: Settings) -> str:
    # Not `prefect server start`, which prints a page of ornament.
    return _python(
        *("uvicorn", "--app-dir", ".", "--factory", "prefect.server.api.server:create_app"),
        *("--host", settings.ui_host, "--port", str(settings.prefect_port)),
        *("--log-level", "warning", "--timeout-keep-alive", "5"),
    )


def _ingest(settings: Settings) -> str:
    return _python("cli", "serve", "--host", ingest_host(settings), "--port", str(settings.port))


def _python(module: str, *arguments: str) -> str:
    return "exec " + shlex.join([sys.executable, "-m", module, *arguments])
