"""A client of the application within this process: the application runs in a loop of its own.

Starlette's test client starts a task group and a portal for each request, which costs more than
what most routes do. Here a request is handed to a loop that runs for as long as the client.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Client(httpx.Client):
    """Calls an ASGI application; as a context manager it begins and ends its lifespan.

    Args:
        app: The application, see ``app`` afterwards.
        address: Of whom it takes for the caller: host and port.

    An exception that leaves the application is raised by the request that met it.
    """

    def __init__(self, app: Any, address: tuple[str, int]) -> None:
        self.app = app
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        transport = _Transport(self, httpx.ASGITransport(app, client=address))
        super().__init__(
            base_url="http://127.0.0.1", transport=transport, follow_redirects=True, timeout=None
        )

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Await something in the application's loop and return its result."""
        assert self._thread.is_alive(), "the client is to be entered with ``with``"
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def __enter__(self) -> Self:
        self._thread.start()
        self._lifespan = _Lifespan(self.app)
        try:
            self.run(self._lifespan.begin())
        except BaseException:
            self._end()
            raise
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        try:
            self.run(self._lifespan.end())
        finally:
            super().__exit__(*error)
            self._end()

    def _end(self) -> None:
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Transport(httpx.BaseTransport):
    def __init__(self, client: Client, asgi: httpx.ASGITransport) -> None:
        self._client = client
        self._asgi = asgi

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        content = httpx.ByteStream(request.read())
        request.stream = content
        return self._client.run(self._reply(request))  # type: ignore[no-any-return]

    async def _reply(self, request: httpx.Request) -> httpx.Response:
        reply = await self._asgi.handle_async_request(request)
        assert isinstance(reply.stream, httpx.AsyncByteStream)
        content = b"".join([part async for part in reply.stream])
        return httpx.Response(
            reply.status_code, headers=reply.headers, stream=httpx.ByteStream(content)
        )


class _Lifespan:
    """Begins and ends an application as a server does."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._to: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def begin(self) -> None:
        self._task = asyncio.create_task(self._run())
        await self._pass("startup")

    async def end(self) -> None:
        await self._pass("shutdown")
        await self._task

    async def _run(self) -> None:
        await self._app({"type": "lifespan", "state": {}}, self._to.get, self._from.put)

    async def _pass(self, stage: str) -> None:
        await self._to.put({"type": f"lifespan.{stage}"})
        told = asyncio.create_task(self._from.get())
        await asyncio.wait({told, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not told.done():
            told.cancel()
            self._task.result()
            raise AssertionError(f"the application ended before its {stage}")
        assert told.result()["type"] == f"lifespan.{stage}.complete"
