"""What the OpenAPI page says of each route, as tables of the reference."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from ingest.door import PAGE_FILES, PAGES
from schemas.settings import Settings
from tests.serving import client_of
from warehouse.setup import set_up_database

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = """
## Routes

A route asks for a key of its scope; a key of scope `admin` opens those of `metrics` too, and sees
exact figures, and one of `privacy` also `/api/runs`. Fields of a body may also travel in the query,
and the body wins. `/docs` has the same with examples. A refusal comes as `Problem`, and with 422 as
`Invalid`.

"""
UNDESCRIBED = {
    "/docs": "This reference as a page on which calls can be tried.",
    "/openapi.json": "The same for programs: the OpenAPI document.",
}
"""Pages that the OpenAPI document does not tell of itself."""


@cache
def described() -> dict[str, Any]:
    """Read the OpenAPI page of an empty installation."""
    with tempfile.TemporaryDirectory() as folder:
        url = SecretStr(f"sqlite:///{Path(folder) / 'reference.db'}")
        settings = Settings(home=Path(folder), database_url=url)
        set_up_database(settings)
        with client_of(settings) as client:
            found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every route: method, path, what is said of it."""
    for path, methods in sorted(described()["paths"].items()):
        for method, told in sorted(methods.items()):
            yield method.upper(), path, told


def paths() -> set[str]:
    """Return the path of every route that answers, described or not."""
    pages = {page for page in PAGES if not page.startswith(PAGE_FILES)}
    return {path for _, path, _ in operations()} | pages


def tables() -> str:
    """Write the tables: routes, what they take, what they reply, what a status means."""
    routes = [
        (f"`{method} {path}`", scope(told), what(told), replies(told))
        for method, path, told in operations()
    ]
    routes += [
        (f"`GET {path}`", "any", UNDESCRIBED[path], "200")
        for path in sorted(paths() - set(described()["paths"]))
    ]
    taken = [
        (f"`{method} {path}`", *row)
        for method, path, told in operations()
        for row in (*parameters(told), *body(told))
    ]
    return HEAD + "\n\n".join(
        [
            _table(("route", "scope", "what", "replies"), routes),
            "### What a route takes\n\n"
            + _table(("route", "in", "name", "what it may be", "when absent"), taken),
            "### What a route replies\n\n"
            + _table(("reply", "fields"), [(f"`{name}`", told) for name, told in fields()]),
            "### What a status means\n\n" + _table(("status", "meaning"), statuses()),
            "",
        ]
    )


def what(told: dict[str, Any]) -> str:
    """Say what a route is for: its summary where one was written, else its first sentence."""
    summary = str(told["summary"])
    written = summary if summary.endswith(".") else told["description"]
    return first_sentence(written.replace("``", "`"))


def scope(told: dict[str, Any]) -> str:
    """Return the scope that a route asks for."""
    found = sorted({name for way in told["security"] for names in way.values() for name in names})
    return ", ".join(f"`{name}`" for name in found) or "none"


def replies(told: dict[str, Any]) -> str:
    """Return the statuses of a route, and what comes with that of success."""
    said = []
    for status, reply in sorted(told["responses"].items()):
        kinds = [
            bounds(content["schema"]) if kind == "application/json" else f"`{kind}`"
            for kind, content in reply["content"].items()
            if content.get("schema")
        ]
        said.append(f"{status} {' or '.join(kinds)}" if status < "300" else status)
    return ", ".join(said)


def parameters(told: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield what travels in the path or the query."""
    for one in told.get("parameters", []):
        schema = one["schema"]
        yield one["in"], f"`{one['name']}`", bounds(schema), _absent(schema, needed=one["required"])


def body(told: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the fields of a body, or what it is as a whole."""
    if "requestBody" not in told:
        return
    schema = _resolved(told["requestBody"]["content"]["application/json"]["schema"])
    if "properties" not in schema:
        yield "body", "", bounds(schema), "required"
    for name, field in schema.get("properties", {}).items():
        yield "body", f"`{name}`", bounds(field), _absent(field, needed=name in schema["required"])


def fields() -> Iterator[tuple[str, str]]:
    """Yield each kind of reply or part of one, with its fields."""
    asked = {
        schema["$ref"].rpartition("/")[2]
        for _, _, told in operations()
        for content in told.get("requestBody", {"content": {}})["content"].values()
        if "$ref" in (schema := content["schema"])
    }
    for name, schema in sorted(described()["components"]["schemas"].items()):
        if name not in asked and "type" not in schema["properties"]:
            parts = schema["properties"].items()
            yield name, "; ".join(f"`{field}`: {bounds(part)}" for field, part in parts)


def statuses() -> list[tuple[str, str]]:
    """Return what each refusal means."""
    found = {
        status: reply["description"]
        for _, _, told in operations()
        for status, reply in told["responses"].items()
        if status > "300"
    }
    return sorted(found.items())


def bounds(schema: dict[str, Any]) -> str:
    """Say what a value may be: its type, its range, its length, its choices."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "anyOf" in schema:
        return ", or ".join(filter(None, map(bounds, schema["anyOf"])))
    if "enum" in schema:
        return " or ".join(f"`{choice}`" for choice in schema["enum"])
    return _BY_TYPE.get(schema.get("type", ""), lambda _: "")(schema)


def first_sentence(text: str) -> str:
    """Return the first sentence, on one line."""
    return " ".join(text.split()).partition(". ")[0].rstrip(".") + "."


def _number(schema: dict[str, Any]) -> str:
    kind = {"integer": "whole number", "number": "number"}[schema["type"]]
    if "exclusiveMinimum" in schema:
        return f"{kind} above {_plain(schema['exclusiveMinimum'])}, to {_plain(schema['maximum'])}"
    if "minimum" in schema:
        return f"{kind} from {_plain(schema['minimum'])} to {_plain(schema['maximum'])}"
    return kind


def _plain(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:,}"


def _text(schema: dict[str, Any]) -> str:
    if "format" in schema:
        return {"uuid": "UUID", "date-time": "time with its zone, ISO 8601"}[schema["format"]]
    if "maxLength" not in schema:
        return "text"
    size = f"text of {schema.get('minLength', 0)} to {schema['maxLength']:,} characters"
    return f"{size}, `{schema['pattern']}`" if "pattern" in schema else size


def _list(schema: dict[str, Any]) -> str:
    most = f" of at most {schema['maxItems']}" if "maxItems" in schema else ""
    return f"list{most}: {bounds(schema['items'])}"


def _object(schema: dict[str, Any]) -> str:
    if "additionalProperties" not in schema:
        return "object"
    name = _text(schema["propertyNames"])
    value = bounds(schema["additionalProperties"])
    return f"object of at most {schema['maxProperties']} names, each {name}: {value}"


_BY_TYPE = {
    "integer": _number,
    "number": _number,
    "string": _text,
    "array": _list,
    "object": _object,
    "boolean": lambda _: "true or false",
    "null": lambda _: "null",
}


def _absent(schema: dict[str, Any], *, needed: bool) -> str:
    if needed:
        return "required"
    given = schema.get("default")
    if given is None and "enum" in schema:
        return "said by the route"
    if given in ("", [], {}):
        return "empty"
    return given if isinstance(given, str) else json.dumps(given)


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = described()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines
    )
