"""Start a flow as a process of its own, and note when it dies without saying how it ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from fastapi.concurrency import run_in_threadpool
from pydantic import SecretStr

from schemas.errors import NotReady, SmartMatchError
from schemas.settings import CHECKOUT
from warehouse import runs

if TYPE_CHECKING:
    from ingest.service import Service
    from schemas.settings import Settings

_ATTEMPTS = 30
"""How often the end of a run is tried to be noted, once a second."""


class Launcher:
    """Starts flows for a server.

    A flow that this server started and that still runs is not started twice: whoever asks
    again follows the run that is there.

    Args:
        service: Knows the database and the settings that a flow inherits.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._live: dict[tuple[str, str], str] = {}

    async def launch(self, flow: str, request: str = "") -> str:
        """Start a flow in the background and return the id of its run.

        Args:
            flow: Its name.
            request: What it is about, where it is about one request; also the id of its run.

        Raises:
            NotReady: The run could not be noted or started.
        """
        about = (flow, request)
        live = self._live.get(about)
        if live is not None:
            return live
        # Taken before the first pause, so that who asks meanwhile follows this run.
        run = self._live[about] = request or str(uuid4())
        try:
            now = datetime.now(UTC)
            await self._service.write(lambda connection: runs.note(connection, flow, now, run))
            process = await run_in_threadpool(self._start, flow, run)
        except SmartMatchError:
            self._live.pop(about, None)
            raise
        watcher = threading.Thread(
            target=self._follow, args=(process, about, run), name="run", daemon=True
        )
        watcher.start()
        return run

    def _start(self, flow: str, run: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "cli", "run", flow, "--run", run]
        try:
            return subprocess.Popen(  # noqa: S603  # our own command, the flow one of three names
                command,
                cwd=CHECKOUT,
                env=environment(self._service.settings),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            detail = type(error).__name__
            runs.finish(self._service.engine, run, runs.FAILED, datetime.now(UTC), detail)
            raise NotReady("a process could not be started") from None

    def _follow(self, process: subprocess.Popen[bytes], about: tuple[str, str], run: str) -> None:
        code = process.wait()
        self._live.pop(about, None)
        detail = f"the process ended with code {code}"
        state = runs.FAILED if code else runs.COMPLETED
        # A flow that has said how it ended keeps its word.
        for _ in range(_ATTEMPTS):
            with suppress(NotReady):
                runs.finish(self._service.engine, run, state, datetime.now(UTC), detail)
                return
            time.sleep(1)


def environment(settings: Settings) -> dict[str, str]:
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
