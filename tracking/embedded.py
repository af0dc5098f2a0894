"""Run the server inside this process, for a platform that has none elsewhere.

The application is what the entry point ``server`` of the group ``smartmatch.embedded`` makes,
after its entry point ``setup`` made the database where there is none. It is called in memory,
and its event loop has a thread of its own. It starts with the first request, which therefore
takes seconds.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import os
import threading
from concurrent.futures import CancelledError, Future
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from schemas.errors import SmartMatchError
from tracking import forking
from tracking.errors import NoServer, Unreachable
from tracking.logs import logger_of
from tracking.transport import Reply, authorization, hide_identifiers, reply

if TYPE_CHECKING:
    from collections.abc import Callable

GROUP = "smartmatch.embedded"
IN_A_CHECKOUT = {
    "server": "ingest_api:create_app",
    "setup": "installation:set_up_database",
}
START_SECONDS = 120.0
STOP_SECONDS = 15.0

_logger = logger_of(__name__)


class EmbeddedTransport:
    """Requests to an application in this process, as if from the loopback interface.

    A fork stops the server for its duration: a database that is open while a process forks
    may be damaged by the child. Parent and child each start it again with their next request.

    Args:
        api_key: Sent as a bearer token, where the database has keys.
    """

    def __init__(self, api_key: str | None) -> None:
        self._headers = authorization(api_key)
        place = os.environ.get("SMARTMATCH_DATABASE_URL") or os.environ.get("SMARTMATCH_HOME", "")
        self.target = "embedded-" + hashlib.sha256(place.encode()).hexdigest()[:16]
        self._lock = threading.Lock()
        self._server: _Server | None = None
        forking.watch(self)
        atexit.register(self.close)

    def request(
        self, method: str, path: str, *, content: bytes | None = None, timeout_seconds: float
    ) -> Reply:
        """Send one request; the time is for all of it, but not for starting the server."""
        with self._lock:
            if self._server is None or not self._server.runs:
                self._server = _Server(self._headers)
            server = self._server
        return server.request(method, path, content, timeout_seconds)

    def close(self) -> None:
        """Stop the server when it has written what it accepted."""
        with self._lock:
            self._stop()

    def before_fork(self) -> None:
        """Stop the server, and keep others from starting it."""
        self._lock.acquire()
        self._stop()

    def after_fork_in_parent(self) -> None:
        """Let the next request start it again."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Let the next request start one of the child's own."""
        self._lock = threading.Lock()

    def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop()


class _Server:
    """One application, its lifespan and its event loop, in one thread.

    Raises:
        NoServer: No application is installed, or it did not start.
    """

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers
        self._state: dict[str, Any] = {}
        self._ready: Future[asyncio.AbstractEventLoop] = Future()
        self._stopping: asyncio.Event
        self._client: Any
        self._thread = threading.Thread(target=self._run, name="smartmatch-embedded", daemon=True)
        try:
            self._thread.start()
            self._loop = self._ready.result(START_SECONDS)
        except TimeoutError:
            raise NoServer("the embedded server did not start in time") from None
        except RuntimeError:  # the interpreter ends, or has no room for a thread
            raise NoServer("the embedded server has no thread to run in") from None

    @property
    def runs(self) -> bool:
        return self._thread.is_alive()

    def request(
        self, method: str, path: str, content: bytes | None, timeout_seconds: float
    ) -> Reply:
        asked = self._ask(method, path, content)
        try:
            answered = asyncio.run_coroutine_threadsafe(asked, self._loop)
        except RuntimeError:  # its loop was closed by another thread
            asked.close()
            raise Unreachable("stopped") from None
        try:
            return answered.result(timeout_seconds)
        except TimeoutError:
            answered.cancel()
            raise Unreachable("timeout") from None
        except CancelledError:  # another thread stopped it, to fork or to close
            raise Unreachable("stopped") from None

    def stop(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._stopping.set)
        except RuntimeError:  # it has stopped by itself
            return
        self._thread.join(STOP_SECONDS)

    async def _ask(self, method: str, path: str, content: bytes | None) -> Reply:
        try:
            response = await self._client.request(method, path, content=content)
            return reply(response.status_code, response.content, response.headers)
        except Exception as error:  # noqa: BLE001 - whatever the application does, this one goes on
            raise Unreachable(type(error).__name__) from None

    def _run(self) -> None:
        failure = ""
        try:
            asyncio.run(self._serve(_application()))
        except SmartMatchError as error:
            failure = str(error)
        except Exception as error:  # noqa: BLE001 - whatever is installed, the host goes on
            failure = f"the embedded server failed: {type(error).__name__}"
        finally:
            if not self._ready.done():
                self._ready.set_exception(NoServer(failure or "the embedded server stopped"))
            elif failure:
                _logger.error("The embedded server is gone: %s", failure)

    async def _serve(self, application: Callable[..., Any]) -> None:
        with forking.imports:
            import httpx  # doubles the time to import this package

        self._stopping = asyncio.Event()

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await application({**scope, "state": dict(self._state)}, receive, send)

        hide_identifiers()
        transport = httpx.ASGITransport(app=with_state, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=self._headers
        ) as self._client:
            await application(self._scope(), self._receive, self._send)

    def _scope(self) -> dict[str, Any]:
        versions = {"version": "3.0", "spec_version": "2.0"}
        return {"type": "lifespan", "asgi": versions, "state": self._state}

    async def _receive(self) -> dict[str, str]:
        if not self._ready.done():
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: dict[str, str]) -> None:
        if message["type"] == "lifespan.startup.complete":
            self._ready.set_result(asyncio.get_running_loop())
        elif message["type"] == "lifespan.startup.failed":
            lines = message.get("message", "").strip().splitlines() or ["no reason given"]
            raise NoServer(f"the embedded server did not start: {lines[-1]}")
        elif message["type"] == "lifespan.shutdown.failed":
            _logger.error("The embedded server did not stop cleanly")


def _application() -> Callable[..., Any]:
    """Make the application that is installed, and first what it needs beside its code.

    A checkout whose packages were installed without itself has no entry points; there the
    server is found by the names that they would have.

    Raises:
        NoServer: None is installed.
    """
    found = {entry.name: entry for entry in reversed(entry_points(group=GROUP))}
    if not found and find_spec("ingest_api") is not None:
        found = {name: EntryPoint(name, where, GROUP) for name, where in IN_A_CHECKOUT.items()}
    if "server" not in found:
        raise NoServer("set SMARTMATCH_URL: no embedded server is installed")
    if "setup" in found:
        found["setup"].load()()
    application: Callable[..., Any] = found["server"].load()()
    return application
