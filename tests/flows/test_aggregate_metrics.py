"""aggregate_metrics as it is run: it seals, agrees, or fails and says where."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from prefect.client.orchestration import get_client
from sqlalchemy import delete

from flows.aggregate_metrics import Aggregated, _interval, _rate, _rating, aggregate_metrics
from schemas.clock import MICROS_PER_DAY, iso_day, micros, moment
from schemas.errors import SumsDiffer
from schemas.events import EventKind
from schemas.tables import metric_sums
from tests.histories import admit, make_row, process, stage
from warehouse import metrics
from warehouse.engine import writing
from warehouse.leases import AGGREGATE_METRICS, lease

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from schemas.settings import Settings

NOW = micros(datetime.now(UTC))
OLD = NOW - 5 * MICROS_PER_DAY


@pytest.fixture
def market(engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Twelve people, each with a proposal five days ago."""
    monkeypatch.setenv("SMARTMATCH_DATABASE_URL", settings.url.get_secret_value())
    admit(engine, range(1, 13))
    stage(
        engine,
        [
            make_row(
                EventKind.PROPOSED, subject=n, match_key=n, occurred_at=OLD, received_at=NOW - 1
            )
            for n in range(1, 13)
        ],
    )
    process(engine, as_of=NOW, validate=False)
    return engine


def test_finished_day_is_sealed_and_the_sums_agree(market: Engine) -> None:
    since = iso_day(NOW // MICROS_PER_DAY - 394)
    outcome = aggregate_metrics()
    with get_client(sync_client=True) as client:
        kept = client._client.post("/artifacts/filter", json={"sort": "CREATED_DESC"}).json()
    report = next(one for one in kept if one["key"] == "metrics-report")
    assert "| proposed | 12 |" in report["data"]
    assert "| acceptance rate | nothing yet |" in report["data"]
    assert report["description"]
    # Proposed, score and its square; and two sums of each of two constraints.
    assert outcome == Aggregated(1, since, 12, 7)
    found = metrics.acceptance(market, 30, moment(NOW), published=True)
    assert found["total_proposed"] == 12
    assert aggregate_metrics().sealed == 0


def test_sums_that_are_kept_for_less_long_than_events_agree_too(
    market: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMARTMATCH_METRICS_RETENTION_DAYS", "1")
    with writing(market) as connection:
        connection.execute(delete(metric_sums))

    assert aggregate_metrics().sums == 0


def test_sum_that_drifted_fails_the_run(market: Engine) -> None:
    with writing(market) as connection:
        connection.execute(
            metric_sums.update()
            .where(metric_sums.c.measure == "proposed")
            .values(value=metric_sums.c.value - 1)
        )
    with pytest.raises(SumsDiffer, match=r"1 running sums differ.*proposed"):
        aggregate_metrics()


def test_run_beside_another_leaves_the_work_to_it(market: Engine) -> None:
    with lease(market, AGGREGATE_METRICS, 60):
        assert aggregate_metrics() == Aggregated(skipped=True)


def test_figures_of_the_report_are_written_for_a_person() -> None:
    assert _rate(0.4065934065934066) == "40.7%"
    assert _interval((0.36911895, 0.44518769)) == "36.9% to 44.5%"
    assert _rating(2.7488789) == "2.75 of 5"
