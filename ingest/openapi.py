"""The OpenAPI page, from the same types that read requests and write replies."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi.openapi.utils import get_openapi

from ingest.door import HEALTH_PATH, READY_PATH, Health
from ingest.examples import EXAMPLES
from ingest.hot import BATCH_PATH, EVENT_PATH, BatchReply
from schemas.events import ROUTES, Event
from warehouse.api_keys import Scope

if TYPE_CHECKING:
    from fastapi import FastAPI

_REF = "#/components/schemas/{name}"
_JSON = "application/json"
_EITHER = (
    "\n\nParameters may also travel in the query, in part or all of them; where both name one, "
    "the body wins. Texts belong in the body."
)
_REFUSALS = {
    400: "It is no HTTP as it should be, or names no host.",
    401: "No valid API key was presented.",
    403: "The key does not open this route, or the person does not allow it.",
    404: "Unknown.",
    408: "It came too slowly, and others needed the room; try again.",
    409: "Conflicts with what is stored: another content of the same event, or an erasure.",
    413: "The body is too large.",
    415: "The body is compressed, or not JSON.",
    422: "A field breaks a rule; both are named, the value is not.",
    429: "Too many requests of this key; try again.",
    431: "The URL and headers are more than 64 KiB, or the headers more than 100.",
    503: "The database did not answer in time, or too much waits; try again.",
}
_RETRIED = (408, 429, 503)
_HEADERS = {
    401: ("WWW-Authenticate", "How a key is presented.", "string"),
    **dict.fromkeys(_RETRIED, ("Retry-After", "Seconds.", "integer")),
}
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "What a browser asks for: any user name, and an API key as the password. "
        "For reading, or from pages of this server.",
    },
}
_EVERYWHERE = ("bearer", "header")
DESCRIPTION = """Record what happens to the matches that a platform proposes, within what each
person allows; read what it shows; hand the learned model back.

Errors are `{"detail": "..."}`, and `{"detail": [{"field": ..., "rule": ...}]}` where a field
breaks a rule (422). With API keys every route but `/health` and `/ready` asks for one, as
`Authorization: Bearer KEY` or `X-API-Key: KEY`; a browser asks for it as a password. While no key
was ever made only programs on this machine are served.

Another method than a route has gets 405, with `Allow`. Where the pages of some origins may call, a
browser asks first by `OPTIONS`, without a key: 200, or 400 for another origin, method or header."""

_documented: dict[str, Any] = {}


class FieldError(msgspec.Struct, frozen=True):
    """A field and the rule that it breaks."""

    field: str
    rule: str


class Invalid(msgspec.Struct, frozen=True):
    """Fields that break rules."""

    detail: list[FieldError]


class Problem(msgspec.Struct, frozen=True):
    """Why a request was refused."""

    detail: str


def describe(
    scope: Scope | None,
    *,
    reply: Any,
    request: Any = None,
    status: int = 200,
    refusals: tuple[int, ...] = (),
    content_type: str = _JSON,
    texts: tuple[str, ...] = (),
    browser: bool = False,
) -> dict[str, Any]:
    """Return what a route of FastAPI says about itself.

    Args:
        scope: What its key needs; None for a route that is open to all.
        reply: Type of the reply.
        request: Type of the body, if it takes one.
        status: Of the reply when all is well.
        refusals: Statuses of its own, beside those that every route knows.
        content_type: Of the reply.
        texts: Other content types that the reply may have on request, each a text.
        browser: Whether it is a page, for which a browser asks for the key.
    """
    extra: dict[str, Any] = {"security": _security(scope, browser=browser)}
    if request is not None:
        extra["requestBody"] = _body(_schema(request), EXAMPLES[request])
    return {
        "response_model": None,
        "status_code": status,
        "responses": _responses(scope, reply, status, refusals, (content_type, *texts)),
        "openapi_extra": extra,
    }


def document(app: FastAPI, *, guarded: bool) -> dict[str, Any]:
    """Return the OpenAPI document of every route, those that FastAPI does not know included.

    Args:
        app: The routes that FastAPI knows.
        guarded: Whether keys are asked for; otherwise they are one way in of two.
    """
    page = get_openapi(
        title="SmartMatch",
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    paths = {EVENT_PATH + name: {"post": _event_operation(name)} for name in ROUTES}
    paths[BATCH_PATH] = {"post": _batch_operation()}
    for path, told in _OPEN.items():
        paths[path] = {"get": _open_operation(path, told)}
    page["paths"] = {**paths, **page["paths"]}
    for path, operations in page["paths"].items():
        for operation in operations.values():
            if "requestBody" in operation and path != BATCH_PATH:
                operation["description"] = operation.get("description", "") + _EITHER
            if not guarded and operation["security"]:
                operation["security"] = [{}, *operation["security"]]
    _, components = msgspec.json.schema_components(
        [*_documented.values(), Invalid, Problem, Event, BatchReply], ref_template=_REF
    )
    page["components"] = {"schemas": _portable(components), "securitySchemes": _SECURITY}
    return page


def _event_operation(name: str) -> dict[str, Any]:
    model = ROUTES[name]
    summary = f"Record: {name.replace('-', ' ')}"
    return {
        "tags": ["events"],
        "summary": summary,
        "description": f"{model.__doc__}\n\nThe same `event_id` again with the same content gets "
        "the same reply and changes nothing, while the person consents (else 403) and until they "
        "are erased; with other content it is refused with 409.",
        "operationId": name.replace("-", "_"),
        "security": _security(Scope.INGEST),
        "requestBody": _body(_untagged(model), EXAMPLES[model]),
        "responses": _responses(Scope.INGEST, EventReply, 200, (409, 422), (_JSON,)),
    }


def _batch_operation() -> dict[str, Any]:
    variants = [{"$ref": _REF.format(name=model.__name__)} for model in ROUTES.values()]
    # What is no event is refused by itself, so that any array is a batch.
    schema = {"type": "array", "items": {"anyOf": [*variants, {"description": "Refused."}]}}
    return {
        "tags": ["events"],
        "summary": "Record many events",
        "description": "A JSON array, or one event a line as `application/x-ndjson`. An event that "
        "is refused is listed by its place, with status, field and rule; the rest is stored. "
        "Sent again, nothing is stored twice.",
        "operationId": "events",
        "security": _security(Scope.INGEST),
        "requestBody": _body(schema, EXAMPLES[BatchReply]),
        "responses": _responses(Scope.INGEST, BatchReply, 200, (422,), (_JSON,)),
    }


_OPEN = {
    HEALTH_PATH: "Tell that the process answers.",
    READY_PATH: "Tell that the database takes writes and the queue is not nearly full.",
}


def _open_operation(path: str, told: str) -> dict[str, Any]:
    name = path.removeprefix("/")
    return {
        "tags": ["operation"],
        "summary": name.title(),
        "description": told,
        "operationId": name,
        "security": [],
        "responses": _responses(None, Health, 200, (), (_JSON,)),
    }


class EventReply(msgspec.Struct, frozen=True):
    """An event that is stored."""

    status: str
    event_id: str


def _untagged(model: Any) -> dict[str, Any]:
    """Return the schema of an event whose type the path says already."""
    _, components = msgspec.json.schema_components([model], ref_template=_REF)
    schema: dict[str, Any] = deepcopy(components[model.__name__])
    schema["required"] = [name for name in schema["required"] if name != "type"]
    schema.pop("title", None)
    return schema


def _body(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {"required": True, "content": {_JSON: {"schema": _portable(schema), "example": example}}}


def _responses(
    scope: Scope | None,
    reply: Any,
    status: int,
    refusals: tuple[int, ...],
    content_types: tuple[str, ...],
) -> dict[int | str, dict[str, Any]]:
    text = {"type": "string"}
    first, *others = content_types
    content = {first: {"schema": text if reply is str else _schema(reply)}}
    content |= {other: {"schema": text} for other in others}
    answers: dict[int | str, dict[str, Any]] = {
        status: {"description": "Done.", "content": content}
    }
    shared = (400, 413, 415, 431, *((401, 403, *_RETRIED) if scope else (408, 503)))
    for refused in sorted({*shared, *refusals}):
        model = Invalid if refused == _INVALID else Problem
        answers[refused] = {
            "description": _REFUSALS[refused],
            "content": {_JSON: {"schema": {"$ref": _REF.format(name=model.__name__)}}},
        }
        if (header := _HEADERS.get(refused)) is not None:
            name, told, kind = header
            answers[refused]["headers"] = {name: {"description": told, "schema": {"type": kind}}}
    return answers


_INVALID = 422


def _schema(model: Any) -> dict[str, Any]:
    if isinstance(model, type) and issubclass(model, msgspec.Struct):
        _documented[model.__name__] = model
        return {"$ref": _REF.format(name=model.__name__)}
    return {"type": "object"}


def _security(scope: Scope | None, *, browser: bool = False) -> list[dict[str, list[str]]]:
    ways = (*_EVERYWHERE, *(("basic",) if browser else ()))
    return [{name: [scope.value]} for name in ways] if scope else []


def _portable(schema: Any) -> Any:
    """Write patterns as JSON Schema knows them, where `$` is the very end."""
    if isinstance(schema, dict):
        return {
            name: value.replace(r"\Z", "$") if name == "pattern" else _portable(value)
            for name, value in schema.items()
        }
    return [_portable(value) for value in schema] if isinstance(schema, list) else schema
