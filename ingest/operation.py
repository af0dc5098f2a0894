"""Routes that run the system: start a flow and follow it, Prometheus."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
from fastapi import APIRouter, Request, Response

from ingest.observed import CONTENT_TYPE
from ingest.openapi import describe
from ingest.permission import json_response, needs
from ingest.replies import NOT_FOUND, Refused
from schemas.clock import moment
from warehouse import lineage, queue
from warehouse.api_keys import Scope

if TYPE_CHECKING:
    from ingest.launcher import Launcher
    from ingest.service import Service

RUNS_PATH = "/api/runs/"


class RunReply(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was asked for, and where to follow it."""

    status: str = "accepted"
    run: str
    url: str


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is: requested, running, completed or failed."""

    status: str = "success"
    run: str
    flow: str
    state: str
    requested_at: str
    finished_at: str | None
    detail: str | None


def run_routes(launcher: Launcher) -> APIRouter:
    """Return the routes that start flows and follow them."""
    router = APIRouter(tags=["runs"])

    @router.post(
        "/api/ml/update",
        dependencies=[needs(Scope.ADMIN)],
        **describe(Scope.ADMIN, status=202, reply=RunReply),
    )
    async def update_model() -> Response:
        """Retrain now; a new champion has to be better than the one that serves."""
        return _accepted(await launcher.launch("retrain_model"))

    @router.post(
        "/api/privacy/cleanup",
        dependencies=[needs(Scope.ADMIN)],
        **describe(Scope.ADMIN, status=202, reply=RunReply),
    )
    async def clean_up() -> Response:
        """Delete now what is past its retention."""
        return _accepted(await launcher.launch("purge_expired"))

    @router.get(
        RUNS_PATH + "{run}",
        dependencies=[needs(Scope.ADMIN, Scope.PRIVACY)],
        **describe(Scope.ADMIN, reply=RunState, refusals=(404, 422)),
    )
    def read_run(run: str) -> Response:
        """Follow a run."""
        found = launcher.read(run)
        if found is None:
            raise Refused(NOT_FOUND)
        finished = found.finished_at
        return json_response(
            RunState(
                run=found.run,
                flow=found.flow,
                state=found.state,
                requested_at=moment(found.requested_at).isoformat(),
                finished_at=moment(finished).isoformat() if finished else None,
                detail=found.detail,
            )
        )

    return router


def watch_routes(service: Service) -> APIRouter:
    """Return the routes that an operator's machines ask."""
    router = APIRouter(tags=["operation"])

    @router.get(
        "/metrics",
        dependencies=[needs(Scope.METRICS)],
        **describe(Scope.METRICS, reply=str, content_type="text/plain"),
    )
    def prometheus(_request: Request) -> Response:
        """Give the server's counters in Prometheus' text format."""
        observed = service.observed
        count, oldest = queue.backlog(service.engine)
        observed.queue.set(service.committer.waiting)
        observed.waiting.set(count)
        owed = lineage.owed_since(service.engine)
        observed.oldest.set(_age(oldest))
        observed.owed.set(_age(owed))
        return Response(observed.page(), media_type=CONTENT_TYPE)

    return router


def _age(since: int | None) -> float:
    """Return the seconds since a time; 0 for none."""
    return max(0.0, time.time() - since / 1_000_000) if since else 0.0


def _accepted(run: str) -> Response:
    return json_response(RunReply(run=run, url=RUNS_PATH + run), 202)
