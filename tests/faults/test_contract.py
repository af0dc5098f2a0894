"""The HTTP contract, by generated requests, alone and in sequences, and by malformed bodies.

Its short form is tests/e2e/test_ingest_contract.py and test_ingest_bad_input.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from schemas.settings import Settings
from tests.e2e.test_ingest_bad_input import right_bodies, send_malformed
from tests.e2e.test_ingest_contract import (
    STARTS_PROCESSES,
    answers,
    documented,
    schemathesis,
    without_status,
)
from tests.serving import server_of
from warehouse.engine import connect, create_tables

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import Tally

pytestmark = [
    pytest.mark.promise("the HTTP contract holds: no 5xx, no undocumented route"),
    pytest.mark.trials(short=0, full=1),
]

LEFT_OUT = "positive_data_acceptance,ignored_auth"
"""That a time may not lie in the future is a rule that JSON Schema cannot say; keys are tried
by the matrix of tests/unit/test_ingest_access.py."""

SEEDS = range(100, 104)


def test_generated_requests_and_sequences_find_nothing_undocumented(
    tmp_path: Path, tally: Tally
) -> None:
    with documented(tmp_path) as (server, page):
        more = ("--checks", "all", "--exclude-checks", LEFT_OUT, "--max-examples", "15")
        found = schemathesis(server, page, *more)
        counted = answers(server)
    tally.count(f"schemathesis: {found.stdout[-2_000:]}" if found.returncode else None, trials=0)
    tally.count("an answer was 5xx" if max(counted) >= 500 else None, trials=counted.total())
    assert counted[401] == 0
    assert min(counted[200], counted[422]) > 100
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
    with documented(tmp_path) as (server, page):
        without_status(page, "/api/tracking/event/match-viewed", "422")
        checks = ("--checks", "status_code_conformance", "--max-examples", "6")
        found = schemathesis(server, page, *checks)
    tally.mutant_caught = found.returncode == 1 and "documented" in found.stdout.lower()
    assert tally.mutant_caught
