"""Have a flow run: by the Prefect server where one is configured, else as a process of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from fastapi.concurrency import run_in_threadpool

import prefect_api
from schemas.environment import inherited
from schemas.errors import NotReady
from schemas.settings import CHECKOUT
from warehouse import runs
from warehouse.engine import writing
from warehouse.erasure_requests import close_left_cases, pending_erasures

if TYPE_CHECKING:
    from ingest.service import Service

ERASURE = "erase_subject"
SCHEDULED = frozenset({"retrain_model", "purge_expired"})
"""Flows that the Prefect server runs where it can; an erasure waits for no scheduler."""
BY_PREFECT = "runs on the Prefect server"
"""Detail of a run that is followed there."""
_STATES = {"COMPLETED": runs.COMPLETED, "RUNNING": runs.RUNNING}
About = tuple[str, str]
"""A flow, and the request that it is about, where it is about one."""
_ATTEMPTS = 30
"""How often the end of a run is tried to be noted, once a second."""
_NO_THREAD = "no thread"
_DYING_SECONDS = 10.0
"""Who is killed inside a call to a dead disk ends only when that answers: it is not waited for."""

_logger = logging.getLogger("smartmatch")


class Launcher:
    """Starts flows for a server.

    A flow that this server started and that still runs is not started twice: whoever asks
    again follows the run that is there. Of one flow one run is at work, the others wait their
    turn: many requests at once must not become as many processes. One that hangs is killed, or the
    others would wait for good; its next run is given twice the time, for it may have been slow.

    Args:
        service: Knows the database and the settings that a flow inherits.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._live: dict[About, str] = {}
        self._seconds: dict[About, float] = {}
        self._waiting: dict[str, deque[tuple[About, str]]] = {}
        self._turns = threading.Lock()
        self._scheduled: dict[str, str] = {}
        self._scheduling = asyncio.Lock()
        self._launching: set[asyncio.Task[str]] = set()

    async def launch(self, flow: str, request: str = "") -> str:
        """Start a flow in the background and return the id of its run.

        It begins also where whoever asks does not wait for it: else its place and its turn would be
        taken for good, and nobody at work.

        Args:
            flow: Its name.
            request: What it is about, where it is about one request; also the id of its run.

        Raises:
            NotReady: The run could not be noted or started.
        """
        launching = asyncio.create_task(self._launch(flow, request))
        self._launching.add(launching)
        launching.add_done_callback(self._launching.discard)
        return await asyncio.shield(launching)

    async def _launch(self, flow: str, request: str) -> str:
        api = prefect_api.configured_api()
        if api and flow in SCHEDULED:
            async with self._scheduling:
                scheduled = await run_in_threadpool(self._schedule, api, flow)
            if scheduled is not None:
                return scheduled
        about = (flow, request)
        live = self._live.get(about)
        if live is not None:
            return live
        # Taken before the first pause, so that who asks meanwhile follows this run.
        run = self._live[about] = request or str(uuid4())
        try:
            now = datetime.now(UTC)
            await self._service.write(lambda connection: runs.note(connection, flow, now, run))
            if not self._wait_for_turn(about, run):
                await self._begin_beside(about, run)
        except BaseException:
            self._live.pop(about, None)
            raise
        return run

    async def resume_erasures(self) -> None:
        """Start the erasures that were asked for, are not done and are not under way here.

        What is left of those that are done, or that were never committed, is closed.

        Raises:
            NotReady: The database does not answer, or a run could not be started.
            OSError: What is left of one could not be closed.
        """
        engine, keys = self._service.engine, self._service.settings.keys
        for request in await run_in_threadpool(pending_erasures, engine):
            await self.launch(ERASURE, request)
        await run_in_threadpool(close_left_cases, engine, keys)

    def read(self, run: str) -> runs.Run | None:
        """Read a run; of one on the Prefect server, as it stands there.

        Args:
            run: Its id.
        """
        noted = runs.read(self._service.engine, run)
        if noted is None or noted.detail != BY_PREFECT or noted.state not in runs.OPEN:
            return noted
        told = prefect_api.read_run(prefect_api.configured_api(), run)
        if told is None or told.state not in prefect_api.ENDED:
            state = _STATES.get(told.state, noted.state) if told else noted.state
            return replace(noted, state=state)
        state, detail = _STATES.get(told.state, runs.FAILED), told.state.lower()
        at = datetime.fromisoformat(told.at)
        runs.finish(self._service.engine, run, state, at, detail)
        return runs.read(self._service.engine, run)

    def _schedule(self, api: str, flow: str) -> str | None:
        """Have the Prefect server run a flow; None where it does not answer."""
        asked = self._scheduled.get(flow)
        noted = self.read(asked) if asked else None
        if noted is not None and noted.state in runs.OPEN:
            return asked
        run = prefect_api.create_run(api, flow)
        if run is not None:
            with writing(self._service.engine) as connection:
                runs.note(connection, flow, datetime.now(UTC), run, detail=BY_PREFECT)
            self._scheduled[flow] = run
        return run

    def _environment(self) -> dict[str, str]:
        """Return the environment of a flow; without a Prefect server that does not answer."""
        given = inherited(self._service.settings)
        api = prefect_api.configured_api()
        if api and not prefect_api.answers(f"{api}/health"):
            del given["PREFECT_API_URL"]
        return given

    def _start(self, flow: str, run: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "cli", "run", flow, "--run", run]
        try:
            return subprocess.Popen(  # noqa: S603  # our own command, the flow one of three names
                command,
                cwd=CHECKOUT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            detail = type(error).__name__
            runs.finish(self._service.engine, run, runs.FAILED, datetime.now(UTC), detail)
            raise NotReady("a process could not be started") from None

    def _wait_for_turn(self, about: About, run: str) -> bool:
        """Take the flow's turn where it is free; tell whether the run has to wait for it."""
        with self._turns:
            if about[0] in self._waiting:
                self._waiting[about[0]].append((about, run))
                return True
            self._waiting[about[0]] = deque()
            return False

    def _next(self, flow: str) -> tuple[About, str] | None:
        """Return who has the flow's turn next; with nobody there it is free again."""
        with self._turns:
            if self._waiting[flow]:
                return self._waiting[flow].popleft()
            del self._waiting[flow]
            return None

    async def _begin_beside(self, about: About, run: str) -> None:
        """Start a run whose turn it is, in a thread: the loop does not wait for the process."""
        try:
            await run_in_threadpool(self._begin, about, run)
        except RuntimeError:  # there may be no more threads
            self._begin_next(about[0])
            now = datetime.now(UTC)
            with suppress(NotReady):
                await self._service.write(
                    lambda connection: runs.finish_in(connection, run, runs.FAILED, now, _NO_THREAD)
                )
            raise NotReady("a process could not be started") from None

    def _begin(self, about: About, run: str) -> None:
        """Start a run whose turn it is."""
        try:
            self._spawn(about, run)
        except NotReady:
            self._begin_next(about[0])
            raise

    def _begin_next(self, flow: str) -> None:
        """Start whoever comes next; one that cannot be started is noted as failed."""
        while (job := self._next(flow)) is not None:
            with suppress(NotReady):
                self._spawn(*job)
                return

    def _spawn(self, about: About, run: str) -> None:
        try:
            process = self._start(about[0], run)
        except NotReady:
            self._live.pop(about, None)
            raise
        following = threading.Thread(
            target=self._follow, args=(process, about, run), name="run", daemon=True
        )
        try:
            following.start()
        except RuntimeError:  # there may be no more threads
            process.kill()
            self._live.pop(about, None)
            runs.finish(self._service.engine, run, runs.FAILED, datetime.now(UTC), _NO_THREAD)
            raise NotReady("a process could not be followed") from None

    def _follow(self, process: subprocess.Popen[bytes], about: About, run: str) -> None:
        try:
            self._finish(about, run, self._wait(process, about))
        finally:
            # Not before its end is noted, or that would be told of whoever begins anew meanwhile.
            self._live.pop(about, None)
            self._begin_next(about[0])

    def _wait(self, process: subprocess.Popen[bytes], about: About) -> int | None:
        """Return the code with which a process ended; None for one that hung and was killed."""
        seconds = self._seconds.pop(about, self._service.settings.run_seconds)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            _logger.warning("A run of %s was killed: it took over %d seconds", about[0], seconds)
        self._seconds[about] = 2 * seconds
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with what it started
        with suppress(subprocess.TimeoutExpired):
            process.wait(_DYING_SECONDS)
        return None

    def _finish(self, about: About, run: str, code: int | None) -> None:
        if about[0] == ERASURE and code == os.EX_TEMPFAIL:
            return  # it is tried again, and has said why where it had to
        detail = "it hung" if code is None else f"the process ended with code {code}"
        state = runs.COMPLETED if code == 0 else runs.FAILED
        # A flow that has said how it ended keeps its word.
        for _ in range(_ATTEMPTS):
            with suppress(NotReady):
                runs.finish(self._service.engine, run, state, datetime.now(UTC), detail)
                return
            time.sleep(1)
