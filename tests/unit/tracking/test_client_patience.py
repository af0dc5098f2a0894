"""Replies that come a little at a time: each read is quick, and the whole never ends."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tracking.errors import Unreachable
from tracking.privacy import PrivacyManager
from tracking.transport import HttpTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

OK = b"HTTP/1.1 200 OK\r\n"
DRIPS = {
    "a header": (OK + b"x-a: ", b"a"),
    "interim replies": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "a chunk's extension": (OK + b"transfer-encoding: chunked\r\n\r\n1;", b"a"),
    "a body": (OK + b"content-length: 9999\r\n\r\n", b" "),
}
SECONDS = 60.0


@contextmanager
def dripping(first: bytes, drop: bytes) -> Iterator[str]:
    """Answer each connection with something, and then drop by drop."""

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65_536)
            connection.sendall(first)
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                connection.sendall(drop)
                time.sleep(0.05)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(("first", "drop"), DRIPS.values(), ids=DRIPS)
def test_reply_that_drips_is_waited_for_as_long_as_one_that_does_not_come(
    first: bytes, drop: bytes
) -> None:
    with dripping(first, drop) as url, PrivacyManager(url, timeout_seconds=0.4) as privacy:
        with pytest.raises(Unreachable):
            HttpTransport(url, None).request("GET", "/", timeout_seconds=0.1)
        begun = time.monotonic()

        assert not privacy.has_consent("ana")

    assert time.monotonic() - begun < SECONDS / 2
