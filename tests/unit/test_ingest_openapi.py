"""The OpenAPI page says what the server does; starting it stays cheap."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from ingest import replies
from ingest.hot import EVENT_PATH
from schemas.events import ROUTES as EVENTS
from schemas.settings import CHECKOUT
from tests.serving import allow, client_of
from tests.unit.test_ingest_access import ROUTES as GUARDED
from warehouse import api_keys
from warehouse.api_keys import Scope
from warehouse.keyfile import make_ring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from schemas.settings import Settings
    from tests.in_process import Client

HEAVY = (
    "pandas",
    "numpy",
    "pyarrow",
    "prefect",
    "mlflow",
    "great_expectations",
    "sklearn",
    "spacy",
    "jinja2",
    "dashboard",
    "psycopg",
    "sqlalchemy.dialects.postgresql",
)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with client_of(settings) as called:
        yield called


@pytest.fixture
def page(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def test_every_example_of_a_body_is_taken(client: Client, page: dict[str, Any]) -> None:
    allow(client, "candidate-17")
    statuses = {}
    for path, operations in page["paths"].items():
        for operation in operations.values():
            if "requestBody" not in operation or "erasure" in path:
                continue
            example = operation["requestBody"]["content"]["application/json"]["example"]
            statuses[path] = client.post(path, json=example).status_code

    assert {EVENT_PATH + name for name in EVENTS} < set(statuses)
    assert set(statuses.values()) == {200}


def test_every_route_is_documented_with_its_key(page: dict[str, Any]) -> None:
    documented = {
        (method.upper(), path)
        for path, operations in page["paths"].items()
        for method in operations
    }
    expected = {
        (
            method,
            path.replace("/u1", "/{user_id}")
            .replace("erasure/none", "erasure/{request}")
            .replace("runs/none", "runs/{run}"),
        )
        for method, path in GUARDED
        if not path.startswith("/docs") and path not in ("/openapi.json", "/nowhere")
    }

    assert documented == expected | {("GET", "/health"), ("GET", "/ready")}
    assert set(page["components"]["securitySchemes"]) == {"bearer", "header", "basic"}
    for path, operations in page["paths"].items():
        for operation in operations.values():
            assert bool(operation.get("security")) is (path not in ("/health", "/ready"))


@pytest.mark.parametrize(("form", "told"), [("json", "application/json"), ("csv", "text/csv")])
def test_both_forms_of_an_export_are_documented(
    client: Client, page: dict[str, Any], form: str, told: str
) -> None:
    allow(client, "candidate-17")
    path = "/api/privacy/export"

    reply = client.post(path, json={"user_id": "candidate-17", "format": form})

    content = page["paths"][path]["post"]["responses"]["200"]["content"]
    assert reply.headers["content-type"].split(";")[0] == told
    assert told in content


def test_headers_of_a_refusal_are_documented(
    settings: Settings, engine: Engine, page: dict[str, Any]
) -> None:
    make_ring(settings.keys, 0)
    api_keys.create(engine, settings.keys, "a", {Scope.INGEST}, datetime.now(UTC))
    with client_of(settings) as client:
        refused = client.get("/metrics")

    told = page["paths"]["/metrics"]["get"]["responses"]["401"]["headers"]
    assert [name for name in told if name.lower() in refused.headers] == ["WWW-Authenticate"]


def test_security_is_optional_only_while_no_key_was_ever_made(
    settings: Settings, engine: Engine
) -> None:
    with client_of(settings) as client:
        before = client.get("/openapi.json").json()
    _, key = api_keys.create(engine, settings.keys, "a", {Scope.INGEST}, datetime.now(UTC))
    with client_of(settings) as client:
        after = client.get("/openapi.json", headers={"x-api-key": key}).json()

    ways = [page["paths"]["/metrics"]["get"]["security"] for page in (before, after)]
    assert [{} in one for one in ways] == [True, False]


def test_page_refers_only_to_schemas_that_it_holds(page: dict[str, Any]) -> None:
    text = json.dumps(page)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}

    assert names <= set(page["components"]["schemas"])
    assert "\\\\Z" not in text


def test_swagger_is_served(client: Client) -> None:
    assert "swagger-ui" in client.get("/docs").text


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("ingest_api, ingest.cold", HEAVY),
        ("ingest_api", [*HEAVY, "fastapi", "starlette", "fastapi_offline"]),
    ],
)
def test_server_imports_nothing_heavy_and_listens_before_it_has_its_pages(
    modules: str, absent: list[str]
) -> None:
    script = f"import sys, {modules}; print([name for name in {absent!r} if name in sys.modules])"
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=CHECKOUT
    ).stdout

    assert told.strip() == "[]"


def test_whoever_is_told_to_come_back_is_told_when() -> None:
    made = [reply for reply in vars(replies).values() if isinstance(reply, replies.Refusal)]
    passing = [reply for reply in made if reply.status in {408, 429, 503}]

    assert len(passing) >= 4
    assert all((b"retry-after", b"1") in reply.headers for reply in passing)
