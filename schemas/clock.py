"""Times as the tables hold them: microseconds and days since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATE_DAYS = 2
"""A day is finished so many days after it ended: until then late events still move it."""

MICROS_PER_DAY = 86_400_000_000


def micros(moment: datetime) -> int:
    """Return an aware time as microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment(micros_since_epoch: int) -> datetime:
    """Return microseconds since 1970 as a time in UTC."""
    return EPOCH + timedelta(microseconds=micros_since_epoch)


def day_number(at: datetime | date) -> int:
    """Return the days since 1970 of an aware time's UTC day, or of a date."""
    if isinstance(at, datetime):
        return micros(at) // MICROS_PER_DAY
    return at.toordinal() - EPOCH.toordinal()


def iso_day(number: int) -> str:
    """Return days since 1970 as an ISO date."""
    return date.fromordinal(EPOCH.toordinal() + number).isoformat()


def month_of(day: int) -> int:
    """Return the month of a day: months since the year 0, so that the next one is one more."""
    at = date.fromordinal(EPOCH.toordinal() + day)
    return at.year * 12 + at.month - 1


def first_day(month: int) -> int:
    """Return the first day of a month, days since 1970."""
    return day_number(date(month // 12, month % 12 + 1, 1))
