"""Which flow runs when: ``python deployments.py`` serves all of them until it is stopped.

It uses the Prefect server that PREFECT_API_URL names, else the one on the port of the settings,
and starts that one where there is none.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from console import ending_in_order
from prefect_api import DEPLOYMENT, answers
from schemas.environment import prepare
from schemas.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from prefect import Flow
    from prefect.deployments.runner import RunnerDeployment

START_SECONDS = 180.0

SCHEDULES = {
    "process_events": "*/5 * * * *",
    "verify_ledgers": "10 2 * * *",
    "aggregate_metrics": "20 2 * * *",
    "purge_expired": "40 2 * * *",
    "watch_drift": "50 2 * * *",
    "retrain_model": "0 3 * * *",
}
"""Cron of each flow, in the time zone of the settings; erase_subject runs on request only."""


TAGS = {
    "process_events": ["events"],
    "verify_ledgers": ["nightly", "privacy"],
    "aggregate_metrics": ["nightly", "metrics"],
    "purge_expired": ["nightly", "privacy"],
    "watch_drift": ["nightly", "learning"],
    "retrain_model": ["nightly", "learning"],
    "erase_subject": ["on request", "privacy"],
}
"""What a flow is about, beside the name of the system: to filter by in the UI."""

OFTEN = frozenset({"process_events"})
"""Flows of which a run that finds another one at work is dropped: the next one is soon due."""

MOST_RUNS = 2
"""Runs of different flows at once; each is a process of its own, and loads all libraries."""


def make_deployments(settings: Settings) -> list[RunnerDeployment]:
    """Return a deployment of every flow, with its schedule in the operator's time zone."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Cron

    made = []
    for flow in _flows():
        name = flow.fn.__name__
        cron = SCHEDULES.get(name)
        dropped = ConcurrencyLimitStrategy.CANCEL_NEW
        made.append(
            RunnerDeployment.from_flow(
                flow,
                name=DEPLOYMENT,
                schedule=Cron(cron, timezone=settings.timezone) if cron else None,
                description=_description(flow, cron, settings.timezone),
                tags=["smartmatch", *TAGS[name]],
                concurrency_limit=ConcurrencyLimitConfig(
                    limit=1,
                    collision_strategy=dropped
                    if name in OFTEN
                    else ConcurrencyLimitStrategy.ENQUEUE,
                ),
            )
        )
    return made


def deploy(settings: Settings) -> dict[str, list[str]]:
    """Register every flow and every automation with the Prefect server; safe to repeat.

    Returns:
        Names of the deployments and of the automations.
    """
    import automations

    made = make_deployments(settings)
    ids = {deployment.flow_name: deployment.apply() for deployment in made}
    registered = automations.register(cast("UUID", ids["retrain-model"]))
    return {"deployments": [one.full_name for one in made], "automations": registered}


def serve_all(settings: Settings) -> None:
    """Register everything, and run what is due until stopped."""
    from prefect import serve  # only now: it reads where its server is when it is imported

    deploy(settings)
    serve(*make_deployments(settings), limit=MOST_RUNS, print_starting_message=False)


def _flows() -> list[Flow[Any, Any]]:
    from flows.aggregate_metrics import aggregate_metrics
    from flows.erase_subject import erase_subject
    from flows.process_events import process_events
    from flows.purge_expired import purge_expired
    from flows.retrain_model import retrain_model
    from flows.verify_ledgers import verify_ledgers
    from flows.watch_drift import watch_drift

    return [
        process_events,
        verify_ledgers,
        aggregate_metrics,
        purge_expired,
        watch_drift,
        retrain_model,
        erase_subject,
    ]


def _description(flow: Flow[Any, Any], cron: str | None, zone: str) -> str:
    """Say what a flow does and when, without the sections for programmers."""
    text = inspect.getdoc(flow.fn) or ""
    told = text.split("\n\nArgs:")[0].split("\n\nReturns:")[0]
    when = f"Runs by itself: `{cron}` ({zone})." if cron else "Runs on request only."
    return f"{told}\n\n{when} In the runbook: `docs/runbook.md`, {flow.name}."


@contextmanager
def prefect_server(api: str) -> Iterator[str]:
    """Yield the address of a Prefect server: one that answers, or one started for this while.

    Args:
        api: Where it answers or will; the port is taken from it.

    Raises:
        TimeoutError: The server that was started did not answer in time.
    """
    if answers(f"{api}/health"):
        yield api
        return
    host, _, port = api.removeprefix("http://").removesuffix("/api").rpartition(":")
    server = subprocess.Popen(  # noqa: S603  # our own interpreter, fixed arguments
        [
            sys.executable,
            "-m",
            "prefect",
            "server",
            "start",
            "--host",
            host.strip("[]"),
            "--port",
            port,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"{api}/health"):
            if server.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError("the Prefect server did not start")
            time.sleep(0.25)
        yield api
    finally:
        server.terminate()
        server.wait(timeout=30)


@contextmanager
def configured_server(settings: Settings) -> Iterator[str]:
    """Yield the address of the server that PREFECT_API_URL names, else of the installation's.

    Raises:
        TimeoutError: It does not answer.
    """
    configured = os.environ.get("PREFECT_API_URL")
    if configured:
        _wait_for(configured)
        yield configured
        return
    with prefect_server(f"{settings.prefect_page}/api") as api:
        os.environ["PREFECT_API_URL"] = api
        yield api


def _wait_for(api: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(f"{api}/health"):
        if time.monotonic() > deadline:
            raise TimeoutError("the Prefect server does not answer")
        time.sleep(0.25)


def main() -> None:
    """Serve, with the server that is configured or the local one."""
    prepare()
    settings = Settings()
    if os.environ.get("PREFECT_API_URL"):
        _flows()  # takes seconds, in which the server may start
    with ending_in_order(), configured_server(settings) as api:
        print(f"Prefect UI: {api.removesuffix('/api')}", flush=True)  # noqa: T201  # for the operator
        serve_all(settings)


if __name__ == "__main__":
    main()
