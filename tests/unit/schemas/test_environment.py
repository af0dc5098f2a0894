"""What our dependencies are told before they are imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from schemas.settings import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

PREPARED = "import json, os; from schemas.environment import prepare; prepare();"
NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "False",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
}


def prepared(home: Path, **given: str) -> dict[str, str]:
    """Return the environment that a fresh process hands to our dependencies."""
    command = [sys.executable, "-c", PREPARED + "print(json.dumps(dict(os.environ)))"]
    bare = {"PATH": os.environ["PATH"], "SMARTMATCH_HOME": str(home), **given}
    told = subprocess.run(
        command, cwd=CHECKOUT, env=bare, check=True, capture_output=True, text=True
    )
    found: dict[str, str] = json.loads(told.stdout)
    return found


def test_telemetry_is_off_wherever_a_dependency_has_a_switch(tmp_path: Path) -> None:
    assert NO_TELEMETRY.items() <= prepared(tmp_path).items()


def test_no_pickle_is_loaded_from_the_registry(tmp_path: Path) -> None:
    assert prepared(tmp_path)["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"


def test_prefect_deletes_no_run_by_a_clock_that_nobody_checks(tmp_path: Path) -> None:
    assert prepared(tmp_path)["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"] == "events,orphans"


def test_what_an_operator_has_set_stays(tmp_path: Path) -> None:
    assert prepared(tmp_path, PREFECT_LOGGING_LEVEL="DEBUG")["PREFECT_LOGGING_LEVEL"] == "DEBUG"
