"""The outermost application: one way in for every request.

Finds out who calls, reads a bounded body, answers the hot routes itself and hands the rest to
FastAPI. Every answer is counted and logged by its route, never by its path.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import msgspec

from ingest.bodies import SHARE, SHORT_BYTES, Bodies, ClientGone
from ingest.decoding import RULE_UTF8
from ingest.gate import CALLER, Gate, demand
from ingest.hot import BATCH_PATH, CONSENT_PATH, EVENT_PATH, NDJSON, BatchRoute, EventRoute
from ingest.replies import (
    NOT_FOUND,
    NOT_READY,
    SHED,
    TOO_LARGE,
    UNSUPPORTED_CODING,
    UNSUPPORTED_TYPE,
    Refused,
    encode,
    invalid,
    refusal,
    reply,
)
from ingest.turnstile import Turnstile, passing
from ingest.unfinished import Unfinished
from schemas.errors import InvalidInput, NotReady, QueueFull, SmartMatchError, told_in_log
from schemas.events import ROUTES
from warehouse.api_keys import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from contextlib import AbstractAsyncContextManager

    from ingest.access_log import AccessLog
    from ingest.app import ColdRoutes
    from ingest.gate import Caller
    from ingest.service import Service

_logger = logging.getLogger("smartmatch")

HEALTH_PATH, READY_PATH = "/health", "/ready"
OPEN_PATHS = frozenset({HEALTH_PATH, READY_PATH})
PAGE_FILES = "/docs-files"
PAGES = frozenset(
    {
        "/dashboard",
        "/dashboard/validation",
        "/docs",
        "/openapi.json",
        f"{PAGE_FILES}/swagger-ui-bundle.js",
        f"{PAGE_FILES}/swagger-ui.css",
        f"{PAGE_FILES}/favicon.png",
    }
)
WRONG_METHOD = {
    allowed: refusal(405, "Method Not Allowed", headers=((b"allow", allowed.encode()),))
    for allowed in ("GET", "POST")
}
_BYTES_A_TURN = 256
"""A batch takes a turn for so much of its body: about what an event takes."""
_PEOPLE = f"{CONSENT_PATH}/".encode()
_JSON_TYPES = frozenset({b"application/json", *NDJSON})
_CODINGS = {b"content-encoding": b"identity", b"transfer-encoding": b"chunked"}
"""What a body may be at most: bytes as they are, in chunks when their number is not announced."""


class Health(msgspec.Struct, frozen=True):
    """The server answers: ``ok``, or ``ready`` when it takes events."""

    status: str = "ok"


class Ways:
    """The ways in of one event loop, each with its turnstile.

    Attributes:
        singles: Single events: enough of them under way to share a commit. Where too many come,
            none waits for longer than those under way take.
        batches: Batches; as many events as are worth preparing while others are written.
        pages: What people look at: the dashboard and the documentation.
        others: All other requests, consents among them.
    """

    def __init__(self) -> None:
        self.singles = Turnstile(48, most_passed=48)
        self.batches = Turnstile(1_500)
        self.pages = Turnstile(8)
        self.others = Turnstile(16)


class Door:
    """The ASGI application.

    Args:
        service: What is behind the routes.
        cold: The application of all other routes; the server has it loaded once it listens.
        log: Where answers are noted.
    """

    def __init__(self, service: Service, cold: ColdRoutes, log: AccessLog) -> None:
        settings = service.settings
        self.service = service
        self.cold = cold
        self._log = log
        self._gate = Gate(service.watch, settings.rate_limit_per_second, settings.cors_origins)
        self._largest = settings.max_body_bytes
        self._bodies = Bodies(settings.max_body_bytes)
        self.unfinished = Unfinished(settings.max_body_bytes // SHARE)
        self._hot: dict[str, EventRoute | BatchRoute] = {
            EVENT_PATH + name: EventRoute(service, name) for name in ROUTES
        }
        self._hot[BATCH_PATH] = BatchRoute(service)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ways = Ways()

    def admit(self, scope: Any) -> Caller:
        """Let a sender of events in, whose body is JSON.

        Raises:
            Refused: They may not send, or not this.
        """
        caller = self._gate.admit(scope)
        demand(caller, Scope.INGEST)
        self._inspect(scope)
        return caller

    def confirm(self, caller: Caller) -> None:
        """Check that a sender who was let in may still send.

        Raises:
            Refused: Not any more.
        """
        self._gate.confirm(caller)

    def ways(self) -> Ways:
        """Return the ways in of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._ways = loop, Ways()
        return self._ways

    def event_routes(self) -> dict[bytes, tuple[str, EventRoute]]:
        """Return the routes of single events by path, as bytes."""
        return {
            path.encode(): (path, route)
            for path, route in self._hot.items()
            if isinstance(route, EventRoute)
        }

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count and log an answer."""
        self.service.observed.answer(status)
        self._log.note(method, route, status, seconds)

    @property
    def has_keys(self) -> bool:
        """Whether an API key was ever made, so that requests need one."""
        return self.service.watch.api_keys is not None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        begun = time.perf_counter()
        name = scope["path"]
        route = None if _has_coded_slash(scope) else self._hot.get(name)
        if route is not None:
            status = await self._answer_hot(route, scope, receive, send)
        elif name in OPEN_PATHS:
            status = await self._answer_open(scope, send)
        else:
            status = await self._answer_cold(scope, receive, send)
            name = getattr(scope.get("route"), "path", "-")
        self.note(scope["method"], name, status, time.perf_counter() - begun)

    async def shed(self, scope: MutableMapping[str, Any], _receive: Any, send: Any) -> None:
        """Answer a request for which there is no connection left; the process is well."""
        begun = time.perf_counter()
        name = scope["path"]
        if name == HEALTH_PATH:
            status = await self._answer_open(scope, send)
        else:
            name, status = "-", SHED.status
            await reply(send, *SHED)
        self.note(scope["method"], name, status, time.perf_counter() - begun)

    async def _answer_hot(
        self,
        route: EventRoute | BatchRoute,
        scope: MutableMapping[str, Any],
        receive: Any,
        send: Any,
    ) -> int:
        headers: Any = ()
        try:
            caller = self._gate.admit(scope)
            demand(caller, Scope.INGEST)
            _demand_method(scope, "POST")
            content_type, length = self._inspect(scope)
            async with (
                self._bodies.read(receive, length, caller) as body,
                self._pass(route, caller, scope["client"], len(body)),
            ):
                self._gate.confirm(caller)
                answer = await route.handle(scope["query_string"], body, content_type)
            status = 200
        except Refused as refused:
            status, answer, headers = refused.refusal
        except ClientGone:
            return GONE
        except Exception as error:  # noqa: BLE001  # a defect costs one request its answer
            if not isinstance(error, NotReady):
                _logger.error("A request failed: %s", told_in_log(error))  # noqa: TRY400
            status, answer, headers = NOT_READY
        await reply(send, status, answer, headers)
        return status

    def _pass(
        self, route: EventRoute | BatchRoute, caller: Caller, client: Any, size: int
    ) -> AbstractAsyncContextManager[None]:
        """Go in with an event or a batch when it is due."""
        if isinstance(route, EventRoute):
            return passing(self.ways().singles, caller.singles, caller.singles.turn_of(client))
        turn = caller.batches.turn_of(client)
        return passing(self.ways().batches, caller.batches, turn, 1 + size // _BYTES_A_TURN)

    async def _answer_open(self, scope: MutableMapping[str, Any], send: Any) -> int:
        """Tell anybody, without a place in line, that the process answers or takes events."""
        headers: Any = ()
        status, answer = 200, encode(Health())
        try:
            _demand_method(scope, "GET")
            self._inspect(scope)
            if scope["path"] == READY_PATH:
                await self.service.check_ready()
                answer = encode(Health(status="ready"))
        except Refused as refused:
            status, answer, headers = refused.refusal
        except (SmartMatchError, OSError):
            status, answer, headers = NOT_READY
        await reply(send, status, answer, headers)
        return status

    async def _answer_cold(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> int:
        page = scope["path"] in PAGES
        status = GONE
        held = AsyncExitStack()

        async def send_noted(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # The work is done: who is slow to read the reply keeps nobody waiting. The loop
                # looks at its sockets first, so that few replies are made between two looks.
                await asyncio.sleep(0)
                await held.aclose()
            await send(message)

        try:
            caller = scope[CALLER] = self._gate.admit(scope, page=page)
            _demand_path(scope)
            _, length = self._inspect(scope)
            way, line = self.ways().others, caller.others
            if page:
                way, line = self.ways().pages, caller.pages
            turn = line.turn_of(scope["client"])
            async with held:
                reading = self._bodies.read(receive, length, caller, SHORT_BYTES)
                body = await held.enter_async_context(reading)
                await held.enter_async_context(passing(way, line, turn))
                self._gate.confirm(caller)
                await self.cold(scope, _replay(body, receive), send_noted)
        except QueueFull:
            await reply(send_noted, *NOT_READY)
        except Refused as refused:
            await reply(send_noted, *refused.refusal)
        except ClientGone:
            pass
        except Exception as error:  # noqa: BLE001  # a defect costs one request its answer
            if status == GONE:  # else the application has answered and logged it
                _logger.error("A request failed: %s", told_in_log(error))  # noqa: TRY400
                await reply(send_noted, *NOT_READY)
        return status

    def _inspect(self, scope: MutableMapping[str, Any]) -> tuple[bytes, int]:
        """Return type and announced length of the body, if both may be."""
        content_type, length = b"", -1
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = int(value) if value.isdigit() else -1
            elif name == b"content-type":
                content_type = value
            elif name in _CODINGS and value.strip().lower() != _CODINGS[name]:
                raise Refused(UNSUPPORTED_CODING)
        if length > self._largest:
            raise Refused(TOO_LARGE)
        if length and content_type and content_type not in _JSON_TYPES:
            kind = content_type.partition(b";")[0].strip().lower()
            if kind not in _JSON_TYPES:
                raise Refused(UNSUPPORTED_TYPE)
        return content_type, length

    async def _live(self, receive: Any, send: Any) -> None:
        await receive()
        self.service.watch.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.service.close()
        self._log.close()
        await send({"type": "lifespan.shutdown.complete"})


def _demand_method(scope: MutableMapping[str, Any], method: str) -> None:
    if scope["method"] != method:
        raise Refused(WRONG_METHOD[method])


def _has_coded_slash(scope: MutableMapping[str, Any]) -> bool:
    """Tell whether a path has a slash that separates nothing; in a person's id it may."""
    path = scope.get("raw_path") or b""
    return b"%2f" in path.lower() and not _names_person(scope)


def _names_person(scope: MutableMapping[str, Any]) -> bool:
    return (scope.get("raw_path") or b"").startswith(_PEOPLE)


def _demand_path(scope: MutableMapping[str, Any]) -> None:
    """Refuse a path that is none, or no text: whom it names would depend on how it is repaired."""
    name = scope["path"]
    if _has_coded_slash(scope) or "\n" in name or ("\0" in name and not _names_person(scope)):
        # Nothing is called so: PostgreSQL would not even look for the one, and routes would not
        # see the other where it is the last.
        raise Refused(NOT_FOUND)
    path = scope.get("raw_path") or b""
    if b"%" in path:
        try:
            unquote_to_bytes(path).decode()
        except UnicodeDecodeError:
            raise Refused(invalid(InvalidInput("path", RULE_UTF8))) from None


GONE = 499
"""Noted where nobody was left to answer to."""


def _replay(body: bytes, receive: Any) -> Callable[[], Any]:
    """Return what hands a body that was read to another application."""
    sent = False

    async def again() -> Any:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
