"""Ask the caller of a route for a scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import Depends, Request

from ingest.gate import demand
from ingest.replies import FORBIDDEN, Refused

if TYPE_CHECKING:
    from ingest.gate import Caller
    from warehouse.api_keys import Scope

CALLER = "smartmatch.caller"
"""Key of the ASGI scope under which the door leaves who calls."""


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
