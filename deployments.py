"""Which flow runs when: ``python deployments.py`` serves all of them until it is stopped.

It uses the Prefect server that PREFECT_API_URL names, else the one on this machine's usual port,
and starts that one where there is none.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from schemas.environment import prepare
from schemas.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCAL_API = "http://127.0.0.1:4200/api"
START_SECONDS = 120.0

SCHEDULES = {
    "process_events": "*/5 * * * *",
    "aggregate_metrics": "20 2 * * *",
    "purge_expired": "40 2 * * *",
    "watch_drift": "50 2 * * *",
    "retrain_model": "0 3 * * *",
}
"""Cron of each flow, in the time zone of the settings; erase_subject runs on request only."""


def serve_all() -> None:
    """Register every flow with its schedule, and run what is due until stopped."""
    from prefect import Flow, serve  # only now: it reads where its server is when it is imported
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Cron

    from flows.aggregate_metrics import aggregate_metrics
    from flows.erase_subject import erase_subject
    from flows.process_events import process_events
    from flows.purge_expired import purge_expired
    from flows.retrain_model import retrain_model
    from flows.watch_drift import watch_drift

    flows: list[Flow[Any, Any]] = [
        process_events,
        aggregate_metrics,
        purge_expired,
        watch_drift,
        retrain_model,
        erase_subject,
    ]
    zone = Settings().timezone
    deployments = [
        RunnerDeployment.from_flow(
            flow,
            name="smartmatch",
            schedule=Cron(SCHEDULES[flow.fn.__name__], timezone=zone)
            if flow.fn.__name__ in SCHEDULES
            else None,
            description=flow.description,
            tags=["smartmatch"],
            concurrency_limit=1,
        )
        for flow in flows
    ]
    serve(*deployments)


@contextmanager
def prefect_server(api: str = LOCAL_API) -> Iterator[str]:
    """Yield the address of a Prefect server: one that answers, or one started for this while.

    Args:
        api: Where it answers or will; the port is taken from it.

    Raises:
        TimeoutError: The server that was started did not answer in time.
    """
    if _answers(api):
        yield api
        return
    host, port = api.removeprefix("http://").removesuffix("/api").split(":")
    server = subprocess.Popen(  # noqa: S603  # our own interpreter, fixed arguments
        [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", port],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(api):
            if server.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError("the Prefect server did not start")
            time.sleep(0.25)
        yield api
    finally:
        server.terminate()
        server.wait(timeout=30)


def _answers(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=2):  # noqa: S310  # an http address
            return True
    except (urllib.error.URLError, OSError):
        return False


def main() -> None:
    """Serve, with the server that is configured or the local one."""
    prepare()
    configured = os.environ.get("PREFECT_API_URL")
    if configured:
        serve_all()
        return
    with prefect_server() as api:
        os.environ["PREFECT_API_URL"] = api
        print(f"Prefect UI: {api.removesuffix('/api')}", flush=True)  # noqa: T201  # for the operator
        serve_all()


if __name__ == "__main__":
    main()
