"""What the Prefect server is asked over HTTP, by those who should not wait for its library.

Loading Prefect takes seconds; the ingest server and `smartmatch status` need four questions.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from typing import Any

DEPLOYMENT = "smartmatch"
"""Name of every deployment; with its flow's it is `retrain-model/smartmatch`."""
ANSWER_SECONDS = 3.0
CREATE_SECONDS = 10.0
"""A run that the server creates after we gave it up would be run twice: be patient."""
ENDED_BADLY = frozenset({"FAILED", "CRASHED", "CANCELLED"})
ENDED = ENDED_BADLY | {"COMPLETED"}
_NO_ANSWER = (urllib.error.URLError, HTTPException, OSError, ValueError)
"""Nobody there, or somebody who does not speak HTTP, or not to the end."""
_NEWEST = [*sorted(ENDED - {"CANCELLED"}), "RUNNING"]


@dataclass(frozen=True)
class FlowRun:
    """A run as the server knows it.

    Attributes:
        state: COMPLETED, FAILED, CRASHED, CANCELLED, RUNNING, PENDING or SCHEDULED.
        at: When it ended, or began, or is to begin; ISO.
    """

    state: str
    at: str


def configured_api() -> str:
    """Return the API of the server that PREFECT_API_URL names, or nothing."""
    return os.environ.get("PREFECT_API_URL", "").rstrip("/")


def create_run(api: str, flow: str) -> str | None:
    """Have a flow run as soon as may be, and return the id of its run.

    Args:
        api: API of the server.
        flow: Name of the flow as our code has it.

    Returns:
        None where the server does not answer, or knows no deployment of the flow.
    """
    named = f"{api}/deployments/name/{_named(flow)}/{DEPLOYMENT}"
    found = ask(named, timeout_seconds=CREATE_SECONDS)
    if not found:
        return None
    made = ask(
        f"{api}/deployments/{found['id']}/create_flow_run",
        {"state": {"type": "SCHEDULED", "message": "Asked for over HTTP"}},
        timeout_seconds=CREATE_SECONDS,
    )
    return str(made["id"]) if made else None


def read_run(api: str, run: str) -> FlowRun | None:
    """Read how far a run is; None where the server does not tell."""
    found = ask(f"{api}/flow_runs/{run}")
    return _flow_run(found) if found else None


def last_runs(api: str, flows: list[str]) -> dict[str, FlowRun]:
    """Return the newest run of each flow that ended or is at work, of those that have one.

    A run that was cancelled because another one was at work tells nothing.
    """
    found: dict[str, FlowRun] = {}
    for flow in flows:
        newest = ask(
            f"{api}/flow_runs/filter",
            {
                "flows": {"name": {"any_": [_named(flow)]}},
                "flow_runs": {"state": {"type": {"any_": _NEWEST}}},
                "sort": "START_TIME_DESC",
                "limit": 1,
            },
        )
        if newest is None:
            return found
        if newest:
            found[flow] = _flow_run(newest[0])
    return found


def someone_serves(api: str, *, since: datetime | None = None) -> bool:
    """Tell whether a process asks the server for runs that are due.

    Args:
        api: API of the server.
        since: Only who has asked after this time counts: for a while the server takes one that
            has just ended for ready.
    """
    found = ask(f"{api}/deployments/filter", {"limit": 50}) or []
    return any(
        deployment["name"] == DEPLOYMENT
        and deployment.get("status") == "READY"
        and (since is None or _asked_after(deployment, since))
        for deployment in found
    )


def _asked_after(deployment: dict[str, Any], since: datetime) -> bool:
    asked = deployment.get("last_polled")
    return asked is not None and datetime.fromisoformat(str(asked)) > since


def ask(url: str, body: Any = None, *, timeout_seconds: float = ANSWER_SECONDS) -> Any:
    """Return the JSON that an address answers with, or None where it gives none.

    Args:
        url: The address.
        body: Sent as JSON by POST; a GET without one.
        timeout_seconds: For connecting, and for each wait for bytes.
    """
    headers = {"content-type": "application/json"}
    password = os.environ.get("PREFECT_API_AUTH_STRING")
    if password:
        headers["authorization"] = f"Basic {b64encode(password.encode()).decode()}"
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310  # http
        with urllib.request.urlopen(request, timeout=timeout_seconds) as reply:  # noqa: S310
            return json.load(reply)
    except _NO_ANSWER:
        return None


def answers(url: str, *, timeout_seconds: float = ANSWER_SECONDS) -> bool:
    """Tell whether an address answers with success."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_seconds):  # noqa: S310  # http
            return True
    except _NO_ANSWER:
        return False


def _flow_run(told: dict[str, Any]) -> FlowRun:
    at = told.get("end_time") or told.get("start_time") or told.get("expected_start_time") or ""
    return FlowRun(str(told.get("state_type")), str(at))


def _named(flow: str) -> str:
    return flow.replace("_", "-")
