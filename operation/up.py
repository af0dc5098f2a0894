"""``smartmatch up``: everything that an installation needs, in one terminal."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from operation.parts import ingest_host, parts, prefect_url
from operation.supervisor import Supervisor
from prefect_api import answers, someone_serves
from schemas.environment import RUNNING, inherited
from schemas.errors import InvalidInput, NotReady
from schemas.settings import CHECKOUT
from warehouse.setup import set_up_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from operation.parts import Part
    from schemas.settings import Settings

LONGEST_START_SECONDS = 180.0
_LOOK_SECONDS = 0.25
_LOCK = "up.lock"


def run_up(settings: Settings) -> int:
    """Run all parts until the process is told to stop; an empty home is set up first.

    Args:
        settings: Of the installation.

    Returns:
        The exit code: 0 after SIGTERM or SIGINT, else that of the part that could not be kept.

    Raises:
        InvalidInput: The port is to be chosen at the start.
        NotReady: It runs already, or a port is taken.
    """
    settings.check_registry()
    settings.data.mkdir(parents=True, exist_ok=True)
    with _alone(settings):
        _refuse_taken_ports(settings)
        set_up_database(settings)
        wanted = parts(settings)
        supervisor = Supervisor(
            wanted,
            inherited(settings) | {"PYTHONUNBUFFERED": "1", "SMARTMATCH_HOME": str(settings.home)},
            cwd=str(CHECKOUT),
            grace_seconds=settings.stop_seconds,
        )
        announcer = threading.Thread(
            target=announce,
            args=(wanted, f"{prefect_url(settings)}/api", supervisor.say),
            daemon=True,
        )
        with _noted(settings, wanted):
            announcer.start()
            supervisor.loop()
    return 0 if supervisor.was_asked else int(supervisor.returncode or 1)


def announce(wanted: list[Part], api: str, say: Callable[[str], None]) -> None:
    """Say of each part where it answers, as soon as it does, and at last that all of them do.

    Returns when all of them do; those that take long are named once meanwhile.

    Args:
        wanted: The parts.
        api: API of their Prefect server, which knows whether somebody runs its flows.
        say: Called with each line.
    """
    began, started = time.monotonic(), datetime.now(UTC)
    waiting, is_late = list(wanted), False
    while waiting:
        time.sleep(_LOOK_SECONDS)
        if not is_late and time.monotonic() - began > LONGEST_START_SECONDS:
            is_late = True
            say(f"does not answer yet: {', '.join(part.name for part in waiting)}")
        for part in waiting.copy():
            # Nothing answers for the process that runs the flows; its server knows of it.
            if answers(part.health) if part.health else someone_serves(api, since=started):
                waiting.remove(part)
                where = part.address or "runs what is due"
                say(f"  {part.name:8} {where}  (after {time.monotonic() - began:.0f} s)")
    say("Everything works; Ctrl-C stops it, `smartmatch status` says how it is.")


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Refuse to run twice in one home; the lock ends with the process, however it ends."""
    with (settings.data / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NotReady("this installation runs already") from None
        yield


@contextmanager
def _noted(settings: Settings, wanted: list[Part]) -> Iterator[None]:
    """Say in the home what runs and where, for status and for commands beside it."""
    note = settings.data / RUNNING
    content = {
        "pid": os.getpid(),
        "prefect_api": f"{prefect_url(settings)}/api",
        "parts": {part.name: part.address for part in wanted},
    }
    draft = note.with_suffix(".draft")
    draft.write_text(json.dumps(content), encoding="utf-8")
    draft.replace(note)
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def _refuse_taken_ports(settings: Settings) -> None:
    if settings.port == 0:
        raise InvalidInput("PORT", "must be a port of its own: other parts link to it")
    wanted = {
        "PORT": (ingest_host(settings), settings.port),
        "SMARTMATCH_PREFECT_PORT": (settings.ui_host, settings.prefect_port),
        "SMARTMATCH_MLFLOW_PORT": (settings.ui_host, settings.mlflow_port),
    }
    for name, (host, port) in wanted.items():
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise NotReady(f"port {port} cannot be used; change {name}") from error
