"""What the routes of FastAPI share: what they ask of the caller, and answering in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import Depends, Request, Response

from ingest.decoding import QUERY, RULE_TWICE, RULE_UNKNOWN
from ingest.gate import CALLER, demand
from ingest.replies import FORBIDDEN, Refused, encode
from schemas.errors import InvalidInput

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


def takes_only(*names: str) -> Any:
    """Return the dependency that lets a request pass with some parameters at most, each once."""

    def check(request: Request) -> None:
        sent = request.query_params
        if not sent.keys() <= set(names):
            raise InvalidInput(QUERY, RULE_UNKNOWN)
        for name in names:
            if len(sent.getlist(name)) > 1:
                raise InvalidInput(name, RULE_TWICE)

    return Depends(check)


def caller_of(request: Request) -> Caller:
    """Return who sent a request that the door let in."""
    caller: Caller = request.scope[CALLER]
    return caller


def json_response(content: Any, status: int = 200) -> Response:
    """Return what a route of FastAPI answers, encoded like everything else."""
    return Response(encode(content), status, media_type="application/json")
