"""What a browser asks before a page of another origin calls, answered like everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from ingest.replies import encode

if TYPE_CHECKING:
    from starlette.datastructures import Headers

_BODY = frozenset({"content-length", "content-type"})
_REFUSED = 400


class Preflight(CORSMiddleware):
    """Starlette's, with answers in JSON that are counted and logged."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Say what may be sent, or which part of it may not."""
        found = super().preflight_response(request_headers)
        said = bytes(found.body).decode()
        told = {"detail": said} if found.status_code >= _REFUSED else {"status": said.lower()}
        headers = {name: value for name, value in found.headers.items() if name not in _BODY}
        self.app.note("OPTIONS", "-", found.status_code, 0.0)  # type: ignore[attr-defined]
        return Response(encode(told), found.status_code, headers, "application/json")
