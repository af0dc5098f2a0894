"""Retention: a class for all that ages, cutoffs to the day, and no longer than the settings say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schemas import tables
from schemas.clock import MICROS_PER_DAY, moment
from schemas.retention import beside_the_database, rules
from schemas.settings import Settings

NOW = datetime(2026, 9, 4, 15, 30, tzinfo=UTC)


def cutoffs(settings: Settings, now: datetime = NOW) -> dict[str, datetime]:
    return {rule.data_class: moment(rule.cutoff) for rule in rules(settings, now)}


def test_each_class_goes_at_the_age_that_its_setting_says() -> None:
    settings = Settings(
        events_retention_days=100,
        metrics_retention_days=200,
        rejected_retention_days=10,
        staging_retention_days=2,
        logs_retention_days=50,
    )

    assert {name: NOW - at for name, at in cutoffs(settings).items() if name == "staged"} == {
        "staged": timedelta(days=2)
    }
    assert {name: at.date() for name, at in cutoffs(settings).items() if name != "staged"} == {
        "rejected": (NOW - timedelta(days=10)).date(),
        "events": (NOW - timedelta(days=100)).date(),
        "matches": (NOW - timedelta(days=100)).date(),
        "metric_sums": (NOW - timedelta(days=200)).date(),
        "blocks": (NOW - timedelta(days=200)).date(),
        "tallies": (NOW - timedelta(days=200)).date(),
        "drift_days": (NOW - timedelta(days=200)).date(),
        "runs": (NOW - timedelta(days=50)).date(),
        "purges": (NOW - timedelta(days=200)).date(),
    }


@pytest.mark.parametrize("hour", [0, 12, 23])
def test_a_day_goes_as_a_whole_whatever_the_hour_of_the_purge(hour: int) -> None:
    for name, at in cutoffs(Settings(), NOW.replace(hour=hour)).items():
        if name != "staged":
            assert at.time().isoformat() == "00:00:00", name
            assert at == cutoffs(Settings())[name], name


def test_nothing_is_kept_longer_than_its_retention_and_one_day() -> None:
    settings = Settings()
    allowed = {
        "staged": settings.staging_retention_days,
        "rejected": settings.rejected_retention_days,
        "events": settings.events_retention_days,
        "matches": settings.events_retention_days,
        "metric_sums": settings.metrics_retention_days,
        "blocks": settings.metrics_retention_days,
        "tallies": settings.metrics_retention_days,
        "drift_days": settings.metrics_retention_days,
        "runs": settings.logs_retention_days,
        "purges": settings.metrics_retention_days,
    }

    for name, at in cutoffs(settings).items():
        assert timedelta(days=allowed[name]) <= NOW - at < timedelta(days=allowed[name] + 1), name


def test_what_is_kept_beside_the_database_goes_with_the_logs_of_its_day() -> None:
    settings = Settings(logs_retention_days=50)

    found = {one.data_class: moment(one.cutoff) for one in beside_the_database(settings, NOW)}

    assert list(found) == ["log_files", "orchestration", "deleted_runs"]
    assert set(found.values()) == {cutoffs(settings)["runs"]}


def test_days_are_compared_as_days_and_moments_as_moments() -> None:
    for rule in rules(Settings(), NOW):
        column = rule.table.c[rule.by]
        bound = rule.expired.compile().params[f"{rule.by}_1"]
        assert rule.in_days == (column.name in {"day", "until_day"}), rule.data_class
        assert bound == (rule.cutoff // MICROS_PER_DAY if rule.in_days else rule.cutoff)


def test_every_table_of_events_ages_and_sums_outlive_their_events() -> None:
    by_table = {rule.table.name: rule for rule in rules(Settings(), NOW)}
    with_events = {
        table.name for table in tables.metadata.sorted_tables if "match_key" in table.columns
    }

    assert with_events <= set(by_table)
    assert by_table["metric_sums"].cutoff < by_table["matches"].cutoff
    assert by_table["matches"].cutoff == by_table["events"].cutoff
