"""Schedules: every flow that runs by itself has one, and nights are in order."""

from __future__ import annotations

import pytest

from deployments import SCHEDULES
from schemas.environment import prepare
from schemas.settings import CHECKOUT, Settings

ON_REQUEST = {"erase_subject"}


def clock(flow: str) -> tuple[int, int]:
    """Return hour and minute of a flow that runs once a day, every day."""
    minute, hour, *days = SCHEDULES[flow].split()
    assert days == ["*", "*", "*"], flow
    return int(hour), int(minute)


def test_every_flow_has_a_schedule_but_those_that_wait_for_a_request() -> None:
    flows = {path.stem for path in (CHECKOUT / "flows").glob("*.py")} - {"__init__"}

    assert set(SCHEDULES) == flows - ON_REQUEST


@pytest.mark.parametrize("flow", sorted(SCHEDULES))
def test_every_schedule_is_one_that_the_scheduler_takes(flow: str) -> None:
    prepare()
    from prefect.client.schemas.schedules import CronSchedule  # takes seconds

    schedule = CronSchedule(cron=SCHEDULES[flow], timezone=Settings().timezone)

    assert schedule.cron == SCHEDULES[flow]


def test_events_are_processed_every_few_minutes() -> None:
    minute, *rest = SCHEDULES["process_events"].split()

    assert rest == ["*"] * 4
    assert 1 <= int(minute.removeprefix("*/")) <= 10


def test_a_night_seals_and_recounts_before_it_purges_and_purges_before_it_learns() -> None:
    night = [clock(flow) for flow in ("aggregate_metrics", "purge_expired", "retrain_model")]

    assert night == sorted(set(night))
