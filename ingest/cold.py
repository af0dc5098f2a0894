"""The routes behind the door that are not hot: FastAPI, which takes a while to load."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from ingest.door import PAGE_FILES
from ingest.figures import metric_routes, model_routes
from ingest.launcher import Launcher
from ingest.openapi import document
from ingest.operation import run_routes, watch_routes
from ingest.pages import page_routes
from ingest.people import consent_routes, privacy_routes
from ingest.replies import NOT_READY, Refusal, Refused, invalid, refusal
from schemas.errors import InvalidInput, NotReady, SmartMatchError, told_in_log

if TYPE_CHECKING:
    from ingest.service import Service

_logger = logging.getLogger("smartmatch")
VERSION = "1"
_RULES = {
    "greater_than_equal": "must be at least {ge}",
    "int_parsing": "must be a whole number",
    "less_than_equal": "must be at most {le}",
    "missing": "is required",
}


def cold_routes(service: Service) -> FastAPI:
    """Return the application of all routes but the hot ones."""
    # The page's script and style come from the package, so that it works without the internet.
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        title="SmartMatch",
        version=VERSION,
        redirect_slashes=False,
        openapi_url="/openapi.json",
        static_url=PAGE_FILES,
    )
    launcher = app.state.launcher = Launcher(service)
    for router in (
        consent_routes(service),
        metric_routes(service),
        model_routes(service),
        run_routes(launcher),
        privacy_routes(service, launcher),
        watch_routes(service),
        page_routes(service),
    ):
        app.include_router(router)
    for kind, answer in (
        (Refused, _refused),
        (InvalidInput, _invalid),
        (SmartMatchError, _not_ready),
        (OSError, _not_ready),
        (Exception, _not_ready),
        (RequestValidationError, _not_valid),
        (HTTPException, _http),
    ):
        app.add_exception_handler(kind, answer)
    pages: dict[bool, dict[str, Any]] = {}

    def openapi() -> dict[str, Any]:
        guarded = service.watch.api_keys is not None
        if guarded not in pages:
            pages[guarded] = document(app, guarded=guarded)
        return pages[guarded]

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _response(found: Refusal) -> Response:
    headers = {name.decode(): value.decode() for name, value in found.headers}
    return Response(found.body, found.status, headers, "application/json")


def _refused(_request: Request, error: Any) -> Response:
    return _response(error.refusal)


def _invalid(_request: Request, error: Any) -> Response:
    return _response(invalid(error))


def _not_ready(_request: Request, error: Exception) -> Response:
    if not isinstance(error, NotReady):
        _logger.error("A request failed: %s", told_in_log(error))
    return _response(NOT_READY)


def _not_valid(_request: Request, error: Any) -> Response:
    """Say which parameter breaks which rule; pydantic's own words repeat what was sent."""
    found = []
    for one in error.errors():
        rule = _RULES.get(one["type"], "is not valid").format(**one.get("ctx", {}))
        found.append(InvalidInput(str(one["loc"][-1]), rule))
    return _response(invalid(*found))


def _http(_request: Request, error: Any) -> Response:
    names = {404: "Not Found", 405: "Method Not Allowed"}
    headers = tuple(
        (name.encode(), value.encode()) for name, value in (error.headers or {}).items()
    )
    return _response(refusal(error.status_code, names.get(error.status_code, "Refused"), headers))
