"""The OpenAPI page against the server: generated requests, with schemathesis' checks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from schemas.settings import Settings
from tests.serving import server_of
from warehouse.engine import connect, create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

# Left out: "schema-valid requests are accepted". That a time may not lie in the future is a
# rule that JSON Schema cannot say; and what is answered without a key, which the matrix of
# tests/unit/test_ingest_access.py tries for every route.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "use_after_free",
)
STARTS_PROCESSES = ("/api/ml/update", "/api/privacy/cleanup", "/api/privacy/erasure")


@contextmanager
def documented(home: Path) -> Iterator[tuple[Server, Path]]:
    """Serve without any key, so that every request gets to its route; yield a file of the page."""
    settings = Settings(home=home, rate_limit_per_second=1_000_000)
    engine = connect(settings.url)
    create_tables(engine)
    engine.dispose()
    page = home / "openapi.json"
    with server_of(settings, home / "server.log") as server:
        page.write_text(httpx.get(f"{server.url}/openapi.json").text)
        yield server, page


def schemathesis(server: Server, page: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Send generated requests to every documented route but those that start a process."""
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", str(page)]
    command += ["--url", server.url, "--seed", "1", *more]
    for path in STARTS_PROCESSES:
        command += ["--exclude-path", path]
    return subprocess.run(command, capture_output=True, text=True, cwd=page.parent, check=False)


def answers(server: Server) -> Counter[int]:
    """Count the answers so far by status, as the log has them."""
    lines = map(json.loads, server.log.read_text().splitlines())
    return Counter(line["status"] for line in lines if line["log"] == "access")


def without_status(page: Path, path: str, status: str) -> None:
    """Leave one route in a page, and take a status from it that the server answers."""
    document = json.loads(page.read_text())
    document["paths"] = {path: document["paths"][path]}
    del document["paths"][path]["post"]["responses"][status]
    page.write_text(json.dumps(document))


def test_generated_requests_find_no_answer_that_is_not_documented(tmp_path: Path) -> None:
    with documented(tmp_path) as (server, page):
        checks = ("--checks", ",".join(CHECKS), "--max-examples", "6")
        found = schemathesis(server, page, *checks, "--phases", "examples,coverage,fuzzing")
        counted = answers(server)

    assert found.returncode == 0, found.stdout[-3_000:]
    assert max(counted) < 500
    # They got to the routes, and these had something to say to them.
    assert counted[401] == 0
    assert min(counted[200], counted[422]) > 100
    assert len(json.loads(page.read_text())["paths"]) > 20


def test_contract_test_catches_a_status_that_is_not_documented(tmp_path: Path) -> None:
    with documented(tmp_path) as (server, page):
        without_status(page, "/api/tracking/event/match-viewed", "422")
        checks = ("--checks", "status_code_conformance", "--max-examples", "6")
        found = schemathesis(server, page, *checks)

    assert found.returncode == 1
    assert "documented" in found.stdout.lower()
