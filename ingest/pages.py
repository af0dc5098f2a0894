"""The dashboard: a page for people, drawn on a thread beside the event loop."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from fastapi import APIRouter, Query, Request, Response

from ingest.figures import Days
from ingest.openapi import describe
from ingest.permission import caller_of, needs, takes_only
from ingest.replies import NOT_READY, Refused
from warehouse import validations
from warehouse.api_keys import Scope
from warehouse.figures import read_figures

if TYPE_CHECKING:
    from ingest.service import Service

FRESH_SECONDS = 2.0
"""A page that is this old is handed out again: reloading in haste costs nothing."""

SHARE = 0.2
"""Drawing takes no more of the time: events are stored by the same interpreter."""

MOST_WAITING = 4
"""Readers who wait for a page to be drawn; whoever comes then is told to try again."""

FIGURES, VALIDATION = "figures", "validation"
"""What a page is about."""

_PATIENCE_SECONDS = 5.0
_MOST_HELD = 16

Lang = Annotated[
    Literal["en", "fr"] | None,
    Query(description="Language of the page; the browser's own when absent."),
]


def page_routes(service: Service) -> APIRouter:
    """Return the routes of pages for people."""
    known = takes_only("days", "lang")
    router = APIRouter(tags=["pages"], dependencies=[needs(Scope.METRICS), known])
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
        return pages.show(days, _accepted(request), lang, published=_published(request))

    @router.get(
        "/dashboard/validation",
        **describe(
            Scope.METRICS, reply=str, content_type="text/html", refusals=(422,), browser=True
        ),
    )
    def validation(request: Request, days: Days = 30, lang: Lang = None) -> Response:
        """Show how many rows broke which rule, day by day; no value of a row, and no id.

        A key of scope `metrics` sees rounded counts, `admin` exact ones; the page says which.
        """
        accepted, published = _accepted(request), _published(request)
        return pages.show(days, accepted, lang, published=published, subject=VALIDATION)

    return router


def _published(request: Request) -> bool:
    return Scope.ADMIN not in caller_of(request).scopes


def _accepted(request: Request) -> str:
    return request.headers.get("accept-language", "")


class _Which(NamedTuple):
    """What tells pages apart."""

    subject: str
    days: int
    code: str
    published: bool


class Pages:
    """Draws pages, one at a time and not all the time: reloading must not slow those who send.

    Args:
        service: Knows the database and the settings.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_WAITING)
        self._held: dict[_Which, tuple[float, str]] = {}
        self._rested_at = 0.0

    def show(
        self,
        days: int,
        accepted: str,
        asked: str | None,
        *,
        published: bool,
        subject: str = FIGURES,
    ) -> Response:
        """Return a page.

        Args:
            days: Length of the window, days.
            accepted: Languages that the browser accepts.
            asked: The language that the address asks for.
            published: Show what may be published and nothing else.
            subject: The dashboard (``figures``) or ``validation`` over time.

        Raises:
            Refused: Others are waiting already.
        """
        from dashboard.language import choose  # with the page: a server starts without it

        code = choose(accepted, asked)
        which = _Which(subject, days, code, published)
        page = self._recent(which) or self._wait_for(which)
        return Response(page, headers=_headers(code), media_type="text/html; charset=utf-8")

    def _recent(self, which: _Which) -> str:
        made, page = self._held.get(which, (0.0, ""))
        return page if time.monotonic() - made < FRESH_SECONDS else ""

    def _wait_for(self, which: _Which) -> str:
        if not self._places.acquire(blocking=False):
            raise Refused(NOT_READY)
        try:
            if not self._lock.acquire(timeout=_PATIENCE_SECONDS):
                raise Refused(NOT_READY)
            try:
                # Whoever was before may have drawn the same.
                return self._recent(which) or self._draw(which)
            finally:
                self._lock.release()
        finally:
            self._places.release()

    def _draw(self, which: _Which) -> str:
        time.sleep(min(_PATIENCE_SECONDS, max(0.0, self._rested_at - time.monotonic())))
        begun = time.monotonic()
        page = self._validation(which) if which.subject == VALIDATION else self._figures(which)
        ended = time.monotonic()
        self._rested_at = ended + (ended - begun) * (1 / SHARE - 1)
        if len(self._held) >= _MOST_HELD:
            self._held.clear()
        self._held[which] = (ended, page)
        return page

    def _figures(self, which: _Which) -> str:
        from dashboard.page import render

        service = self._service
        figures = read_figures(
            service.engine,
            service.settings,
            which.days,
            datetime.now(UTC),
            published=which.published,
        )
        return render(figures, which.code, linked=True)

    def _validation(self, which: _Which) -> str:
        from dashboard.page import render_validation

        settings = self._service.settings
        found = validations.read(
            validations.directory(settings),
            which.days,
            datetime.now(UTC),
            smallest=settings.smallest_group,
            published=which.published,
        )
        return render_validation(found, which.code)


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
