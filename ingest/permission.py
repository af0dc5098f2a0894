"""What the routes of FastAPI share: asking the caller for a scope, and answering in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import Depends, Request, Response

from ingest.gate import CALLER, demand
from ingest.replies import FORBIDDEN, Refused, encode

if TYPE_CHECKING:
    from ingest.gate import Caller
    from warehouse.api_keys import Scope


def needs(*scopes: Scope) -> Any:
    """Return the dependency that lets a caller pass who has one of the scopes."""

    def check(request: Request) -> None:
        caller: Caller = request.scope[CALLER]
        if len(scopes) == 1:
            demand(caller, scopes[0])
        elif caller.scopes.isdisjoint(scopes):
            raise Refused(FORBIDDEN)

    return Depends(check)


def caller_of(request: Request) -> Caller:
    """Return who sent a request that the door let in."""
    caller: Caller = request.scope[CALLER]
    return caller


def json_response(content: Any, status: int = 200) -> Response:
    """Return what a route of FastAPI answers, encoded like everything else."""
    return Response(encode(content), status, media_type="application/json")
