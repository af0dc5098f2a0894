"""The HTTP contract, by generated requests, alone and in sequences, and by malformed bodies.

Its short form is tests/e2e/test_ingest_contract.py and test_ingest_bad_input.py.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import httpx
import pytest

from schemas.settings import Settings
from tests.e2e.test_ingest_bad_input import right_bodies, send_malformed
from tests.e2e.test_ingest_contract import STARTS_PROCESSES, documented, schemathesis
from tests.serving import server_of
from warehouse.engine import connect, create_tables

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import Tally

pytestmark = [
    pytest.mark.promise("the HTTP contract holds: no 5xx, no undocumented route"),
    pytest.mark.trials(short=0, full=1),
]

LEFT_OUT = "positive_data_acceptance"
"""That a time may not lie in the future is a rule that JSON Schema cannot say."""

SEEDS = range(100, 104)


def test_generated_requests_and_sequences_find_nothing_undocumented(
    tmp_path: Path, tally: Tally
) -> None:
    with documented(tmp_path) as (server, page, key):
        more = ("--checks", "all", "--exclude-checks", LEFT_OUT, "--max-examples", "15")
        found = schemathesis(server, page, key, *more)
        counted = httpx.get(f"{server.url}/metrics", headers={"x-api-key": key}).text
    generated = sum(map(int, re.findall(r"(\d[\d,]*) generated", found.stdout.replace(",", ""))))
    tally.count(f"schemathesis: {found.stdout[-2_000:]}" if found.returncode else None, trials=0)
    tally.count("an answer was 5xx" if 'status="5xx"' in counted else None, trials=generated)
    assert generated > 1_000
    assert tally.failures == []


def test_malformed_bodies_are_never_answered_with_5xx(tmp_path: Path, tally: Tally) -> None:
    settings = Settings(home=tmp_path, rate_limit_per_second=1_000_000)
    engine = connect(settings.url)
    create_tables(engine)
    engine.dispose()
    with server_of(settings, tmp_path / "server.log") as server:
        bodies = right_bodies(server)
        # A right body among the others would start a process.
        routes = {path: body for path, body in bodies.items() if path not in STARTS_PROCESSES}
        for seed in SEEDS:
            statuses, wrong = send_malformed(server, routes, seed)
            tally.count(trials=sum(count.total() for count in statuses.values()))
            tally.failures += [f"{path}: {body!r} was answered {n}" for path, body, n in wrong]
    assert tally.failures == []


def test_status_that_is_not_documented_is_caught(tmp_path: Path, tally: Tally) -> None:
    path = "/api/tracking/event/match-viewed"
    with documented(tmp_path) as (server, page, key):
        document = json.loads(page.read_text())
        document["paths"] = {path: document["paths"][path]}
        del document["paths"][path]["post"]["responses"]["422"]
        page.write_text(json.dumps(document))
        checks = ("--checks", "status_code_conformance", "--max-examples", "6")
        found = schemathesis(server, page, key, *checks)
    tally.mutant_caught = found.returncode == 1 and "documented" in found.stdout.lower()
    assert tally.mutant_caught
