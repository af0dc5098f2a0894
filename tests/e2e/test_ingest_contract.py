"""The OpenAPI page against the server: generated requests, with schemathesis' checks."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from schemas.settings import Settings
from tests.serving import server_of
from warehouse import api_keys
from warehouse.api_keys import Scope
from warehouse.engine import connect, create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

# Left out: "schema-valid requests are accepted". That a time may not lie in the future is a
# rule that JSON Schema cannot say.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "ignored_auth",
    "use_after_free",
)
STARTS_PROCESSES = ("/api/ml/update", "/api/privacy/cleanup", "/api/privacy/erasure")


@contextmanager
def documented(home: Path) -> Iterator[tuple[Server, Path, str]]:
    """Serve with every key; yield the server, a file with its page, and a key of all scopes."""
    settings = Settings(home=home, rate_limit_per_second=1_000_000)
    engine = connect(settings.url)
    create_tables(engine)
    _, key = api_keys.create(engine, "contract", set(Scope), datetime.now(UTC))
    engine.dispose()
    page = home / "openapi.json"
    with server_of(settings, home / "server.log") as server:
        page.write_text(httpx.get(f"{server.url}/openapi.json", headers={"x-api-key": key}).text)
        yield server, page, key


def schemathesis(
    server: Server, page: Path, key: str, *more: str
) -> subprocess.CompletedProcess[str]:
    """Send generated requests to every documented route but those that start a process."""
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", str(page)]
    command += ["--url", server.url, "--header", f"X-API-Key: {key}", "--seed", "1", *more]
    for path in STARTS_PROCESSES:
        command += ["--exclude-path", path]
    return subprocess.run(command, capture_output=True, text=True, cwd=page.parent, check=False)


def test_generated_requests_find_no_answer_that_is_not_documented(tmp_path: Path) -> None:
    with documented(tmp_path) as (server, page, key):
        checks = ("--checks", ",".join(CHECKS), "--max-examples", "6")
        found = schemathesis(server, page, key, *checks, "--phases", "examples,coverage,fuzzing")
        counted = httpx.get(f"{server.url}/metrics", headers={"x-api-key": key}).text

    assert found.returncode == 0, found.stdout[-3_000:]
    assert 'smartmatch_requests_total{status="5xx"}' not in counted
    assert len(json.loads(page.read_text())["paths"]) > 20


def test_contract_test_catches_a_status_that_is_not_documented(tmp_path: Path) -> None:
    """The same tool against a page from which a status was taken."""
    settings = Settings(home=tmp_path)
    engine = connect(settings.url)
    create_tables(engine)
    engine.dispose()
    page = tmp_path / "openapi.json"
    with server_of(settings, tmp_path / "server.log") as server:
        document = httpx.get(f"{server.url}/openapi.json").json()
        path = "/api/tracking/event/match-viewed"
        document["paths"] = {path: document["paths"][path]}
        del document["paths"][path]["post"]["responses"]["422"]
        page.write_text(json.dumps(document))
        command = [str(Path(sys.executable).parent / "schemathesis"), "run", str(page)]
        command += ["--url", server.url, "--checks", "status_code_conformance"]
        command += ["--max-examples", "6", "--seed", "1"]
        found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert found.returncode == 1
    assert "documented" in found.stdout.lower()
