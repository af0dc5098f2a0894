"""Routes that read figures: metrics, the champion and its weights."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from ingest.openapi import describe
from ingest.permission import caller_of, json_response, needs, takes_only
from ingest.replies import NOT_FOUND, Refused
from warehouse import drift_days, metrics, weights
from warehouse.api_keys import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.service import Service

METRICS = {
    "acceptance": (metrics.acceptance, "How many proposals were accepted."),
    "satisfaction": (metrics.satisfaction, "How people rated their matches."),
    "constraints": (metrics.constraints, "What each constraint has to do with acceptance."),
    "funnel": (metrics.funnel, "From proposal to completion."),
    "trend": (metrics.trend, "Acceptance day by day, or block by published block."),
    "models": (metrics.models, "The same by version of the model that proposed."),
    "drift": (drift_days.drift, "How far each day lies from what the champion learned from."),
}
Days = Annotated[
    int, Query(ge=1, le=760, description="Length of the window that ends today, days.")
]


class Champion(msgspec.Struct, frozen=True, kw_only=True):
    """The model that serves."""

    status: str = "success"
    version: str
    published_at: str
    name: str
    uri: str


def metric_routes(service: Service) -> APIRouter:
    """Return the routes of the metrics.

    The scope ``metrics`` sees published figures, ``admin`` and key-less loopback exact ones.
    """
    router = APIRouter(tags=["metrics"], dependencies=[needs(Scope.METRICS), takes_only("days")])
    for name, (read, summary) in METRICS.items():
        router.add_api_route(
            f"/api/metrics/{name}",
            _metric(service, read),
            name=name,
            summary=summary,
            **describe(Scope.METRICS, reply=dict[str, Any], refusals=(422,)),
        )
    return router


def _metric(service: Service, read: Callable[..., Any]) -> Callable[..., Response]:
    def metric(request: Request, days: Days = 30) -> Response:
        published = Scope.ADMIN not in caller_of(request).scopes
        found = read(service.engine, days, datetime.now(UTC), published=published)
        return json_response(found)

    metric.__doc__ = (
        "Every rate comes with its count and its 95 % interval. "
        "A key of scope `metrics` sees published figures, `admin` exact ones. A published figure "
        "that would tell of fewer people than `SMARTMATCH_SMALLEST_GROUP` is null, never 0; null "
        "may also stand for nobody. What only some blocks tell is the sum over those."
    )
    return metric


def model_routes(service: Service) -> APIRouter:
    """Return the routes by which a matcher takes the model over."""
    router = APIRouter(tags=["model"], dependencies=[needs(Scope.METRICS)])

    @router.get("/api/ml/model", **describe(Scope.METRICS, reply=Champion, refusals=(404,)))
    def read_champion() -> Response:
        """Name the champion: its version and where MLflow loads it from."""
        newest = _newest(service)
        name = service.settings.model_name
        return json_response(
            Champion(
                version=newest.version,
                published_at=newest.published_at.isoformat(),
                name=name,
                uri=f"models:/{name}@champion",
            )
        )

    @router.get("/api/ml/weights", **describe(Scope.METRICS, reply=dict[str, Any], refusals=(404,)))
    def read_weights() -> Response:
        """Give the champion's weights for a weighted-sum cost matrix."""
        return json_response(msgspec.Raw(_newest(service).document.encode()))

    return router


def _newest(service: Service) -> weights.Published:
    newest = weights.newest(service.engine)
    if newest is None:
        raise Refused(NOT_FOUND)
    return newest
