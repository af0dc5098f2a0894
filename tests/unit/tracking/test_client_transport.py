"""What the client reads out of replies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tracking.transport import LONGEST_RETRY_AFTER, consent_of, reply


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("-5", 0.0), ("999999", LONGEST_RETRY_AFTER), ("inf", 600.0)],
)
def test_patience_is_read_in_seconds_and_bounded(header: str, seconds: float) -> None:
    assert reply(503, b"", {"retry-after": header}).retry_after == seconds


@pytest.mark.parametrize("header", ["soon", "nan", ""])
def test_patience_that_says_nothing_is_none(header: str) -> None:
    assert reply(503, b"", {"retry-after": header}).retry_after is None


def test_patience_may_be_a_date() -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)

    told = reply(429, b"", {"retry-after": moment}).retry_after

    assert told is not None
    assert 25 < told <= 31


def test_identifier_cannot_leave_its_place_in_the_path() -> None:
    assert consent_of("../a b?c=d#e%") == "/api/tracking/consent/%2E%2E%2Fa%20b%3Fc%3Dd%23e%25"
