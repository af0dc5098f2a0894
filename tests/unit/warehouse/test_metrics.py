"""Metrics are right to the unit, cost days times groups, and import nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from schemas.clock import MICROS_PER_DAY, iso_day, moment
from schemas.events import EventKind
from schemas.tables import metric_sums
from tests.engines import on_sqlite
from tests.histories import NOW, TODAY, admit, history, make_row, process, stage
from warehouse import metrics
from warehouse.engine import writing

if TYPE_CHECKING:
    from sqlalchemy import Engine

AS_OF = moment(NOW)
ALL = ("acceptance", "satisfaction", "constraints", "funnel", "trend", "models")


def _proposal(match_key: int, subject: int, near: float, **figures: Any) -> dict[str, Any]:
    return make_row(
        EventKind.PROPOSED,
        match_key=match_key,
        subject=subject,
        figures={"constraint_satisfaction": {"near": near}} | figures,
    )


@pytest.fixture
def market(engine: Engine) -> Engine:
    """Four proposals of two matches: three accepted, one rejected; a fifth is undecided."""
    admit(engine, [1, 2])
    rows = [
        _proposal(1, 1, 1.0),
        _proposal(1, 2, 0.75),
        _proposal(2, 1, 0.5, model_version=""),
        _proposal(2, 2, 0.25),
        _proposal(3, 1, 0.0),
        *(make_row(EventKind.ACCEPTED, match_key=1, subject=subject) for subject in (1, 2)),
        make_row(EventKind.ACCEPTED, match_key=2, subject=1),
        make_row(EventKind.REJECTED, match_key=2, subject=2),
        make_row(EventKind.FEEDBACK, match_key=1, subject=1, figures={"rating": 5}),
        make_row(EventKind.FEEDBACK, match_key=2, subject=2, figures={"rating": 2}),
        make_row(EventKind.VIEWED, match_key=1, subject=1),
        make_row(EventKind.COMPLETED, match_key=1, subject=1),
        make_row(EventKind.REJECTED, match_key=9, subject=2),
    ]
    stage(engine, rows)
    process(engine, validate=False)
    return engine


def test_acceptance_stands_on_decided_proposals(market: Engine) -> None:
    found = metrics.acceptance(market, 30, AS_OF, published=False)
    assert (found["total_proposed"], found["total_accepted"], found["total_decided"]) == (5, 3, 4)
    assert (found["total_undecided"], found["orphan_decisions"]) == (1, 1)
    assert found["acceptance_rate"] == 0.75
    lower, upper = found["acceptance_interval"]
    assert lower < 0.75 < upper
    assert found["mutual"]["rate"]["value"] == 0.5
    assert found["window"] == {
        "since": iso_day(TODAY - 29),
        "until": iso_day(TODAY + 1),
        "published": False,
        "days": 30,
    }


def test_satisfaction_counts_each_star(market: Engine) -> None:
    found = metrics.satisfaction(market, 30, AS_OF, published=False)
    assert (found["avg_rating"], found["total_feedbacks"]) == (3.5, 2)
    assert found["rating_interval"] == [1.0, 5.0]
    assert found["rating_counts"] == {"1": 0, "2": 1, "3": 0, "4": 0, "5": 1}
    assert found["rated_of_proposed"]["value"] == 0.4


def test_constraint_correlates_over_decided_and_averages_over_proposed(market: Engine) -> None:
    found = metrics.constraints(market, 30, AS_OF, published=False)
    near = found["constraints"]["near"]
    assert (found["total_matches"], near["sample_size"], near["proposed"]) == (5, 4, 5)
    assert near["avg_satisfaction"] == 0.5
    assert near["correlation"] == pytest.approx(0.774597, abs=1e-6)
    assert near["avg_satisfaction_accepted"] == 0.75
    assert near["avg_satisfaction_rejected"] == 0.25
    assert [(band["decided"], band["accepted"]) for band in near["bands"]] == [
        (0, 0),
        (1, 0),
        (1, 1),
        (1, 1),
        (1, 1),
    ]


def test_funnel_counts_steps_and_orphans(market: Engine) -> None:
    found = metrics.funnel(market, 30, AS_OF, published=False)
    assert {name: step["count"] for name, step in found["steps"].items()} == {
        "viewed": 1,
        "decided": 4,
        "accepted": 3,
        "mutual": 2,
        "rated": 2,
        "completed": 1,
    }
    assert found["orphans"] == {"viewed": 0, "decided": 1, "rated": 0, "completed": 0}
    assert found["seconds_per_view"] == 2.5


def test_models_are_told_apart(market: Engine) -> None:
    found = metrics.models(market, 30, AS_OF, published=False)["models"]
    assert found[""]["proposed"] == 1
    assert found["3"]["acceptance"]["count"] == 3


def test_trend_counts_a_proposal_on_the_day_on_which_it_was_made(engine: Engine) -> None:
    admit(engine, [1])
    yesterday = NOW - MICROS_PER_DAY
    stage(
        engine,
        [
            make_row(EventKind.PROPOSED, match_key=1, occurred_at=yesterday),
            make_row(EventKind.ACCEPTED, match_key=1),
            make_row(EventKind.PROPOSED, match_key=2, figures={"model_version": "other"}),
        ],
    )
    process(engine, validate=False)

    points = metrics.trend(engine, 30, AS_OF, published=False)["points"]

    assert [(one["since"], one["proposed"], one["decided"], one["accepted"]) for one in points] == [
        (iso_day(TODAY - 1), 1, 1, 1),
        (iso_day(TODAY), 1, 0, 0),
    ]
    assert points[0]["acceptance"]["value"] == 1.0
    assert points[1]["acceptance"] is None


def test_window_ends_with_today_and_is_as_long_as_asked(engine: Engine) -> None:
    admit(engine, [1])
    for age in (0, 1, 6, 7, 40):
        row = make_row(
            EventKind.PROPOSED, match_key=100 + age, occurred_at=NOW - age * MICROS_PER_DAY
        )
        stage(engine, [row])
    process(engine, validate=False)

    def proposed(days: int, as_of: Any = AS_OF) -> int:
        found = metrics.acceptance(engine, days, as_of, published=False)
        return int(found["total_proposed"])

    assert [proposed(days) for days in (1, 2, 7, 8, 365)] == [1, 2, 3, 4, 5]
    assert proposed(1, AS_OF - timedelta(days=1)) == 1
    assert proposed(1, AS_OF - timedelta(days=2)) == 0


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("published", [False, True])
def test_empty_database_answers_zero_or_that_nothing_is_told(
    engine: Engine, name: str, published: bool
) -> None:
    found = getattr(metrics, name)(engine, 30, AS_OF, published=published)
    assert json.loads(json.dumps(found)) == found
    assert found.get("acceptance_rate") is None
    counts = {key: value for key, value in found.items() if key.startswith("total_")}
    assert set(counts.values()) <= {None if published else 0}


@on_sqlite
def test_query_reads_the_window_and_not_the_history(engine: Engine) -> None:
    """Ten years of sums behind the window change no query's plan into a scan."""
    admit(engine, range(1, 6))
    stage(engine, history(1, length=200, subjects=5, matches=20))
    process(engine, validate=False)
    with writing(engine) as connection:
        connection.execute(
            metric_sums.insert(),
            [
                {"measure": "proposed", "facet": "", "day": day, "model_version": "", "value": 1}
                for day in range(10_000, 13_000)
            ],
        )
    ran: list[str] = []

    @event.listens_for(engine, "checkout")
    def trace(raw: Any, _record: object, _proxy: object) -> None:
        raw.set_trace_callback(ran.append)

    for name in ALL:
        getattr(metrics, name)(engine, 30, AS_OF, published=False)
    event.remove(engine, "checkout", trace)
    statements = [sql for sql in ran if sql.startswith("SELECT")]
    assert len(statements) >= len(ALL)
    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        for sql in statements:
            steps = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {sql}")]
            assert not [step for step in steps if step.startswith("SCAN metric_sums")], sql


def test_server_side_modules_import_no_frame_library() -> None:
    code = (
        "import sys, warehouse.metrics; "
        "print(sorted({'pandas', 'numpy', 'pyarrow', 'prefect'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
