"""Times as whole numbers: exact in both directions, in every zone, before and after 1970."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.clock import (
    EPOCH,
    MICROS_PER_DAY,
    day_number,
    first_day,
    iso_day,
    micros,
    moment,
    month_of,
)

AWARE = st.datetimes(
    datetime(1900, 1, 1),  # noqa: DTZ001  # Hypothesis adds the zone
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-11))]),
)


def test_a_moment_counts_from_1970_in_utc() -> None:
    assert micros(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005
    assert micros(EPOCH) == 0
    assert moment(1_767_225_600_000_000) == datetime(2026, 1, 1, tzinfo=UTC)


@given(AWARE)
def test_no_microsecond_is_lost_on_the_way_and_back(at: datetime) -> None:
    assert moment(micros(at)) == at
    assert moment(micros(at)).utcoffset() == timedelta(0)


@given(AWARE)
def test_a_day_is_that_of_utc_whatever_zone_the_time_was_told_in(at: datetime) -> None:
    assert day_number(at) == day_number(at.astimezone(UTC).date())
    assert day_number(at) * MICROS_PER_DAY <= micros(at) < (day_number(at) + 1) * MICROS_PER_DAY
    assert iso_day(day_number(at)) == at.astimezone(UTC).date().isoformat()


def test_the_evening_in_paris_may_be_the_day_before_in_utc() -> None:
    after_midnight = datetime(2026, 7, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))

    assert iso_day(day_number(after_midnight)) == "2026-06-30"


def test_days_before_1970_are_negative() -> None:
    assert day_number(datetime(1969, 12, 31, 23, tzinfo=UTC)) == -1
    assert iso_day(-1) == "1969-12-31"
    assert day_number(date(1970, 1, 2)) == 1


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        micros(datetime(2026, 1, 1))  # noqa: DTZ001


def test_months_begin_with_their_first_day() -> None:
    assert [iso_day(first_day(month_of(day))) for day in (-1, 0, 20_700)] == [
        "1969-12-01",
        "1970-01-01",
        "2026-09-01",
    ]


def test_every_day_lies_in_its_month() -> None:
    for day in range(-800, 800):
        month = month_of(day)
        assert first_day(month) <= day < first_day(month + 1)
