"""What the client reads out of replies."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from tracking.privacy import PrivacyManager
from tracking.transport import LONGEST_RETRY_AFTER, consent_of, reply

if TYPE_CHECKING:
    from tests.unit.tracking.plain_server import PlainServer


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


def test_key_in_the_address_is_in_no_line_of_the_log(
    server: PlainServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = server.url.replace("//", "//platform:sm_secret@")

    with PrivacyManager(url) as privacy:
        privacy.record_consent("ana", analytics=True)
        assert privacy.get_consent("ana") is not None

    assert server.state.keys[0] is not None
    asked = [record.getMessage() for record in caplog.records if record.name == "httpx"]
    assert [line.partition(' "')[0] for line in asked] == [
        f"HTTP Request: POST {server.url}/api/tracking/consent",
        f"HTTP Request: GET {server.url}/api/tracking/consent/...",
    ]
    assert "sm_secret" not in caplog.text
