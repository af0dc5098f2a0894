"""What the client reads out of replies."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tracking.errors import Unreachable
from tracking.transport import LONGEST_RETRY_AFTER, HttpTransport, consent_of, reply


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


def test_reply_that_comes_in_drops_is_not_waited_for() -> None:
    def drip() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            while not done.wait(0.1):
                connection.sendall(b" ")

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        transport = HttpTransport(f"http://127.0.0.1:{listener.getsockname()[1]}", None)
        begun = time.monotonic()

        with pytest.raises(Unreachable, match="does not end"):
            transport.request("GET", "/", timeout_seconds=0.5)

        assert time.monotonic() - begun < 5
        transport.close()
        done.set()
        thread.join()
