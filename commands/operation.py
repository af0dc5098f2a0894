"""Run the installation as a whole, and see how it is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from commands.shared import AS_JSON, EXIT_FAILED, plain, read_settings
from console import result, say, table, working

if TYPE_CHECKING:
    from datetime import datetime

    from operation.status import Status


@click.command()
def up() -> None:
    """Start everything: ingest, Prefect, the scheduled flows and MLflow, until it is stopped.

    An empty home is set up first. A part that dies is started again.
    """
    from operation.up import run_up
    from schemas.environment import prepare

    prepare()
    sys.exit(run_up(read_settings()))


@click.command()
@click.argument("name", type=click.Choice(["prefect", "flows", "ingest", "mlflow"]))
def part(name: str) -> None:
    """Become one part of the installation, for a service manager that keeps each of them."""
    import os

    from operation.parts import parts
    from schemas.environment import inherited, prepare

    prepare()
    settings = read_settings()
    wanted = next(one for one in parts(settings) if one.name == name)
    # A server that is configured is meant; the one beside this part is the default.
    environment = {**wanted.environment, **inherited(settings)}
    os.execve("/bin/sh", ["sh", "-c", wanted.command], environment)  # noqa: S606  # our own command


@click.command()
@AS_JSON
def deploy(*, as_json: bool) -> None:
    """Register flows, schedules and automations with the Prefect server; safe to repeat.

    PREFECT_API_URL names the server; without it the one on this machine is used.
    """
    from deployments import configured_server
    from deployments import deploy as register
    from schemas.environment import prepare

    prepare()
    settings = read_settings()
    with working("registering"), configured_server(settings):
        registered = register(settings)
    result(registered, as_json=as_json)


@click.command()
@AS_JSON
def status(*, as_json: bool) -> None:
    """Say what runs, what waits, when each flow last ran; exit code 1 where something is wrong."""
    from operation.status import read_status

    found = read_status(read_settings())
    if as_json:
        result(plain(found), as_json=True)
    else:
        _show(found)
    if found.problems:
        sys.exit(EXIT_FAILED)


def _show(found: Status) -> None:
    words = {True: "answers", False: "does not answer", None: "not known"}
    table("Parts", ("part", "state"), [(name, words[up]) for name, up in found.parts.items()])
    table(
        "Flows",
        ("flow", "last ended well", "last run"),
        [
            (
                name,
                _local(flow.ended_well_at) if flow.ended_well_at else "never",
                f"{flow.last_run.state.lower()} {_local(flow.last_run.at)}"
                if flow.last_run
                else "",
            )
            for name, flow in found.flows.items()
        ],
    )
    lines = {
        "events waiting": f"{found.waiting}, the oldest for {found.oldest_waiting_seconds:.0f} s",
        "champion": (
            f"version {found.champion['version']} since {_local(found.champion['since'])}"
            if found.champion
            else "none"
        ),
        "pseudonym key": f"{found.key.key_id}, {found.key.age_days} days old; the next one is due "
        f"{found.key.due_at.astimezone():%Y-%m-%d}",
        "pending erasures": str(found.pending_erasures),
        "retrain owed": (
            "to nobody"
            if found.retrain_owed_hours is None
            else f"for {found.retrain_owed_hours:.0f} hours"
        ),
    }
    result(lines, as_json=False)
    for problem in found.problems:
        say(f"! {problem}")


def _local(at: datetime | str) -> str:
    """Return a time in the operator's zone, to the minute."""
    from datetime import datetime

    known = datetime.fromisoformat(at) if isinstance(at, str) else at
    return known.astimezone().strftime("%Y-%m-%d %H:%M")


COMMANDS = (up, part, deploy, status)
