"""The dashboard: a page for people, drawn on a thread beside the event loop."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from ingest.figures import Days
from ingest.openapi import describe
from ingest.permission import caller_of, needs
from ingest.replies import NOT_READY, Refused
from warehouse.api_keys import Scope
from warehouse.figures import read_figures

if TYPE_CHECKING:
    from ingest.service import Service

FRESH_SECONDS = 2.0
"""A page that is this old is handed out again: reloading in haste costs nothing."""

_PATIENCE_SECONDS = 5.0
_MOST_HELD = 16

Lang = Annotated[
    Literal["en", "fr"] | None,
    Query(description="Language of the page; the browser's own when absent."),
]


def page_routes(service: Service) -> APIRouter:
    """Return the routes of pages for people."""
    router = APIRouter(tags=["pages"], dependencies=[needs(Scope.METRICS)])
    pages = Pages(service)

    @router.get(
        "/dashboard",
        **describe(
            Scope.METRICS, reply=str, content_type="text/html", refusals=(422,), browser=True
        ),
    )
    def dashboard(request: Request, days: Days = 30, lang: Lang = None) -> Response:
        """Show the figures as a page, in French or English, that fetches nothing else.

        A key of scope `metrics` sees published figures, `admin` exact ones; the page says which.
        """
        published = Scope.ADMIN not in caller_of(request).scopes
        accepted = request.headers.get("accept-language", "")
        return pages.show(days, accepted, lang, published=published)

    return router


class Pages:
    """Draws pages, one at a time, so that nobody who reloads slows those who send events.

    Args:
        service: Knows the database and the settings.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._held: dict[tuple[int, str, bool], tuple[float, str]] = {}

    def show(self, days: int, accepted: str, asked: str | None, *, published: bool) -> Response:
        """Return the dashboard.

        Args:
            days: Length of the window, days.
            accepted: Languages that the browser accepts.
            asked: The language that the address asks for.
            published: Show what may be published and nothing else.

        Raises:
            Refused: Others are waiting already.
        """
        from dashboard.language import choose  # with the page: a server starts without it

        code = choose(accepted, asked)
        if not self._lock.acquire(timeout=_PATIENCE_SECONDS):
            raise Refused(NOT_READY)
        try:
            page = self._page((days, code, published))
        finally:
            self._lock.release()
        return Response(page, headers=_headers(code), media_type="text/html; charset=utf-8")

    def _page(self, which: tuple[int, str, bool]) -> str:
        from dashboard.page import render

        now = time.monotonic()
        made, page = self._held.get(which, (-FRESH_SECONDS, ""))
        if page and now - made < FRESH_SECONDS:
            return page
        days, code, published = which
        service = self._service
        figures = read_figures(
            service.engine, service.settings, days, datetime.now(UTC), published=published
        )
        page = render(figures, code, linked=True)
        if len(self._held) >= _MOST_HELD:
            self._held.clear()
        self._held[which] = (now, page)
        return page


def _headers(code: str) -> dict[str, str]:
    from dashboard.page import policy

    return {
        "cache-control": "no-store",
        "content-language": code,
        "content-security-policy": f"{policy()}; frame-ancestors 'none'",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "vary": "Accept-Language, Authorization, X-API-Key",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
